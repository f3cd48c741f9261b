"""A command in a process of its own, forked from this one: all is imported already, so that it begins at once."""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import TracebackType

import pytest

from tests.faults.study import Ended, fusecat

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="forks a process with torch in it")
CALLS = (
    *("write", "pwrite64", "sendfile", "copy_file_range", "fallocate", "ftruncate"),
    *("fsync", "fdatasync", "rename", "renameat2", "mkdir"),
)
"""Every system call by which a command changes something on disk."""
SECONDS = 120


class Apart:
    """One command, waiting for `go`. It tells how it ended over a socket: no file is written for that."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self._ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            self._ours.close()
            _child(theirs, arguments)
        theirs.close()
        self._status: int | None = None

    def go(self) -> "Apart":
        self._ours.send(b"g")
        return self

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def running(self) -> bool:
        return not select.select([self._ours], [], [], 0)[0]

    def end(self) -> Ended:
        """Wait. The exit code is -9 where it was killed."""
        data, limit = b"", time.monotonic() + SECONDS
        while time.monotonic() < limit and select.select([self._ours], [], [], limit - time.monotonic())[0]:
            try:
                part = self._ours.recv(1 << 16)
            except ConnectionResetError:  # killed before it had read all that it was sent
                break
            if not part:
                break
            data += part
        else:
            self.kill()
        self._ours.close()
        _, status = os.waitpid(self.pid, 0)
        return Ended(*json.loads(data)) if data else Ended(os.waitstatus_to_exitcode(status), "", "")

    def __enter__(self) -> "Apart":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.kill()


def _child(ours: socket.socket, arguments: tuple[object, ...]) -> None:
    try:
        ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER_ANY: strace is no ancestor
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        ours.recv(1)
        ended = fusecat(*arguments)
        ours.sendall(json.dumps([ended.code, ended.out, ended.err]).encode())
    except BaseException as error:
        ours.sendall(json.dumps([-1, "", f"escaped: {type(error).__name__}: {error}"]).encode())
    finally:
        os._exit(0)


def at_once(*commands: tuple[object, ...]) -> list[Ended]:
    """Run commands at the same time."""
    begun = [Apart(*command) for command in commands]
    for each in begun:
        each.go()
    return [each.end() for each in begun]


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (apt-get install strace)")


def traced(options: list[str], *arguments: object) -> Ended:
    """Run a command while strace looks on, or puts faults in its way; `-f` follows its threads and helpers."""
    command = Apart(*arguments)
    with tempfile.TemporaryFile() as said:
        tracer = subprocess.Popen(["strace", *options, "-p", str(command.pid)], stderr=said, stdout=said)
        for _ in range(1000):
            said.seek(0)
            if b"attached" in said.read() or tracer.poll() is not None:
                break
            time.sleep(0.01)
        assert tracer.poll() is None, "strace may not attach here"
        ended = command.go().end()
        tracer.wait(SECONDS)
    return ended


def with_fault(fault: str, *arguments: object) -> Ended:
    """Run a command with one fault, such as `write:error=ENOSPC:when=3`, or `3+` for all that follow, whoever makes them."""
    # strace counts the calls of each thread by itself: the third of another may be to a pipe, which no disk makes fail
    follow = ["-f"] if fault.endswith("+") else []
    return traced([*follow, "-o", "/dev/null", "-e", f"inject={fault}"], *arguments)


def calls(folder: Path, *arguments: object) -> dict[str, list[str]]:
    """Of each system call with which a command changes something on disk: the moments at which it may fail, as strace's `when`.

    `7+` is the seventh call and all that follow. It is `7` where writes to other processes follow: no disk makes those fail.
    """
    log, seen, made, spoken = folder / "strace.log", Counter[tuple[str, str]](), defaultdict[str, list[int]](list), 0
    ended = traced(["-f", "-y", "-o", str(log), "-e", f"trace={','.join(CALLS)}"], *arguments)
    assert ended.code == 0, ended.err
    lines = re.findall(r"^(\d+) +(\w+)\((.*) = (-?\d+)", log.read_text(), re.MULTILINE)
    ((main, _),) = Counter(process for process, *_ in lines).most_common(1) or [("", 0)]
    for process, call, words, result in lines:
        seen[process, call] += 1  # strace counts the calls of each thread and helper by itself
        if re.match(r"\d+<(pipe|socket)", words):
            spoken = max(spoken, seen[process, call])
        elif process == main and not result.startswith("-"):
            made[call].append(seen[process, call])
    return {
        call: [f"{number}{'' if call == 'write' and number <= spoken else '+'}" for number in of] for call, of in made.items()
    }


def left_behind(root: Path) -> list[str]:
    """Temporary files and folders of a command that did not end well."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.name.endswith((".part", "-journal", "-wal")) or path.name.startswith("tmp")
    )
