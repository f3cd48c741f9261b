"""One sealed feature file, opened to read: nothing leaves it that was not checked.

Shapes: N products, D width, C classes, P pieces of 256 rows.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

import h5py
import numpy as np
from h5py import h5a, h5s, h5t
from numpy.typing import NDArray

from cache.errors import CacheError, DamagedFeature, ForeignFile, UnusableVectors
from cache.fingerprint import digest
from cache.foreign import MAGIC, check_storage, child, filters, plain
from cache.layout import (
    FORMAT,
    OPTIONAL,
    PIECE,
    TEXTS,
    TYPES,
    VERSION,
    Header,
    check_codes,
    check_values,
    chunk_rows,
    digest_dataset,
    digest_pieces,
)

LONGEST_ATTRIBUTE = 2**26
"""Bytes; a class list of 10,000 names takes a hundredth of it."""


class SealedFile:
    """A feature file; `with SealedFile(path) as file`. Raises OSError, ForeignFile or DamagedFeature.

    On opening, the structure and all attributes are checked against the content digest; each dataset is checked against its own
    digest when it is read. `name`: the feature that the file must be, None for any.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        with path.open("rb") as file:  # what the disk or the rights refuse shows here, as what it is
            magic = file.read(len(MAGIC))
        if magic != MAGIC:
            self._damaged("it does not begin as an HDF5 file does")
        with self._as_damage():
            self._file = h5py.File(path, "r", libver=("v110", "v110"), locking=False)
        try:
            with self._as_damage():
                self.header = self._header()
                self._datasets = self._members()
            if name is not None and self.header.feature != name:
                message = f"{path} holds the feature '{self.header.feature}', not '{name}'; give the file its own name back"
                raise ForeignFile(message)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._datasets

    def read(self, name: str) -> NDArray[Any]:
        """A whole dataset, checked against its digest."""
        with self._as_damage():
            array = self.raw(name)
        if digest_dataset(name, array) != self.header.digests[name]["sha256"]:
            self._damaged(f"'{name}' is not what was sealed")
        return array

    def raw(self, name: str) -> NDArray[Any]:
        """A whole dataset as HDF5 gives it, unchecked: `read` is what you want."""
        dataset = self._datasets[name]
        array = np.empty(dataset.shape, dataset.dtype)
        dataset.read_direct(array)
        return array

    def read_piece(self, number: int, digests: NDArray[np.uint8], *, check: bool = True) -> NDArray[Any]:
        """Vectors of one piece (256, D), the last one shorter; checked against row `number` of `embedding_digest`."""
        dataset, start = self._datasets["embedding"], number * PIECE
        array = np.empty((min(PIECE, self.header.rows - start), dataset.shape[1]), dataset.dtype)
        with self._as_damage():
            dataset.read_direct(array, np.s_[start : start + len(array)])
        if check and (digest_pieces(array)[0] != digests[number]).any():
            self._damaged(f"'embedding' from row {start} on is not what was sealed")
        return array

    def columns(self) -> dict[str, NDArray[Any]]:
        """`product_id`, `label`, `split` and `present`, with their values checked."""
        found = {name: self.read(name) for name in ("product_id", "label", "split", "present")}
        problem = check_codes(found["label"], found["split"], len(self.header.classes), len(self.header.parts))
        if problem:
            self._foreign(problem)
        if len(np.unique(found["product_id"])) != self.header.rows:
            self._foreign("a product id occurs twice")
        return found

    def vectors(self, name: str, columns: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """`embedding`, `logits` or `logits_oof`, whole: finite, and zero where a product is absent."""
        array = self.read(name)
        try:
            check_values(self.header.feature, name, array, columns["present"], columns["product_id"])
        except UnusableVectors as error:
            self._foreign(str(error), error)
        return array

    def piece_digests(self) -> NDArray[np.uint8]:
        """The digests of the pieces of `embedding` (P, 32), checked against that of the whole."""
        digests = self.read("embedding_digest")
        if digest(digests.tobytes()) != self.header.digests["embedding"]["sha256"]:
            self._foreign("'embedding_digest' does not belong to 'embedding'")
        return digests

    def check(self) -> None:
        """Read and check everything."""
        columns = self.columns()
        self.piece_digests()
        for name in self._datasets:
            if name in {"embedding", *OPTIONAL}:
                self.vectors(name, columns)

    def _header(self) -> Header:
        texts = self._attributes()
        stated = texts.pop("content_digest")
        if texts["format"] != FORMAT:
            self._foreign("it is not a feature file")
        if texts["format_version"] != VERSION:
            message = (
                f"it is of format version {texts['format_version']}, this fusecat reads version {VERSION}; install a newer one"
            )
            self._foreign(message)
        if digest(texts) != stated:
            self._damaged("its attributes are not what was sealed")
        value = {
            name: json.loads(str(texts[name])) for name in ("classes", "parts", "recipe", "fitted_on", "versions", "digests")
        }
        fitted_on = None if value["fitted_on"] is None else tuple(value["fitted_on"])
        return Header(
            feature=str(texts["feature"]),
            classes=tuple(value["classes"]),
            parts=tuple(value["parts"]),
            recipe=value["recipe"],
            weights=str(texts["weights"]),
            fitted_on=fitted_on,
            versions=value["versions"],
            digests=value["digests"],
        )

    def _attributes(self) -> dict[str, str | int]:
        root = self._file["/"].id
        found: dict[str, str | int] = {}
        names = sorted(h5a.open(root, index=number).name.decode() for number in range(h5a.get_num_attrs(root)))
        if "format_version" not in names or "format" not in names:
            self._foreign("it is not a feature file")
        for name in names:
            attribute = h5a.open(root, name.encode())
            kind = attribute.get_type()
            if attribute.get_space().get_simple_extent_type() != h5s.SCALAR:
                self._foreign(f"the attribute '{name}' is not a single value")
            if name == "format_version":
                if not isinstance(kind, h5t.TypeIntegerID):
                    self._foreign("'format_version' is not a number")
                found[name] = int(self._file.attrs[name])
                continue
            if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or kind.get_size() > LONGEST_ATTRIBUTE:
                self._foreign(f"the attribute '{name}' is not a text of fixed length")
            found[name] = bytes(self._file.attrs[name]).decode("utf-8")
        if found["format_version"] == VERSION and set(names) != {*TEXTS, "format_version"}:
            self._foreign(f"its attributes are {', '.join(names)}")
        return found

    def _members(self) -> dict[str, h5py.Dataset]:
        names = {name.decode("utf-8", "replace") for name in self._file.id}
        if not set(TYPES) - OPTIONAL <= names <= set(TYPES) or names != set(self.header.digests):
            self._foreign(f"it holds {', '.join(sorted(names)) or 'nothing'}")
        found: dict[str, h5py.Dataset] = {}
        for name in sorted(names):
            opened = child(self._file, name, self.path)
            if not isinstance(opened, h5py.h5d.DatasetID):
                self._foreign(f"'{name}' is not a dataset")
            found[name] = dataset = h5py.Dataset(opened)
            check_storage(dataset, self.path)
            entry = self.header.digests[name]
            if plain(dataset.dtype) not in TYPES[name] or plain(dataset.dtype) != entry["dtype"]:
                self._foreign(f"'{name}' has the type {dataset.dtype}")
            if list(dataset.shape) != list(entry["shape"]) or dataset.shape != self._shape(name, dataset):
                self._foreign(f"'{name}' has the shape {dataset.shape}")
            chunks = (chunk_rows(name, dataset.shape, dataset.dtype.itemsize), *dataset.shape[1:])
            if filters(dataset) != [h5py.h5z.FILTER_FLETCHER32] or dataset.chunks != chunks:
                self._foreign(f"'{name}' is not stored in chunks of {chunks} with fletcher32 alone")
        return found

    def _shape(self, name: str, dataset: h5py.Dataset) -> tuple[int, ...]:
        """The shape that a dataset must have."""
        rows = self.header.rows
        match name:
            case "embedding":
                return (rows, max(1, dataset.shape[1])) if dataset.ndim == 2 and rows else (-1, -1)
            case "embedding_digest":
                return (-(-rows // PIECE), 32)
            case "logits" | "logits_oof":
                return (rows, len(self.header.classes))
            case _:
                return (rows,)

    @contextmanager
    def _as_damage(self) -> Iterator[None]:
        """HDF5 meets damage in many ways, all of them exceptions of h5py."""
        try:
            yield
        except CacheError:
            raise
        except Exception as error:
            self._damaged(f"HDF5 says: {error}", error)

    def _damaged(self, reason: str, cause: Exception | None = None) -> NoReturn:
        message = f"{self.path} is damaged: {reason}. Remove it, and the command that made it makes it again"
        raise DamagedFeature(message) from cause

    def _foreign(self, reason: str, cause: Exception | None = None) -> NoReturn:
        message = f"{self.path} is not a feature file of this version: {reason}"
        raise ForeignFile(message) from cause
