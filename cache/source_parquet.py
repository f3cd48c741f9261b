"""Vectors in a Parquet file: a column of lists, or a column per dimension."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import CacheError
from fusecat.cache.layout import ID_BYTES
from fusecat.cache.parquet_claims import ITEMS, ParquetFile, Unreadable, converting
from fusecat.cache.source import EMBEDDING, WIDEST, Source, choose, fail, matrix, rows_per_chunk

MANY = 2**28
"""Numbers of a batch that stay an array."""
STEP = 8192
"""Values of a column at a time."""
NUMBERS = ("halffloat", "float", "double", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
"""Arrow's names of plain numbers."""


class _Columns(Source):
    """What both layouts have in common: columns by name, batch by batch."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, open_parquet(path)
        self.names, self.index = self._file.names, self._file.index

    def _column(self, name: str) -> Iterator[NDArray[Any]]:
        return column_values(self._path, self._file, name)

    def _read(self, names: Sequence[str], size: int, items: int = ITEMS) -> Iterator[Any]:
        return _batches(self._path, self._file, names, size, items)


class ParquetLists(_Columns):
    """A column of lists of numbers, all of one length; a null is a row without a vector."""

    def __init__(self, path: Path, key: str | None, called: str) -> None:
        super().__init__(path)
        columns = self._file.columns
        if key is None and called == EMBEDDING and not any(column.items for column in columns.values()):
            _refuse_columns(path, self._file)
        self.key = choose(path, key, called, columns, lambda name: bool(columns[name].items))
        chosen = columns[self.key]
        if not chosen.items:
            fail(path, f"'{self.key}' holds {chosen.kind}, not a list of numbers per row")
        if chosen.values > self._file.rows * WIDEST:
            fail(path, f"the lists in '{self.key}' are longer than {WIDEST}")
        self.rows, self.width = matrix(path, (self._file.rows, self._first_length()), np.dtype(chosen.items))
        self._full = chosen.values == self.rows * self.width and self.width > 1

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        for start, column in self._lists():
            with _converted(self._path):
                lengths = np.array(_lengths(column), float)
                absent = np.array(column.is_null(), bool)
                odd = np.flatnonzero(~absent & (lengths != self.width))
                if len(odd):
                    self._refuse(start + odd[0], f"is a list of {lengths[odd[0]]:.0f} numbers, not {self.width}")
                values = column.flatten()
                if values.null_count:
                    row = np.flatnonzero(~absent)[np.flatnonzero(np.array(values.is_null()))[0] // self.width]
                    self._refuse(start + row, "holds an empty number (null)")
                chunk = values.to_numpy(zero_copy_only=False).reshape(-1, self.width)
            if absent.any():
                whole = np.zeros((len(column), self.width), chunk.dtype)
                whole[~absent] = chunk
                chunk = whole
            yield chunk

    def gaps(self) -> NDArray[np.intp]:
        """The rows whose list is null."""
        if self._full:  # as many numbers as full rows hold: no pass over the file is needed to know
            return np.zeros(0, np.intp)
        return np.concatenate([start + np.flatnonzero(np.array(column.is_null())) for start, column in self._lists()])

    def _lists(self) -> Iterator[tuple[int, Any]]:
        start = 0
        for batch in self._read([self.key], rows_per_chunk(self.width, np.dtype(np.float32)), MANY):
            yield start, batch.column(0)
            start += len(batch)

    def _first_length(self) -> int:
        """The length of the first list that is no null."""
        batches = self._read([self.key], 1024, MANY)
        found = next((length for batch in batches for length in _lengths(batch.column(0)) if length is not None), None)
        if found is None:
            fail(self._path, f"'{self.key}' is empty (null) in every row")
        return found

    def _refuse(self, row: int, what: str) -> None:
        fail(self._path, f"'{self.key}' {what} in row {row}; a vector per row is needed, all of one length, or null for none")


class ParquetWide(_Columns):
    """A column per dimension, in the order of the numbers in their names; a row of nothing but nulls has no vector."""

    def __init__(self, path: Path, patterns: str) -> None:
        super().__init__(path)
        wanted = [pattern.strip() for pattern in patterns.split(",")]
        for pattern in wanted:
            if not any(fnmatchcase(name, pattern) for name in self.names):
                fail(path, f"no column is called '{pattern}', which was asked for; it has {_few(self.names)}")
        self._chosen = sorted((name for name in self.names if any(fnmatchcase(name, each) for each in wanted)), key=_natural)
        for name in self._chosen:
            if self._file.columns[name].kind not in NUMBERS:
                kind = self._file.columns[name].kind
                fail(path, f"'{name}', one of '{patterns}', holds {kind}, not numbers; choose the columns more narrowly")
        self.rows, self.width = matrix(path, (self._file.rows, len(self._chosen)), np.dtype(np.float64))

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        for start, chunk, empty in self._blocks():
            absent = np.asarray(empty.all(axis=1))
            rows, columns = np.nonzero(empty & ~absent[:, None])
            if len(rows):
                where = f"'{self._chosen[columns[0]]}' is empty (null) in row {start + rows[0]}"
                fail(self._path, f"{where}, other columns are not; empty the whole row, or fill it")
            chunk[absent] = 0
            yield chunk

    def gaps(self) -> NDArray[np.intp]:
        """The rows of nothing but nulls."""
        return np.concatenate([start + np.flatnonzero(empty.all(axis=1)) for start, _, empty in self._blocks()])

    def _blocks(self) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
        """First row, numbers (n, D) and where they are null."""
        start = 0
        for batch in self._read(self._chosen, rows_per_chunk(self.width, np.dtype(np.float64)), MANY):
            with _converted(self._path):
                columns = [batch.column(name) for name in self._chosen]
                chunk = np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)
                empty = np.stack([np.array(column.is_null(), bool) for column in columns], axis=1)
            yield start, chunk, empty
            start += len(batch)


def open_parquet(path: Path) -> ParquetFile:
    """Raises ForeignFile where it is none, CacheError where pyarrow is not installed."""
    try:
        return ParquetFile(path)
    except ImportError as error:
        raise CacheError(f"{path}: Parquet needs pyarrow; run 'pip install pyarrow', or bring the vectors as .npy") from error
    except Unreadable as error:
        fail(path, f"it is not a Parquet file ({error})", error)


def column_values(path: Path, file: ParquetFile, name: str) -> Iterator[NDArray[Any]]:
    """A column of one number or text per row. Raises ForeignFile naming the row that has none."""
    start = 0
    for batch in _batches(path, file, [name], STEP, ITEMS):
        with _converted(path):
            values = batch.column(0).to_pylist()
        if None in values:
            fail(path, f"'{name}' is empty (null) in row {start + values.index(None)}; every row needs a value")
        if not all(map(_plain, values)):
            fail(path, f"'{name}' holds {file.columns[name].kind}, not a number or a text of {ID_BYTES} bytes per row")
        start += len(values)
        yield np.array(values)


def _batches(path: Path, file: ParquetFile, names: Sequence[str], size: int, items: int) -> Iterator[Any]:
    try:
        yield from file.batches(size, names, items=items)
    except Unreadable as error:
        fail(path, f"'{names[0]}' cannot be read ({error})", error)


@contextmanager
def _converted(path: Path) -> Iterator[None]:
    try:
        with converting():
            yield
    except Unreadable as error:
        fail(path, f"it cannot be read ({error})", error)


def _refuse_columns(path: Path, file: ParquetFile) -> None:
    """Name the columns of numbers and the option that takes them, where there are some that look like dimensions."""
    families = defaultdict(list)
    for name, column in file.columns.items():
        if column.kind in NUMBERS and (found := re.fullmatch(r"(.*?)[0-9]+", name)):
            families[found[1]].append(name)
    stem, names = max(families.items(), key=lambda item: len(item[1]), default=("", []))
    if len(names) > 1:
        way = f"its {len(names)} columns of numbers, {_few(names)}, are a vector with --columns '{stem}[0-9]*'"
        fail(path, f"no column holds lists; {way} (of 'fusecat predict': --vector-columns FEATURE='{stem}[0-9]*')")
    if numbers := [name for name, column in file.columns.items() if column.kind in NUMBERS]:
        fail(path, f"no column holds lists; name the columns of numbers of a vector with --columns A,B,...: {_few(numbers)}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 9 else f"{', '.join(names[:4])}, ... {names[-1]}"


def _natural(name: str) -> tuple[list[str], list[int]]:
    """`emb_2` before `emb_10`: whatever order a file has its columns in, a dimension is the same one."""
    return re.split("[0-9]+", name), [int(number) for number in re.findall("[0-9]+", name)]


def _lengths(column: Any) -> list[int | None]:
    from pyarrow import compute

    lengths: list[int | None] = compute.list_value_length(column).to_pylist()
    return lengths


def _plain(value: Any) -> bool:
    """Whether this is a number, or a text that may be an id."""
    return isinstance(value, bool | int | float) or (isinstance(value, str | bytes) and len(value) <= ID_BYTES)
