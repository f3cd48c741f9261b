"""What is being done, told at least every five seconds, and Ctrl-C, obeyed within five: whatever library is at work.

Code names its phases (`with phase("bootstrap")`); whoever shows nothing better runs it `with heartbeat()`.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fusecat.stages.errors import UsageError

EVERY = 4.0
"""Seconds of silence after which the phase is told: with a second to spare, five."""

GRACE = 3.0
"""Seconds that an interrupted command may still take: to end it, and its workers, takes up to two on a busy machine."""

INTERRUPTED = 130
INTERRUPTION = "interrupted; the same command goes on from here"


@dataclass
class Phase:
    """What is being done; `text` may change meanwhile."""

    text: str


_phases = [Phase("at work")]
_last = 0.0
_shown = False
_live = _beating = 0


@contextmanager
def phase(text: str) -> Iterator[Phase]:
    """Name what is done in this block."""
    now = Phase(text)
    _phases.append(now)
    try:
        yield now
    finally:
        _phases.remove(now)


def doing() -> str:
    """The phase that was entered last."""
    return _phases[-1].text


def told() -> None:
    """Somebody tells something now: take away what stands there, and be silent for a while."""
    global _last, _shown
    _last = time.monotonic()
    if _shown:
        _shown = False
        _write("\r\x1b[2K")


def remark(text: str) -> None:
    """Tell a line on stderr, if there is something to tell and somebody is told anything."""
    if text and _beating:
        told()
        _write(f"{text}\n")


@contextmanager
def shown_otherwise() -> Iterator[None]:
    """Whoever keeps a terminal up to date in this block needs no line between."""
    global _live
    told()
    _live += 1
    try:
        yield
    finally:
        _live -= 1
        told()


@contextmanager
def heartbeat() -> Iterator[None]:
    """Tell the phase on stderr after some silence: on a terminal in one line, elsewhere in plain lines.

    `FUSECAT_SILENCE` in the environment: the seconds (default: `EVERY`). Raises: UsageError where that is no number.
    """
    global _beating
    ended, begun, patience = threading.Event(), time.monotonic(), _patience()

    def beat() -> None:
        global _last, _shown
        while not ended.wait(0.25):
            if _live or time.monotonic() - _last < patience:
                continue
            line = f"{doing()}, {time.monotonic() - begun:.0f} s so far"
            terminal = sys.stderr is not None and sys.stderr.isatty()
            wide = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be taken away
            _write(f"\r\x1b[2K{line[:wide]}" if terminal else f"{line}\n")
            _last, _shown = time.monotonic(), terminal

    told()
    _beating += 1
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _beating -= 1
        ended.set()
        thread.join()
        told()


def _patience() -> float:
    told = os.environ.get("FUSECAT_SILENCE")
    try:
        return EVERY if told is None else float(told)
    except ValueError:
        raise UsageError(
            f"FUSECAT_SILENCE={told}: give the seconds of silence after which progress is told, such as 60, or unset it"
        ) from None


def _write(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # nobody listens, or there is no stderr
        sys.stderr.write(text)
        sys.stderr.flush()


_scratch: list[str] = []
_ending: list[threading.Thread] = []
_obeying = False


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder that is removed even where the process has to be ended."""
    with tempfile.TemporaryDirectory(prefix="fusecat-", ignore_cleanup_errors=True) as folder:
        _scratch.append(folder)
        try:
            yield Path(folder)
        finally:
            _scratch.remove(folder)


def end_soon() -> None:
    """End the process in `GRACE` seconds, if it has not ended by itself: some library swallowed Ctrl-C, or takes its time.

    Nothing is lost: whatever is written appears by a rename. Only a process that is ours, that of a command, is ended.
    """
    if _obeying and not _ending:
        _ending.append(threading.Thread(target=_end, name="ending", daemon=True))
        _ending[0].start()


def interrupted() -> bool:
    """Whether Ctrl-C has come: whatever fails after it fails of it."""
    return bool(_ending)


def _end() -> None:
    time.sleep(GRACE)
    for child in multiprocessing.active_children():
        child.kill()
    for folder in _scratch:
        shutil.rmtree(folder, ignore_errors=True)
    told()
    _write(f"error: {INTERRUPTION}\n")
    os._exit(INTERRUPTED)


@contextmanager
def obeying() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, as ever; what does not end by that is ended (see `end_soon`)."""
    global _obeying
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    # the system tells of the signal here at once, whatever the main thread waits for and whether it may be disturbed
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def watch() -> None:
        while number := os.read(reading, 1):
            if number[0] in (signal.SIGINT, signal.SIGTERM):  # the second only where somebody handles it
                end_soon()
        os.close(reading)

    before, _obeying = signal.signal(signal.SIGINT, _interrupt), True
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=watch, name="interrupts", daemon=True).start()
    try:
        yield
    finally:
        _obeying = False
        signal.set_wakeup_fd(woken)
        os.close(writing)
        signal.signal(signal.SIGINT, before)


@contextmanager
def finishing(seconds: float) -> Iterator[None]:
    """Whoever answers others in this block finishes what is under way: so many seconds pass before it is ended.

    What a service manager sends (SIGTERM) counts as Ctrl-C here.
    """
    global GRACE
    before, GRACE = GRACE, seconds
    handler = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        GRACE = before
        signal.signal(signal.SIGTERM, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    end_soon()
    raise KeyboardInterrupt
