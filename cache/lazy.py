"""Logits that stay on disk until some rows of them are asked for.

Shapes: N products, C classes, n rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.reading import SealedFile


class StoredLogits:
    """`logits` or `logits_oof` (N, C) of an open file, in place of an array: `found[rows]` reads them.

    Every reading checks the whole against its digest but holds only the rows that were asked for. Raises DamagedFeature, and
    ForeignFile for values that no logits can have.
    """

    def __init__(self, file: SealedFile, name: str, present: NDArray[np.bool_], ids: NDArray[np.bytes_]) -> None:
        self._file, self._name, self._present, self._ids = file, name, present, ids

    def __getitem__(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> NDArray[np.float32]:
        """(n, C), in the order of `rows`: numbers, a mask, or a slice."""
        wanted = np.arange(len(self._present))[rows]
        found = np.empty((len(wanted), len(self._file.header.classes)), np.float32)
        ascending = np.argsort(wanted, kind="stable")
        ordered, start, taken = wanted[ascending], 0, 0
        for piece in self._file.pieces(self._name):
            stop = start + len(piece)
            cut = slice(start, stop)
            self._file.check_values(self._name, piece, self._present[cut], self._ids[cut])
            until = int(np.searchsorted(ordered, stop))
            found[ascending[taken:until]] = piece[ordered[taken:until] - start]
            start, taken = stop, until
        return found

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """All of them, for numpy."""
        return np.asarray(self[:], dtype)
