"""`python -m pipeline`, and the entry point of the `fusecat` command."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
