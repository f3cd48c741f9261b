"""Products as stage one sees them: catalogue and images, and of a study their split, row for row."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.fingerprint import digest
from fusecat.cache.store import Rows
from fusecat.stages.catalogue.data_model import Catalogue
from fusecat.stages.catalogue.duplicates import duplicate_groups
from fusecat.stages.catalogue.image_index import MAX_PIXELS, ImageIndex
from fusecat.stages.catalogue.split import Split, catalogue_rows
from fusecat.stages.errors import UsageError
from fusecat.stages.fields import Field
from fusecat.stages.vocabulary import PARTS, Part


@dataclass(frozen=True)
class Dataset:
    """Products and what is known of their images: all that a network looks at. `max_pixels`: of an image that is decoded."""

    catalogue: Catalogue
    images: ImageIndex
    max_pixels: int = field(default=MAX_PIXELS, kw_only=True)

    def texts(self, field: Field) -> list[str | None]:
        """The cleaned text of a field per product, None where it is absent; of joined texts the parts that are there."""
        assert not field.is_image, "an image is not a text"
        return [field.of(product) for product in self.catalogue.products]

    def pictures(self) -> list[tuple[Path, ...]]:
        """The readable images per product that a network is to look at, () where there are none."""
        return [self.images.usable(product) for product in self.catalogue.products]

    def content(self, field: Field) -> str:
        """Digest of what a network of this field sees, and of nothing else: a changed picture never touches a text network."""
        if field.is_image:
            return digest([[self.images.digest(path) for path in paths] for paths in self.pictures()])
        return digest(self.texts(field))

    def present(self, field: Field) -> NDArray[np.bool_]:
        """(N,) whether the product has the field."""
        return np.array([bool(value) for value in (self.pictures() if field.is_image else self.texts(field))], bool)


@dataclass(frozen=True)
class Study(Dataset):
    """A dataset and its split."""

    split: Split

    @cached_property
    def rows(self) -> Rows:
        """Ids, labels, split and classes of every product, in catalogue order."""
        return catalogue_rows(self.catalogue, self.split)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Digests of what all features share: the first part of every recipe."""
        rows = self.rows
        return {
            "ids": digest(list(rows.ids)),
            "labels": digest([rows.classes[label] if label >= 0 else None for label in rows.labels]),
            "split": digest([None if part is None else part.value for part in self.split.parts]),
        }

    def labelled(self, part: Part, present: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Rows of a part that have a label and the field."""
        return np.flatnonzero((self.rows.split == PARTS.index(part)) & (self.rows.labels >= 0) & present)

    def folds(self, count: int) -> NDArray[np.int8]:
        """(N,) fold of every labelled training product, the same for all fields, -1 elsewhere. Drawn from the split's seed."""
        rows = np.flatnonzero((self.rows.split == PARTS.index(Part.TRAIN)) & (self.rows.labels >= 0))
        if not 2 <= count <= min(len(rows), np.iinfo(np.int8).max):
            raise UsageError(f"--folds {count}: from 2 to {min(len(rows), np.iinfo(np.int8).max)} folds are possible here")
        return stratified_group_folds(self.rows.ids, self.rows.labels, self._groups, rows, count, self.split.seed)

    @cached_property
    def _groups(self) -> NDArray[np.intp]:
        """(N,) number of each product's group of duplicates."""
        return duplicate_groups(self.catalogue, self.images)

    def without(self, rows: NDArray[np.intp]) -> "Study":
        """The same study with these products in no part: nothing is learnt from them."""
        parts = list(self.split.parts)
        for row in rows.tolist():
            parts[row] = None
        return replace(self, split=replace(self.split, parts=tuple(parts)))


def stratified_group_folds(
    ids: Sequence[str], labels: NDArray[np.int32], groups: NDArray[np.intp], rows: NDArray[np.intp], count: int, seed: int
) -> NDArray[np.int8]:
    """(N,) fold of each of `rows`, -1 elsewhere: stratified by class, each group of duplicates in one fold.

    Groups are dealt first, the largest first, then single products; each goes to the fold that has fewest of its classes. Like
    the split's, the dice are SHA-256 of seed and id: neither the order of the rows nor a library's version matters.
    """
    folds = np.full(len(ids), -1, np.int8)
    dice = {row: hashlib.sha256(f"{seed}\x00fold\x00{ids[row]}".encode()).digest() for row in rows.tolist()}
    members: dict[int, list[int]] = {}
    for row in sorted(dice, key=lambda row: dice[row]):
        members.setdefault(int(groups[row]), []).append(row)
    dealt = np.zeros((count, int(labels.max()) + 1), np.int64)
    for group in sorted(members.values(), key=len, reverse=True):  # a stable sort: equals stay in the order of the dice
        own = labels[group]
        fold = min(range(count), key=lambda number: (dealt[number, own].sum(), dealt[number].sum(), number))
        folds[group] = fold
        np.add.at(dealt[fold], own, 1)
    return folds
