"""Images are decoded in worker processes: a file from the web may crash, stall or exhaust a decoder.

A worker reads `[path, max_pixels]` as one JSON line and answers with the facts as one JSON line. If it dies or takes too long,
the image is at fault, and a new worker goes on with the next. libjpeg fills holes with grey and only warns on stderr; the
worker captures that and calls the image damaged.
"""

import json
import os
import queue
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from fusecat.stages.catalogue.image_facts import ImageFacts, look_at

PATIENCE = 60.0
"""Seconds for one picture; the largest allowed takes about one."""

START = 120.0
"""Seconds for a process to start; less than one on a machine that has nothing else to do."""

MEMORY = 4 * 1024**3
"""Bytes of address space of a worker: room for the libraries and for the largest picture in several copies, not for more."""

_DAMAGE = re.compile(rb"premature end|bad huffman|found marker|inconsistent progression|corrupt jpeg data: bad", re.IGNORECASE)
"""What libjpeg warns of when pixels are lost; "extraneous bytes before marker" loses none."""

_MAIN = "import sys; sys.path.insert(0, {root!r}); from fusecat.stages.catalogue.decode_workers import serve; serve()"


class DecodeWorkers(AbstractContextManager["DecodeWorkers"]):
    """Some processes that look at pictures; a context manager that ends them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._idle: queue.SimpleQueue[_DecodeWorker] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(_DecodeWorker())

    def look_at(self, paths: Iterable[Path], max_pixels: int) -> Iterator[ImageFacts]:
        """The facts of each picture, in order."""

        def look(path: Path) -> ImageFacts:
            worker = self._idle.get()
            try:
                return worker.look_at(path, max_pixels)
            finally:
                self._idle.put(worker)

        with ThreadPoolExecutor(self._count) as pool:
            yield from pool.map(look, paths)

    def __exit__(self, *_error: object) -> None:
        for _ in range(self._count):
            self._idle.get().stop()


class _DecodeWorker:
    """One process, started when it is first needed and again when it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def look_at(self, path: Path, max_pixels: int) -> ImageFacts:
        process = self._process = self._process or _start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps([str(path), max_pixels]).encode() + b"\n")
            process.stdin.flush()
            answer = _answer(process, PATIENCE)
        except BrokenPipeError:
            answer = b""
        if answer:
            return ImageFacts(**json.loads(answer))
        self.stop()
        cause = f"takes the decoder more than {PATIENCE:.0f} seconds" if answer is None else "crashes the decoder"
        return ImageFacts(None, None, 0, 0, flat=False, cause=cause)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Kill it and close its pipes; returns its exit status."""
    process.kill()
    status = process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # a line that the process will never read
            if pipe is not None:
                pipe.close()
    return status


def _start() -> "subprocess.Popen[bytes]":
    """A new process; it imports this package from where this one did, and its libraries use one thread each."""
    code = _MAIN.format(root=str(Path(__file__).parents[3]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603 - our own code
    if _answer(process, START) != b"ready\n":
        raise RuntimeError(
            f"the process that looks at pictures did not start ({' '.join(command[:2])} ended with {_end(process)})"
        )
    return process


def _answer(process: "subprocess.Popen[bytes]", patience: float) -> bytes | None:
    """The next line that a process prints: b"" where it has ended, None where it takes longer than `patience` seconds."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], patience)
    return process.stdout.readline() if ready else None


def serve() -> None:
    """Answer one line per picture until stdin ends. What libraries print goes to a file that is read after each picture."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent: it ends this process by closing stdin
    _limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    with _notes() as captured_stderr:
        answers.write(b"ready\n")
        answers.flush()
        os.dup2(captured_stderr.fileno(), 1)
        os.dup2(captured_stderr.fileno(), 2)
        for line in sys.stdin.buffer:
            path, max_pixels = json.loads(line)
            facts: dict[str, Any] = asdict(look_at(Path(path), max_pixels))
            if facts["cause"] is None and _DAMAGE.search(_heard(captured_stderr)):
                facts |= {"cause": "damaged", "phash": None}
            answers.write(json.dumps(facts).encode() + b"\n")
            answers.flush()


def _notes() -> IO[bytes]:
    """A file without a name: in memory where the system can, since a machine may lack a folder for such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("muttering"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _heard(captured_stderr: IO[bytes]) -> bytes:
    """What was printed since the last picture."""
    size = captured_stderr.tell()
    if not size:
        return b""
    captured_stderr.seek(0)
    said = captured_stderr.read(1 << 16)
    captured_stderr.seek(0)
    captured_stderr.truncate()
    return said


def _limit_memory() -> None:
    """A ceiling, where the system has one."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):
        return  # no such limit here: the limit of pixels still holds
