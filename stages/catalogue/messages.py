"""How reading ends when it cannot go on, and how text from a catalogue is quoted in a message."""

import shlex
from pathlib import Path
from typing import NoReturn

from fusecat.stages.errors import DataError


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
