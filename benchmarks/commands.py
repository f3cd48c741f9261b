"""Processor time of the commands that a user calls most where nothing is left to compute.

    python -m benchmarks.commands WORKSPACE    # a study that was extracted and fused; each command is called `--repeat` times

`predict` classifies the shipped sample; a call before the first that counts encodes what is not known yet.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("report", "predict", "fuse")


def spent(command: str, workspace: Path) -> tuple[float, float]:
    """Processor seconds of one call with its children, and seconds on the clock."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = [sys.executable, "-m", "fusecat", command, "--workspace", str(workspace)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    spent("predict", options.workspace)
    for command in COMMANDS:
        found = sorted(spent(command, options.workspace) for _ in range(options.repeat))
        processor, clock = found[len(found) // 2]
        print(f"{command}: {processor:.1f} s of processor, {clock:.1f} s on the clock (median of {len(found)})", flush=True)


if __name__ == "__main__":
    main()
