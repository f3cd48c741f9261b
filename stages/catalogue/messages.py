"""How reading ends when it cannot go on, and how text from a catalogue is quoted in a message."""

import shlex
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

from fusecat.stages.errors import DataError

OPTIONS: ContextVar[frozenset[str] | None] = ContextVar("OPTIONS", default=None)
"""The options of the command that runs; None: no command does, and a message may speak of any."""


def offered(option: str, way: str, otherwise: str = "") -> str:
    """The way out where the running command has the option that it needs, else the other one."""
    options = OPTIONS.get()
    return way if options is None or option in options else otherwise


def fail(message: str) -> NoReturn:
    """Raise DataError: one printable line that names file, line and column, and the way out."""
    raise DataError(printable(message))


def printable(text: str) -> str:
    """The text with `?` for what could drive a terminal or break a line (file names and headers may hold anything)."""
    return "".join(character if character.isprintable() else "?" for character in text)


def pasted(path: Path) -> str:
    """A path as a shell reads it, never as an option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def shorten(text: str, width: int = 60) -> str:
    """The text, cut where it would fill the terminal."""
    return text if len(text) <= width else f"{text[:width]}... ({len(text)} characters)"
