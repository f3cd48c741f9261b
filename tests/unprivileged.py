"""Commands run by somebody whom permissions stop, which as a rule are not root."""

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STOPPED = """
import ctypes, os, sys
for right in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root pass
    ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP, which holds from the next program on
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def python(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python so that it obeys the permissions of files; skips the test where even that is impossible."""
    if not _stops():
        pytest.skip("root passes by all permissions here")
    return _run(*words, cwd=cwd)


def fusecat(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python` for a command."""
    return python("-m", "fusecat", *words, cwd=cwd)


def close(folder: Path) -> Path:
    """Take the right to write from a folder and everything in it. Returns it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


def reopen(folder: Path) -> None:
    """Give it back, so that the folder can be removed."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


@cache
def _stops() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        return _run("-c", "open('file', 'w')", cwd=Path(folder)).returncode != 0


def _run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    begin = [] if os.geteuid() else ["-c", STOPPED]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    command = [sys.executable, *begin, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=cwd, env=environment)
