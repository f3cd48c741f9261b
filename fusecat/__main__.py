"""`python -m fusecat`, and the entry point of the `fusecat` command."""

from fusecat.pipeline.cli import main

if __name__ == "__main__":
    main()
