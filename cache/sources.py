"""Arrays that somebody else wrote, read as a stream: `.npy`, `.npz`, `.parquet`, `.h5`. Nothing in them is trusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from cache.bounds import at_most
from cache.errors import CacheError, ForeignFile
from cache.foreign import MAGIC, dataset_at
from cache.layout import ID_BYTES
from cache.parquet import Unreadable, batches, open_file, reading
from cache.source import EMBEDDING, Source, choose, matrix, refuse, refuse_column, rows_per_chunk
from cache.source_numpy import Npy, Npz

IDS = ("product_id", "ids", "id")
"""Where ids are looked for inside of a file of vectors."""
GROWTH = 2**30
"""Bytes by which reading some rows may let the process grow: a few chunks of `cache.foreign.LARGEST_CHUNK`."""
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
                refuse(path, "it does not begin as an HDF5 file does")
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
            refuse(self._path, f"it cannot be {what}: {error or 'it takes too much memory'}", error)

    def _open(self) -> h5py.File:
        try:
            return h5py.File(self._path, "r", locking=False)
        except (OSError, RuntimeError) as error:
            refuse(self._path, f"HDF5 says: {error}", error)

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
        try:
            import pyarrow as pa
        except ImportError as error:
            message = f"{path}: Parquet needs pyarrow; run 'pip install pyarrow', or bring the vectors as .npy"
            raise CacheError(message) from error
        self._path = path
        with path.open("rb"):  # what the disk or the rights refuse shows here
            pass
        try:
            self._file = open_file(path)
        except Unreadable as error:
            refuse(path, f"it is not a Parquet file ({error})", error)
        with self._reading():
            self._kinds = {field.name: field.type for field in self._file.schema_arrow}
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        self._key = choose(path, key, called, self._kinds, lambda name: any(fits(self._kinds[name]) for fits in lists))
        if not any(fits(self._kinds[self._key]) for fits in lists):
            refuse(path, f"'{self._key}' holds {self._kinds[self._key]}, not a list of numbers per row")
        self.rows: int = self._file.metadata.num_rows
        with self._reading():
            shape, dtype = (self.rows, self._claimed()), self._dtype()
        self.width = matrix(path, shape, dtype)[1]

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        for chunk in self._batches(rows_per_chunk(self.width, np.dtype(np.float32))):
            if chunk.shape[1:] != (self.width,):
                refuse(self._path, f"the lists in '{self._key}' are not all of length {self.width}")
            yield chunk

    def column(self, *names: str) -> Iterator[NDArray[Any]] | None:
        """The first of these columns that is there."""
        found = next((name for name in names if name in self._kinds), None)
        return None if found is None else self._values(found)

    def _values(self, name: str) -> Iterator[NDArray[Any]]:
        start = 0
        for column in self._read(name, STEP):
            with self._reading():
                values = column.to_pylist()
            if None in values:
                refuse(self._path, f"'{name}' is empty (null) in row {start + values.index(None)}; every row needs a value")
            if not all(isinstance(value, bool | int | float) or self._is_text(value) for value in values):
                refuse(self._path, f"'{name}' holds {self._kinds[name]}, not a number or a text of {ID_BYTES} bytes per row")
            array = np.array(values)
            refuse_column(self._path, name, array.shape, array.dtype, len(values))
            start += len(values)
            yield array

    def _refuse_lengths(self) -> NoReturn:
        refuse(self._path, f"the lists in '{self._key}' have gaps or different lengths")

    @staticmethod
    def _is_text(value: Any) -> bool:
        return isinstance(value, str | bytes) and len(value) <= ID_BYTES

    def _claimed(self) -> int:
        """The width, as far as the footer tells the truth: values per row."""
        groups = [self._file.metadata.row_group(number) for number in range(self._file.metadata.num_row_groups)]
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        total: int = sum(column.num_values for column in columns if f"{column.path_in_schema}.".startswith(f"{self._key}."))
        if self.rows and total % self.rows:
            self._refuse_lengths()
        return total // max(1, self.rows)

    def _dtype(self) -> np.dtype[Any]:
        """What the lists hold, as numpy calls it."""
        try:
            dtype: np.dtype[Any] = np.dtype(self._kinds[self._key].value_type.to_pandas_dtype())
        except (NotImplementedError, TypeError):
            dtype = np.dtype(object)
        return dtype

    def _batches(self, size: int) -> Iterator[NDArray[Any]]:
        from pyarrow import compute

        for column in self._read(self._key, size):
            with self._reading():
                lengths = compute.unique(compute.list_value_length(column)).to_pylist()
                values = column.flatten()
                if len(lengths) != 1 or lengths[0] is None or values.null_count:
                    self._refuse_lengths()
                chunk = values.to_numpy(zero_copy_only=False).reshape(len(column), lengths[0])
            yield chunk

    def _read(self, name: str, size: int) -> Iterator[Any]:
        """One column, batch by batch; exactly as many rows as the footer says."""
        rows = 0
        try:
            for batch in batches(self._file, size, [name]):
                rows += len(batch)
                if rows > self.rows:
                    break
                yield batch.column(0)
        except Unreadable as error:
            refuse(self._path, f"'{name}' cannot be read ({error})", error)
        if rows != self.rows:
            refuse(self._path, f"'{name}' does not have the {self.rows} rows that the file claims")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with reading():
                yield
        except Unreadable as error:
            refuse(self._path, f"it cannot be read ({error})", error)
