"""What other catalogues left of this one's vectors: found by content, then put into this one's order.

Shapes: N products, K different contents, n ids of a file, m products of this catalogue that are known, D width, C classes.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature
from fusecat.stages.external.vectors import Staging

STEP = 4096
"""Rows that are turned into float32 at a time."""


class VectorIndex:
    """Content -> file and row in which another catalogue left its vector; 40 bytes per content.

    `keys` (N,): digests of content as bytes, b"" where there is none. `files`: the names that `find` numbers.
    """

    def __init__(self, keys: NDArray[np.bytes_]) -> None:
        self.files: list[str] = []
        self._keys = np.unique(keys[keys != b""])
        self._file = np.full(len(self._keys), -1, np.int32)
        self._row = np.zeros(len(self._keys), np.int32)

    def add(self, file: str, ids: NDArray[np.bytes_]) -> None:
        """The ids `<digest>-<n>` of a file; what an earlier file holds stays where it is."""
        places = self._places(ids.astype(self._keys.dtype))  # cuts off what follows the digest
        rows = np.flatnonzero(places >= 0)[::-1]  # of several rows with one content the first is written last
        rows = rows[self._file[places[rows]] < 0]
        self._file[places[rows]], self._row[places[rows]] = len(self.files), rows
        self.files.append(file)

    def find(self, keys: NDArray[np.bytes_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Number of the file and row in it of each content; the number is -1 where no file holds it."""
        places = self._places(keys)
        if not len(self._keys):
            return np.full(len(keys), -1, np.int32), np.zeros(len(keys), np.int32)
        return np.where(places >= 0, self._file[places], -1).astype(np.int32), self._row[places]

    def _places(self, keys: NDArray[np.bytes_]) -> NDArray[np.intp]:
        """(n,) place of each among the different contents, -1 where it is none of them."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.intp)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, places, -1)


class ReusedVectors:
    """Vectors (m, D) and logits (m, C) of products that other catalogues knew, on disk in the order of this one.

    Each stored file is read once, whatever the order of its products is. `halves`: all of them were stored in half precision.
    """

    def __init__(self, folder: Path, count: int, width: int, classes: int) -> None:
        self.halves = True
        self._vectors = Staging(folder, count, width)
        self._logits = Staging(folder, count, classes)

    def close(self) -> None:
        """Give back the disk."""
        self._vectors.close()
        self._logits.close()

    def put(self, feature: Feature, sources: NDArray[np.integer], places: NDArray[np.intp]) -> None:
        """Take these rows of a stored feature to these places."""
        assert feature.logits is not None, "embed writes logits"
        self.halves &= feature.embedding.dtype == np.float16
        for start in range(0, len(places), STEP):
            part = slice(start, start + STEP)
            self._vectors.put(feature.embedding[sources[part]], places[part])
            self._logits.put(feature.logits[sources[part]], places[part])

    def read(self, places: range) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors and logits of consecutive places."""
        return self._vectors.read(places), self._logits.read(places)
