"""How reading ends when it cannot go on."""

from typing import NoReturn

from stages.errors import DataError


def refuse(message: str) -> NoReturn:
    """Raise DataError: one line that names file, line and column, and the way out."""
    raise DataError(message)
