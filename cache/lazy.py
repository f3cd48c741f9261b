"""Logits that stay on disk until some rows of them are asked for.

Shapes: N products, C classes, n rows.
"""

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.archive import Sliced
from fusecat.cache.layout import PIECE
from fusecat.cache.reading import SealedFile
from fusecat.cache.structure import damaged


class StoredLogits(Sliced):
    """`logits` or `logits_oof` (N, C) of an open file, in place of an array: `found[rows]` reads them.

    The first reading checks the whole against its digest, and every value, and remembers the CRC-32 of each piece of 256 rows;
    then only the pieces of the rows that are asked for are read. Raises DamagedFeature, and ForeignFile for values that no
    logits can have.
    """

    def __init__(self, file: SealedFile, name: str, present: NDArray[np.bool_], ids: NDArray[np.bytes_]) -> None:
        self._file, self._name, self._present, self._ids = file, name, present, ids
        self._checksums: list[int] = []

    def __getitem__(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> NDArray[np.float32]:
        """(n, C), in the order of `rows`: numbers, a mask, or a slice."""
        wanted = np.arange(len(self._present))[rows]
        found = np.empty((len(wanted), len(self._file.header.classes)), np.float32)
        ascending = np.argsort(wanted, kind="stable")
        ordered, taken = wanted[ascending], 0
        for number, piece in self._pieces(np.unique(ordered // PIECE).tolist()):
            until = int(np.searchsorted(ordered, (number + 1) * PIECE))
            found[ascending[taken:until]] = piece[ordered[taken:until] - number * PIECE]
            taken = until
        return found

    def _pieces(self, numbers: list[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """These pieces; the first time all of them."""
        if self._checksums:
            for number in numbers:
                piece = self._file.raw(self._name, slice(number * PIECE, (number + 1) * PIECE))
                if zlib.crc32(piece.data.cast("B")) != self._checksums[number]:
                    damaged(self._file.path, f"'{self._name}' from row {number * PIECE} on is not what was read before")
                yield number, piece
            return
        checksums = []
        for number, piece in enumerate(self._file.pieces(self._name)):
            cut = slice(number * PIECE, number * PIECE + len(piece))
            self._file.check_values(self._name, piece, self._present[cut], self._ids[cut])
            checksums.append(zlib.crc32(piece.data.cast("B")))
            yield number, piece
        self._checksums = checksums
