"""How the fault tests start the writer: plainly, under strace with one fault, or under a limit."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUIET = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # it writes files itself
ENVIRONMENT = QUIET | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
POINTS = ("write", "fsync", "rename", "fallocate", "ftruncate", "unlinkat", "rmdir", "mkdir")
"""Every system call by which the writer changes something on disk."""
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (apt-get install strace)")


def command(folder: Path, *options: object) -> list[str]:
    return [sys.executable, "-B", "-m", "tests.faults.writer", str(folder), *map(str, options)]


def run(words: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, timeout=300, check=False, **options)


def strace(fault: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run with one fault, such as `write:signal=KILL:when=3`."""
    return run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}", *words])


def count_points(folder: Path, words: list[str]) -> Counter[str]:
    """How often the writer makes each system call when nothing goes wrong."""
    log = folder / "strace.log"
    done = run(["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(POINTS)}", *words])
    assert done.returncode == 0, done.stderr
    # Not what is printed at the end (to file 1): that is nothing of the cache's.
    calls = re.findall(r"^(\d+) +(\w+)\((?!1,)", log.read_text(), re.MULTILINE)
    # Libraries may start helpers while they are imported; strace counts the calls of each process by itself.
    return Counter(call for process, call in calls if process == calls[-1][0])


def picture(folder: Path) -> dict[str, bytes]:
    """Every file of a features folder, locks apart."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".locks" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
