"""Arrays that somebody else wrote, read as a stream: `.npy`, `.npz`, `.parquet`, `.h5`. Nothing in them is trusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from fusecat.cache.bounds import at_most
from fusecat.cache.errors import CacheError, ForeignFile
from fusecat.cache.foreign import MAGIC, dataset_at
from fusecat.cache.layout import ID_BYTES
from fusecat.cache.parquet_claims import ITEMS, ParquetFile, Unreadable, converting
from fusecat.cache.source import EMBEDDING, Source, choose, fail, matrix, refuse_column, rows_per_chunk
from fusecat.cache.source_numpy import Npy, Npz

IDS = ("product_id", "ids", "id")
"""Where ids are looked for inside of a file of vectors."""
GROWTH = 2**30
"""Bytes by which reading some rows may let the process grow: a few chunks of `cache.foreign.LARGEST_CHUNK`."""
MANY = 2**28
"""Numbers of a batch that stay an array."""
STEP = 8192
"""Values of a Parquet column at a time."""
ENDINGS = (".npy", ".npz", ".parquet", ".h5", ".hdf5")


def open_source(path: Path, key: str | None = None, called: str = EMBEDDING) -> Source:
    """Open the vectors in a file. `key`: the array, column or dataset to take; needed only where there are several.

    `called`: the name that is taken among several without a `key`.
    Raises ForeignFile for anything but a plain matrix of numbers, CacheError where pyarrow is needed and not there, OSError.
    """
    match path.suffix.lower():
        case ".npy":
            return Npy(path)
        case ".npz":
            return Npz(path, key, called)
        case ".parquet":
            return Parquet(path, key, called)
        case ".h5" | ".hdf5":
            return Hdf5(path, key, called)
    message = f"{path} cannot be imported: the ending says the format; use one of {', '.join(ENDINGS)}"
    raise ForeignFile(message)


class Hdf5:
    """A dataset of an HDF5 file, its path checked component by component."""

    def __init__(self, path: Path, key: str | None, called: str) -> None:
        self._path = path
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                fail(path, "it does not begin as an HDF5 file does")
        with self._open() as file, self._reading("opened"):
            self._names = [name.decode("utf-8", "replace") for name in file.id]
            self._key = key or choose(path, None, called, self._names, lambda name: self._rank(file, name) == 2)
            dataset = dataset_at(file, self._key, path)
            self.rows, self.width = matrix(path, dataset.shape, dataset.dtype)

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        return self._rows(self._key, self.width)

    def column(self, *names: str) -> Iterator[NDArray[Any]] | None:
        """The first of these datasets that is there, in the root."""
        for name in names:
            if name in self._names:
                with self._open() as file, self._reading(f"'{name}' read"):
                    dataset = dataset_at(file, name, self._path)
                    refuse_column(self._path, name, dataset.shape, dataset.dtype, self.rows)
                return self._rows(name, 1)
        return None

    def _rows(self, name: str, width: int) -> Iterator[NDArray[Any]]:
        with self._open() as file:
            with self._reading(f"'{name}' read"):
                dataset = dataset_at(file, name, self._path)
                step = rows_per_chunk(width, dataset.dtype)
            for start in range(0, self.rows, step):
                with self._reading(f"'{name}' read from row {start} on"), at_most(GROWTH):
                    chunk = np.asarray(dataset[start : start + step])
                yield chunk

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """HDF5 meets damage in many ways; a chunk that unpacks to more than it should is one that does not fit into memory."""
        try:
            yield
        except CacheError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
            fail(self._path, f"it cannot be {what}: {error or 'it takes too much memory'}", error)

    def _open(self) -> h5py.File:
        try:
            return h5py.File(self._path, "r", locking=False)
        except (OSError, RuntimeError) as error:
            fail(self._path, f"HDF5 says: {error}", error)

    def _rank(self, file: h5py.File, name: str) -> int:
        """Dimensions of a dataset; 0 for everything else, links included."""
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return 0
        member = file[name]
        return member.ndim if isinstance(member, h5py.Dataset) else 0


class Parquet:
    """A column of lists of numbers, all of one length."""

    def __init__(self, path: Path, key: str | None, called: str) -> None:
        self._path = path
        try:
            self._file = ParquetFile(path)
        except ImportError as error:
            message = f"{path}: Parquet needs pyarrow; run 'pip install pyarrow', or bring the vectors as .npy"
            raise CacheError(message) from error
        except Unreadable as error:
            fail(path, f"it is not a Parquet file ({error})", error)
        columns = self._file.columns
        self._key = choose(path, key, called, columns, lambda name: bool(columns[name].items))
        chosen = columns[self._key]
        if not chosen.items:
            fail(path, f"'{self._key}' holds {chosen.kind}, not a list of numbers per row")
        if self._file.rows and chosen.values % self._file.rows:
            self._refuse_lengths()
        shape = self._file.rows, chosen.values // max(1, self._file.rows)
        self.rows, self.width = matrix(path, shape, np.dtype(chosen.items))

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        from pyarrow import compute

        for column in self._read(self._key, rows_per_chunk(self.width, np.dtype(np.float32)), items=MANY):
            with self._converting():
                lengths = compute.unique(compute.list_value_length(column)).to_pylist()
                values = column.flatten()
                if lengths != [self.width] or values.null_count:
                    self._refuse_lengths()
                chunk = values.to_numpy(zero_copy_only=False).reshape(len(column), self.width)
            yield chunk

    def column(self, *names: str) -> Iterator[NDArray[Any]] | None:
        """The first of these columns that is there."""
        found = next((name for name in names if name in self._file.columns), None)
        return None if found is None else self._values(found)

    def _values(self, name: str) -> Iterator[NDArray[Any]]:
        start = 0
        for column in self._read(name, STEP):
            with self._converting():
                values = column.to_pylist()
            if None in values:
                fail(self._path, f"'{name}' is empty (null) in row {start + values.index(None)}; every row needs a value")
            if not all(map(_plain, values)):
                kind = self._file.columns[name].kind
                fail(self._path, f"'{name}' holds {kind}, not a number or a text of {ID_BYTES} bytes per row")
            start += len(values)
            yield np.array(values)

    def _read(self, name: str, size: int, items: int = ITEMS) -> Iterator[Any]:
        """One column, batch by batch."""
        try:
            for batch in self._file.batches(size, [name], items=items):
                yield batch.column(0)
        except Unreadable as error:
            fail(self._path, f"'{name}' cannot be read ({error})", error)

    @contextmanager
    def _converting(self) -> Iterator[None]:
        try:
            with converting():
                yield
        except Unreadable as error:
            fail(self._path, f"it cannot be read ({error})", error)

    def _refuse_lengths(self) -> NoReturn:
        fail(self._path, f"the lists in '{self._key}' have gaps or different lengths")


def _plain(value: Any) -> bool:
    """Whether this is a number, or a text that may be an id."""
    return isinstance(value, bool | int | float) or (isinstance(value, str | bytes) and len(value) <= ID_BYTES)
