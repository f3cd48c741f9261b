"""Arrays that somebody else wrote, read as a stream: `.npy`, `.npz`, `.parquet`, `.h5`. Nothing in them is trusted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cache.errors import CacheError, ForeignFile
from cache.foreign import MAGIC, dataset_at
from cache.source import EMBEDDING, Source, choose, matrix, refuse, rows_per_chunk
from cache.source_numpy import Npy, Npz

IDS = ("product_id", "ids", "id")
"""Where ids are looked for inside of a file of vectors."""
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
        with self._open() as file:
            self._names = [name.decode("utf-8", "replace") for name in file.id]
            self._key = key or choose(path, None, called, self._names, lambda name: self._rank(file, name) == 2)
            dataset = dataset_at(file, self._key, path)
            self.rows, self.width = matrix(path, dataset.shape, dataset.dtype)

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        with self._open() as file:
            dataset = dataset_at(file, self._key, self._path)
            step = rows_per_chunk(self.width, dataset.dtype)
            for start in range(0, self.rows, step):
                try:
                    yield dataset[start : start + step]
                except OSError as error:
                    refuse(self._path, f"'{self._key}' cannot be read from row {start} on: {error}", error)

    def column(self, *names: str) -> NDArray[Any] | None:
        """The first of these datasets that is there, in the root."""
        with self._open() as file:
            for name in names:
                if name in self._names:
                    dataset = dataset_at(file, name, self._path)
                    if dataset.shape != (self.rows,):
                        refuse(self._path, f"'{name}' has the shape {dataset.shape}, not a value per vector")
                    return np.asarray(dataset[...])
        return None

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
            import pyarrow.parquet as pq
        except ImportError as error:
            message = f"{path}: Parquet needs pyarrow; run 'pip install pyarrow', or bring the vectors as .npy"
            raise CacheError(message) from error
        self._path = path
        with path.open("rb"):  # what the disk or the rights refuse shows here
            pass
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowException as error:
            refuse(path, f"it is not a Parquet file ({error})", error)
        self._kinds = {field.name: field.type for field in self._file.schema_arrow}
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        self._key = choose(path, key, called, self._kinds, lambda name: any(fits(self._kinds[name]) for fits in lists))
        self.rows = self._file.metadata.num_rows
        first = next(self._batches(1), np.empty((0, 0)))
        self.width = matrix(path, (self.rows, *first.shape[1:]), first.dtype)[1]

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        for chunk in self._batches(rows_per_chunk(self.width, np.dtype(np.float32))):
            if chunk.shape[1:] != (self.width,):
                refuse(self._path, f"the lists in '{self._key}' are not all of length {self.width}")
            yield chunk

    def column(self, *names: str) -> NDArray[Any] | None:
        """The first of these columns that is there."""
        for name in names:
            if name in self._kinds:
                values = self._file.read([name]).column(0).to_pylist()
                if None in values:
                    refuse(self._path, f"'{name}' is empty (null) in row {values.index(None)}; every row needs a value")
                return np.array(values)
        return None

    def _batches(self, size: int) -> Iterator[NDArray[Any]]:
        from pyarrow import compute

        for batch in self._file.iter_batches(size, columns=[self._key]):
            column = batch.column(0)
            lengths = compute.unique(compute.list_value_length(column)).to_pylist()
            values = column.flatten()
            if len(lengths) != 1 or lengths[0] is None or values.null_count:
                refuse(self._path, f"the lists in '{self._key}' have gaps or different lengths")
            yield values.to_numpy(zero_copy_only=False).reshape(len(column), lengths[0])
