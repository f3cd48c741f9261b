"""Vectors in a dataset of an HDF5 file that somebody else wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fusecat.cache.bounds import at_most
from fusecat.cache.errors import CacheError
from fusecat.cache.foreign import MAGIC, dataset_at
from fusecat.cache.layout import ID_BYTES
from fusecat.cache.source import Source, choose, fail, matrix, refuse_column, rows_per_chunk

GROWTH = 2**30
"""Bytes by which reading some rows may let the process grow: a few chunks of `cache.foreign.LARGEST_CHUNK`."""
MOST_BELOW = 64
"""Datasets in groups among which the vectors are looked for."""
STEP = 8192
"""Texts of any length that are read at a time."""


class Hdf5(Source):
    """A dataset of an HDF5 file, its path checked component by component."""

    def __init__(self, path: Path, key: str | None, called: str) -> None:
        self._path = path
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                fail(path, "it does not begin as an HDF5 file does")
        with self._open() as file, self._reading("opened"):
            self.names = tuple(name.decode("utf-8", "replace") for name in file.id)
            places = self.names if any(self._rank(file, name) == 2 for name in self.names) else _below(file)
            self.key = key or choose(path, None, called, places, lambda name: self._rank(file, name) == 2)
            dataset = dataset_at(file, self.key, path)
            self.rows, self.width = matrix(path, dataset.shape, dataset.dtype)

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        with self._open() as file:
            with self._reading(f"'{self.key}' read"):
                dataset = dataset_at(file, self.key, self._path)
            yield from self._rows(dataset, self.key, rows_per_chunk(self.width, dataset.dtype))

    def _column(self, name: str) -> Iterator[NDArray[Any]]:
        """A dataset in the root; texts may be of fixed or of any length."""
        with self._open() as file, self._reading(f"'{name}' read"):
            dataset = dataset_at(file, name, self._path, texts=True)
            fixed = dataset.dtype if dataset.dtype.kind != "O" else np.dtype(f"S{ID_BYTES}")
            refuse_column(self._path, name, dataset.shape, fixed, self.rows)
        return self._values(name)

    def _values(self, name: str) -> Iterator[NDArray[Any]]:
        with self._open() as file:
            dataset = dataset_at(file, name, self._path, texts=True)
            if dataset.dtype.kind != "O":
                yield from self._rows(dataset, name, rows_per_chunk(1, dataset.dtype))
                return
            for chunk in self._rows(dataset, name, STEP):
                if max(map(len, chunk)) > ID_BYTES:
                    fail(self._path, f"'{name}' holds a text of more than {ID_BYTES} bytes")
                yield chunk.astype(np.bytes_)

    def _rows(self, dataset: h5py.Dataset, name: str, step: int) -> Iterator[NDArray[Any]]:
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


def _below(file: h5py.File) -> list[str]:
    """The first datasets in the groups of a file; no link is followed."""
    found: list[str] = []

    def note(name: str, member: object) -> bool | None:
        if isinstance(member, h5py.Dataset):
            found.append(name)
        return True if len(found) >= MOST_BELOW else None

    file.visititems(note)
    return found
