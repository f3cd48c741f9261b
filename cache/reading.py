"""One sealed feature file, opened to read: nothing leaves it that was not checked.

Shapes: N products, D width, C classes, P pieces of 256 rows.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import CacheError, UnusableVectors
from fusecat.cache.fingerprint import digest
from fusecat.cache.foreign import MAGIC
from fusecat.cache.layout import OPTIONAL, PIECE, check_codes, check_values, digest_dataset
from fusecat.cache.structure import damaged, foreign, read_header, read_members

CHECKSUM = 4
"""Bytes of the fletcher32 that HDF5 writes after each piece."""


class SealedFile(AbstractContextManager["SealedFile"]):
    """A feature file; `with SealedFile(path) as file`. Raises OSError, ForeignFile or DamagedFeature.

    On opening, the structure and all attributes are checked against the content digest; each dataset is checked against its own
    digest when it is read. `name`: the feature that the file must be, None for any.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            foreign(path, "it is not a regular file")
        with path.open("rb") as file:  # what the disk or the rights refuse shows here, as what it is
            magic = file.read(len(MAGIC))
        if magic != MAGIC:
            damaged(path, "it does not begin as an HDF5 file does")
        with self._as_damage():
            self._file = _open(path)
        try:
            with self._as_damage():
                self.header = read_header(self._file, path)
                self._datasets = read_members(self._file, self.header, path)
            if name is not None and self.header.feature != name:
                foreign(path, f"it holds the feature '{self.header.feature}'; give it back its own name")
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._datasets

    def read(self, name: str) -> NDArray[Any]:
        """Read a whole dataset and check it against its digest."""
        if name == "embedding":
            whole = np.empty(self._datasets[name].shape, self._datasets[name].dtype)
            for number, array in enumerate(self.pieces(name)):
                whole[number * PIECE : number * PIECE + len(array)] = array
            return whole
        array = self.raw(name)
        if digest_dataset(name, array) != self.header.digests[name]["sha256"]:
            damaged(self.path, f"'{name}' is not what was sealed")
        return array

    def raw(self, name: str, rows: slice | None = None) -> NDArray[Any]:
        """Read a whole dataset, or some of its rows, as HDF5 gives it, unchecked: `read` is what you want."""
        dataset = self._datasets[name]
        start, stop, _ = (rows or slice(None)).indices(dataset.shape[0])
        array = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
        with self._as_damage():
            dataset.read_direct(array, None if rows is None else np.s_[start:stop])
        return array

    def columns(self) -> dict[str, NDArray[Any]]:
        """`product_id`, `label`, `split` and `present`, with their values checked."""
        found = {name: self.read(name) for name in ("product_id", "label", "split", "present")}
        problem = check_codes(found["label"], found["split"], len(self.header.classes), len(self.header.parts))
        if problem:
            foreign(self.path, problem)
        if len(np.unique(found["product_id"])) != self.header.rows:
            foreign(self.path, "a product id occurs twice")
        return found

    def vectors(self, name: str, columns: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """`embedding`, `logits` or `logits_oof`, whole: finite, and zero where a product is absent."""
        array = self.read(name)
        self.check_values(name, array, columns["present"], columns["product_id"])
        return array

    def check_values(self, name: str, array: NDArray[Any], present: NDArray[np.bool_], ids: NDArray[np.bytes_]) -> None:
        """Refuse NaN, infinity and absent products that are not zero: a valid digest says nothing about sense."""
        try:
            check_values(self.header.feature, name, array, present, ids)
        except UnusableVectors as error:
            foreign(self.path, str(error), error)

    def piece_digests(self) -> NDArray[np.uint8]:
        """The digests of the pieces of `embedding` (P, 32), checked against that of the whole."""
        digests = self.read("embedding_digest")
        if digest(digests.tobytes()) != self.header.digests["embedding"]["sha256"]:
            foreign(self.path, "'embedding_digest' does not belong to 'embedding'")
        return digests

    @property
    def piece_bytes(self) -> int:
        """Bytes of one piece of `embedding` in the file, with the checksum that HDF5 adds; the last is as long as all."""
        shape = self.header.digests["embedding"]["shape"]
        return min(PIECE, int(shape[0])) * int(shape[1]) * int(self._datasets["embedding"].dtype.itemsize) + CHECKSUM

    def chunk(self, number: int, space: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read the vectors of one piece (256, D), the last one shorter, unchecked and past HDF5.

        HDF5 would lock other threads out and add up its slow fletcher32. `space`: where to read, (256, D) or more rows; fresh
        memory is slower than the reading.
        """
        rows, width = self.header.digests["embedding"]["shape"]
        rows = min(PIECE, rows - number * PIECE)
        found = np.empty((rows, width), self._datasets["embedding"].dtype) if space is None else space[:rows]
        if os.preadv(self._file.id.get_vfd_handle(), [found.data.cast("B")], self.offsets[number]) != found.nbytes:
            damaged(self.path, "it ends too early")
        return found

    @cached_property
    def offsets(self) -> dict[int, int]:
        """Where in the file each piece of `embedding` begins."""
        found: dict[int, int] = {}
        sizes = set()

        def note(chunk: Any) -> None:
            found[chunk.chunk_offset[0] // PIECE] = chunk.byte_offset
            sizes.add(chunk.size)

        with self._as_damage():
            self._datasets["embedding"].id.chunk_iter(note)
        if sizes != {self.piece_bytes} or sorted(found) != list(range(-(-self.header.rows // PIECE))):
            damaged(self.path, "'embedding' does not lie in whole pieces")
        return found

    def check_piece(self, number: int, array: NDArray[Any], digests: NDArray[np.uint8]) -> None:
        """Raise DamagedFeature unless a piece has the SHA-256 that was sealed."""
        if hashlib.sha256(array.data.cast("B")).digest() != digests[number].tobytes():
            damaged(self.path, f"'embedding' from row {number * PIECE} on is not what was sealed")

    def announce(self, numbers: NDArray[np.intp]) -> None:
        """Tell the system which pieces are read next, so that the disk works while the processor does."""
        if not hasattr(os, "posix_fadvise"):
            return
        descriptor = self._file.id.get_vfd_handle()
        for number in numbers.tolist():
            os.posix_fadvise(descriptor, self.offsets[number], self.piece_bytes, os.POSIX_FADV_WILLNEED)

    def pieces(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield `embedding`, `logits` or `logits_oof` 256 rows at a time.

        Raises DamagedFeature before a piece of `embedding` that is not what was sealed, at the end for the others.
        """
        if name == "embedding":
            digests = self.piece_digests()
            for number in range(len(digests)):
                array = self.chunk(number)
                self.check_piece(number, array, digests)
                yield array
            return
        sha256 = hashlib.sha256()
        for start in range(0, self.header.rows, PIECE):
            array = self.raw(name, slice(start, start + PIECE))
            sha256.update(array.tobytes())
            yield array
        if sha256.hexdigest() != self.header.digests[name]["sha256"]:
            damaged(self.path, f"'{name}' is not what was sealed")

    def check(self) -> None:
        """Read and check everything, 256 rows at a time."""
        columns = self.columns()
        for name in ("embedding", *sorted(OPTIONAL)):
            if name not in self:
                continue
            for number, array in enumerate(self.pieces(name)):
                cut = slice(number * PIECE, number * PIECE + len(array))
                self.check_values(name, array, columns["present"][cut], columns["product_id"][cut])

    @contextmanager
    def _as_damage(self) -> Iterator[None]:
        """HDF5 meets damage in many ways, all of them exceptions of h5py."""
        try:
            yield
        except CacheError:
            raise
        except Exception as error:
            damaged(self.path, f"HDF5 says: {error}", error)


def _open(path: Path) -> h5py.File:
    """Open without a lock: a sealed file never changes, and shared folders may not know locks."""
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "locking flag" not in str(error):
            raise
        return h5py.File(path, "r")  # somebody in this process has it open in HDF5's ordinary way
