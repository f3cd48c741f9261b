"""What vectors of others have in common, whatever file they lie in: a believable matrix of numbers, streamed.

Shapes: n vectors in the order of the file, D their width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import ForeignFile
from fusecat.cache.layout import ID_BYTES

CHUNK = 2**23
"""Bytes read at a time."""
EMBEDDING = "embedding"
"""What the vectors are called where a file holds several arrays and nobody says which."""
WIDEST = 2**17
"""The widest vector that is believed: larger than any encoder's, small enough for a chunk of rows in memory."""


LONGEST = 4 * ID_BYTES
"""Bytes of a text in a column: numpy keeps four per character."""


class Source(ABC):
    """Vectors in a file: `rows` n, `width` D, and what else the file holds."""

    rows: int
    width: int
    names: tuple[str, ...] = ()
    """What the file calls its arrays, columns or datasets."""
    key: str = ""
    """Which of these holds the vectors, where one does."""
    index: tuple[str, ...] = ()
    """The columns that pandas kept its index in."""

    @abstractmethod
    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order, some rows at a time; a row of `gaps` is zero."""

    def column(self, *names: str) -> Iterator[NDArray[Any]] | None:
        """The first of these columns that the file holds: one text or number per row, some rows at a time.

        None where it has none of them. Whoever reads ids stops at the first that comes twice: a column of one value is a bomb.
        """
        found = next((name for name in names if name in self.names), None)
        return None if found is None else self._column(found)

    def _column(self, name: str) -> Iterator[NDArray[Any]]:
        """One of `names`, row by row; refused at once where it is not one text or number per row."""
        raise NotImplementedError

    def gaps(self) -> NDArray[np.intp]:
        """The rows in which no vector stands (null)."""
        return np.zeros(0, np.intp)


def matrix(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
    """Rows and width, if this is a matrix of numbers that can be believed."""
    if len(shape) != 2 or dtype.kind not in "fiu":
        way = "; store vectors.reshape(len(vectors), -1)" if dtype.kind in "fiu" and len(shape) > 2 else ""
        way = "; store vectors.astype('float32')" if dtype.kind in "bUS" and len(shape) == 2 else way
        fail(path, f"it holds {dtype} of shape {shape}, not a matrix of numbers (a row per product){way}")
    if not shape[0] or not 1 <= shape[1] <= WIDEST:
        fail(path, f"its shape is {shape}; at least one row, and between 1 and {WIDEST} columns are expected")
    return shape[0], shape[1]


def choose(path: Path, key: str | None, called: str, names: Iterable[str], fits: Callable[[str], bool]) -> str:
    """Choose the array: the one asked for, or the only one that fits, or the one that is called so."""
    if key is not None:
        if key not in names:
            fail(path, f"it has no '{key}'; it has {', '.join(names)}")
        return key
    known = list(names)
    found = [name for name in known if fits(name)]
    if called in found:
        return called
    if not found:
        named = f": {', '.join(known[:8])}" if known else ""
        fail(path, f"none of its arrays is a matrix of numbers (a row per product){named}")
    if len(found) != 1:
        way = "which array holds the vectors? pass --key with one of"
        if called != EMBEDDING:
            way = f"which array holds the {called}? name it '{called}'; there are"
        fail(path, f"{way}: {', '.join(found)}")
    return found[0]


def fail(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise ForeignFile."""
    raise ForeignFile(f"{path} cannot be imported: {reason}") from cause


def refuse_column(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int) -> None:
    """Refuse what is not a number or a text of bearable length per row."""
    if shape != (rows,) or dtype.kind not in "biufUS" or not 1 <= dtype.itemsize <= LONGEST:
        fail(
            path, f"'{name}' has the shape {shape} and the type {dtype}, not a number or text of at most {ID_BYTES} bytes a row"
        )


def rows_per_chunk(width: int, dtype: np.dtype[Any]) -> int:
    """Rows that are read at a time."""
    return max(1, CHUNK // (width * dtype.itemsize))
