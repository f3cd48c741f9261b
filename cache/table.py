"""Features side by side: one aligned, immutable table, the only thing that stage two sees.

Shapes: N products, D width of one feature, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

NO_PART = 255
"""Split code of a product that belongs to no part (unlabelled, or outside the chosen subset)."""


class Logits(Protocol):
    """(N, C) float32: an array, or something that reads the rows it is asked for."""

    def __getitem__(self, rows: Any, /) -> Any:
        """The logits of these rows (n, C)."""

    def __array__(self) -> NDArray[Any]:
        """All of them."""


@dataclass(frozen=True)
class Feature:
    """What one network says of one field.

    `embedding` (N, D) float16 or float32; `logits` (N, C) float32 or None (imported vectors may have none); `logits_oof` (N, C)
    float32 or None (out-of-fold); `present` (N,) bool: False where the product lacks the field, and then its vector and logits
    are zero. `fitted_on`: parts whose labels the network has seen, or None where nobody knows. `digest`: SHA-256 of the sealed
    content, empty for vectors that no file holds.
    """

    name: str
    embedding: NDArray[np.floating]
    present: NDArray[np.bool_]
    logits: Logits | None = None
    logits_oof: Logits | None = None
    fitted_on: tuple[str, ...] | None = ()
    digest: str = ""

    @property
    def network(self) -> str:
        """The part of the name before the last dot: `camembert` of `camembert.title`."""
        return self.name.rpartition(".")[0]

    @property
    def field(self) -> str:
        """The part of the name after the last dot: `title` of `camembert.title`."""
        return self.name.rpartition(".")[2]

    @property
    def width(self) -> int:
        """D, the length of one vector."""
        return int(self.embedding.shape[1])


@dataclass(frozen=True)
class Samples:
    """Products of one study, row for row.

    `ids` (N,) text; `labels` (N,) int32 index into `classes`, -1 unlabelled; `split` (N,) uint8 index into `parts`, `NO_PART`
    for products in no part.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int32]
    split: NDArray[np.uint8]
    classes: tuple[str, ...]
    parts: tuple[str, ...]

    def rows(self, *parts: str) -> NDArray[np.intp]:
        """Row numbers of the labelled products of these parts, in their order."""
        codes = [self.parts.index(part) for part in parts if part in self.parts]
        return np.flatnonzero(np.isin(self.split, codes) & (self.labels >= 0))


@dataclass(frozen=True)
class FeatureTable(Samples):
    """Features that agree on ids, labels, split and classes, row for row.

    Arrays are read-only. `fingerprint` is the digest of ids, labels, split and classes. `groups` (N,): rows of one number are
    copies of each other, None where nobody said.
    """

    features: Mapping[str, Feature]
    fingerprint: str = ""
    groups: NDArray[np.intp] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))
        arrays = [self.ids, self.labels, self.split]
        for feature in self.features.values():
            arrays += [feature.embedding, feature.present]
            arrays += [array for array in (feature.logits, feature.logits_oof) if isinstance(array, np.ndarray)]
        for array in arrays:
            array.flags.writeable = False
