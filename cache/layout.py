"""What a feature file holds: names, types, shapes and digests (see FORMAT.md, which says the same in prose).

Shapes: N products, D width, C classes, P pieces of 256 rows.
"""

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import CacheError, UnusableVectors
from fusecat.cache.fingerprint import JSON, canonical, digest
from fusecat.cache.table import NO_PART

FORMAT = "fusecat feature"
VERSION = 1
SUFFIX = ".h5"
PIECE = 256
"""Rows of `embedding` that share a chunk and a digest, so that a reader of some rows can check just these."""
ID_BYTES = 1024
"""The longest id, in bytes of UTF-8: ids are stored at a fixed length, one long id would blow up all."""

TYPES: Mapping[str, tuple[str, ...]] = {
    "embedding": ("<f2", "<f4"),
    "embedding_digest": ("|u1",),
    "label": ("<i4",),
    "logits": ("<f4",),
    "logits_oof": ("<f4",),
    "present": ("|b1",),
    "product_id": ("|S",),
    "split": ("|u1",),
}
"""Dataset -> the types that it may have, as numpy writes them."""
OPTIONAL = frozenset({"logits", "logits_oof"})
TEXTS = ("classes", "content_digest", "digests", "feature", "fitted_on", "format", "parts", "recipe", "versions", "weights")
"""The attributes of text; `format_version` is the only number."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_@+=.-]{0,199}")


@dataclass(frozen=True)
class Header:
    """The attributes of a feature file, decoded. `digests`: dataset -> {"dtype", "shape", "sha256"}."""

    feature: str
    classes: tuple[str, ...]
    parts: tuple[str, ...]
    recipe: Mapping[str, JSON]
    weights: str
    fitted_on: tuple[str, ...] | None
    versions: Mapping[str, str]
    digests: Mapping[str, Mapping[str, Any]]

    @property
    def rows(self) -> int:
        """N."""
        return int(self.digests["embedding"]["shape"][0])

    @property
    def width(self) -> int:
        """D."""
        return int(self.digests["embedding"]["shape"][1])

    @property
    def storage(self) -> str:
        """`float16` or `float32`, as the vectors are stored."""
        return str(np.dtype(self.digests["embedding"]["dtype"]))

    @property
    def fingerprint(self) -> str:
        """Digest of ids, labels, split, classes and parts: equal for features that may stand side by side."""
        shared: dict[str, JSON] = {name: self.digests[name]["sha256"] for name in ("label", "product_id", "split")}
        return digest(shared | {"classes": self.classes, "parts": self.parts})

    def attributes(self) -> dict[str, str | int]:
        """What is stored, `content_digest` included."""
        written: dict[str, JSON] = {
            "classes": self.classes,
            "digests": self.digests,
            "fitted_on": self.fitted_on,
            "parts": self.parts,
            "recipe": self.recipe,
            "versions": self.versions,
        }
        stored: dict[str, str | int] = {name: canonical(value).decode("utf-8") for name, value in written.items()}
        stored |= {"feature": self.feature, "format": FORMAT, "format_version": VERSION, "weights": self.weights}
        return stored | {"content_digest": digest(dict(stored))}


def is_file_name(name: str) -> bool:
    """Whether a file or folder can be called that, and stays where it is put."""
    return name.isprintable() and not set(name) & set("/\\") and name.strip(" .") == name and 0 < len(os.fsencode(name)) <= 200


def check_name(feature: str) -> str:
    """Return the name of a feature, or refuse one that could not be a file's."""
    if not _NAME.fullmatch(feature):
        raise CacheError(
            f"{feature!r} cannot be the name of a feature: use letters, digits and . _ - @ + =, as in camembert.title"
        )
    return feature


def chunk_rows(name: str, shape: tuple[int, ...], itemsize: int) -> int:
    """Rows per chunk: a piece of vectors or logits, about 1 MiB of anything else."""
    rows = PIECE if name in {"embedding", *OPTIONAL} else max(1, 2**20 // (itemsize * math.prod(shape[1:])))
    return min(rows, shape[0])


def digest_pieces(array: NDArray[Any]) -> NDArray[np.uint8]:
    """SHA-256 of each 256 rows of `array` (N, D). Returns (P, 32)."""
    pieces = [hashlib.sha256(_bytes(array[start : start + PIECE])).digest() for start in range(0, len(array), PIECE)]
    return np.frombuffer(b"".join(pieces), np.uint8).reshape(-1, 32)


def digest_dataset(name: str, array: NDArray[Any]) -> str:
    """The digest of a whole dataset: of its bytes; `embedding`: of the digests of its pieces, one after the other."""
    return hashlib.sha256(_bytes(digest_pieces(array) if name == "embedding" else array)).hexdigest()


def finite(array: NDArray[Any]) -> bool:
    """Whether a float matrix holds neither NaN nor infinity.

    It looks at the bits as whole numbers, because numpy is slow on float16: of either sign, infinity is the largest number
    that is one, and all above it are NaN.
    """
    signed, unsigned, infinity, negative = (
        (np.int16, np.uint16, 0x7C00, 0xFC00) if array.dtype == np.float16 else (np.int32, np.uint32, 0x7F800000, 0xFF800000)
    )
    if not array.size:
        return True
    return bool(array.view(signed).max() < infinity and array.view(unsigned).max() < negative)


def decode(ids: NDArray[np.bytes_]) -> NDArray[np.str_]:
    """Ids as text (N,)."""
    try:
        return ids.astype(np.str_)  # ASCII alone, and ten times faster
    except UnicodeDecodeError:
        return np.char.decode(ids, "utf-8")


def check_values(feature: str, name: str, array: NDArray[Any], present: NDArray[np.bool_], ids: NDArray[np.bytes_]) -> None:
    """Refuse NaN and infinity, and anything but zero in the rows of absent products."""
    if not finite(array):
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise UnusableVectors(f"{feature}: the {name} of product '{ids[row].decode('utf-8', 'replace')}' holds NaN or infinity")
    absent = np.flatnonzero(~present)
    if len(absent) and array[absent].any():
        row = int(absent[array[absent].any(axis=1)][0])
        raise UnusableVectors(
            f"{feature}: product '{ids[row].decode('utf-8', 'replace')}' is absent, but its {name} is not zero"
        )


def check_codes(labels: NDArray[np.int32], split: NDArray[np.uint8], classes: int, parts: int) -> str | None:
    """What is wrong with labels (-1 or a class) or split codes (a part or `NO_PART`), in words; None when nothing is."""
    if len(labels) and (labels.min() < -1 or labels.max() >= classes):
        return f"a label lies outside of -1 ... {classes - 1}"
    if ((split >= parts) & (split != NO_PART)).any():
        return f"a split code is neither below {parts} nor {NO_PART}"
    return None


def _bytes(array: NDArray[Any]) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
