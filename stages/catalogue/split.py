"""The split: which labelled product is for fitting, for choosing, for reporting. One split, stored once, used by everything.

Deterministic by seed and product ids alone: the order of rows, the machine and the version of any library do not matter,
because the dice are SHA-256 of seed and id.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.records import expecting, read_record, write_record
from fusecat.cache.store import Rows
from fusecat.cache.table import NO_PART
from fusecat.stages.catalogue.assign_parts import assign_parts
from fusecat.stages.catalogue.collector import resting_collector
from fusecat.stages.catalogue.data_model import Catalogue, Finding
from fusecat.stages.catalogue.messages import fail, offered
from fusecat.stages.errors import UsageError
from fusecat.stages.vocabulary import PARTS, Part, SplitProtocol

SEED = 2020
FEWEST_PRODUCTS = 3
FEWEST_CLASSES = 2
"""What a part must have at least for a score on it to mean anything."""
_FORMAT = 1
WAY_OUT = "run 'fusecat extract' again, which writes it anew (for imported vectors: remove it, then 'fusecat import --labels')"


@dataclass(frozen=True)
class GroupSummary:
    """Groups of two or more duplicates: how many, how many products are in them, and the ids of the largest."""

    count: int
    products: int
    largest: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """The part of every product, in catalogue order; None for products without a label or outside of the subset.

    `ids` are the products, `catalogue` is the fingerprint of their ids and labels; `own` is True for a split that came with the
    catalogue (then protocol says only whether there is a test part, and seed and head_share mean nothing). `tied`: id -> group,
    of the products that are in a group of two or more.
    """

    protocol: SplitProtocol
    head_share: float
    seed: int
    parts: tuple[Part | None, ...]
    groups: GroupSummary
    ids: tuple[str, ...]
    catalogue: str
    subset: str | None = None
    own: bool = False
    findings: tuple[Finding, ...] = ()
    tied: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Products per part, the empty parts left out."""
        return {part.value: self.parts.count(part) for part in Part if part in self.parts}

    @property
    def codes(self) -> NDArray[np.uint8]:
        """(N,) index of each product's part into `PARTS`, `NO_PART` where it is in none."""
        return np.array([NO_PART if part is None else PARTS.index(part) for part in self.parts], np.uint8)

    @property
    def record(self) -> dict[str, Any]:
        """How the products were parted, as JSON values, without naming any but those of the largest group."""
        return {
            "protocol": self.protocol.value,
            "head_share": self.head_share,
            "seed": self.seed,
            "subset": self.subset,
            "own": self.own,
            "counts": self.counts,
            "groups": {"count": self.groups.count, "products": self.groups.products, "largest": list(self.groups.largest)},
        }

    def write(self, path: Path) -> Path:
        """Store the split as JSON beside the digest of the catalogue that it parts."""
        record = self.record | {
            "format": _FORMAT,
            "catalogue": self.catalogue,
            "findings": [[f.kind, f.count, f.first, f.treatment] for f in self.findings],
            "parts": dict(zip(self.ids, self.parts, strict=True)),
            "tied": dict(self.tied),
        }
        return write_record(path, record)

    @classmethod
    def read(cls, path: Path, catalogue: Catalogue) -> "Split":
        """The split of this catalogue. Raises DataError where the file parts another one, DamagedFile where it is no split."""
        record = read_record(path, WAY_OUT)
        with expecting(path, WAY_OUT):
            if record["format"] != _FORMAT:
                fail(f"{path}: format {record['format']}, this version reads {_FORMAT}: remove it and extract again")
            if record["catalogue"] != fingerprint(catalogue):
                fail(f"{path} parts another catalogue than {catalogue.source} (other ids or labels): use another --workspace")
            ids = tuple(product.id for product in catalogue.products)
            parts = tuple(None if record["parts"][identity] is None else Part(record["parts"][identity]) for identity in ids)
            return cls(
                protocol=SplitProtocol(record["protocol"]),
                head_share=float(record["head_share"]),
                seed=int(record["seed"]),
                parts=parts,
                groups=GroupSummary(
                    record["groups"]["count"], record["groups"]["products"], tuple(record["groups"]["largest"])
                ),
                ids=ids,
                catalogue=record["catalogue"],
                subset=record["subset"],
                own=bool(record["own"]),
                findings=tuple(Finding(*values) for values in record["findings"]),
                tied=_tied(record),
            )


def groups_in(path: Path, ids: Sequence[str]) -> NDArray[np.intp] | None:
    """(N,) group of each of these products, by the file of a split; None where it tells none, or is not there.

    Raises: DamagedFile where the file is no split.
    """
    try:
        record = read_record(path, WAY_OUT)
    except FileNotFoundError:
        return None
    with expecting(path, WAY_OUT):
        tied = _tied(record)
    return _numbered(tied, ids) if tied else None


def _numbered(tied: Mapping[str, int], ids: Sequence[str]) -> NDArray[np.intp]:
    """(N,) group of each product; one that is tied to nobody has a group of its own."""
    alone = 1 + max(tied.values(), default=-1)
    return np.array([tied.get(identity, alone + row) for row, identity in enumerate(ids)], np.intp)


def _tied(record: Mapping[str, Any]) -> dict[str, int]:
    """Nothing where an earlier version wrote the file."""
    return {str(identity): int(group) for identity, group in record.get("tied", {}).items()}


def catalogue_rows(catalogue: Catalogue, parting: Split) -> Rows:
    """Ids, labels and split of every product, in catalogue order."""
    ids = [product.id for product in catalogue.products]
    return Rows(ids, catalogue.labels, parting.codes, catalogue.classes, PARTS)


def fingerprint(catalogue: Catalogue) -> str:
    """SHA-256 over the ids and labels of all products, in catalogue order."""
    rows = [[product.id, product.code] for product in catalogue.products]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


@resting_collector()
def split(
    catalogue: Catalogue,
    groups: NDArray[np.intp],
    *,
    protocol: SplitProtocol,
    head_share: float = 0.0,
    seed: int = SEED,
    subset: Literal["described"] | None = None,
) -> Split:
    """Part the labelled products: stratified by class, and no group on both sides.

    `80-20`: 20 % test, then 15 % of the rest validation; `90-10`: 10 % validation and no test. Shares are rounded up.
    `head_share` is taken of the train that remains. A class of one member stays in train. `subset="described"` parts only the
    products that have a description (the thesis' choice). A split of one's own (`given_parts`) is taken as it is.

    Raises: DataError where the catalogue is too small or has one class only.
    """
    if not 0 <= head_share < 1:
        raise UsageError(f"--head-share {head_share}: a share of the training products from 0 to below 1 is expected")
    labels = np.array(catalogue.labels)
    if subset == "described":
        labels[[product.description is None for product in catalogue.products]] = -1
    rows = np.flatnonzero(labels >= 0)
    if len(np.unique(labels[rows])) < FEWEST_CLASSES:
        found = f"only '{catalogue.classes[labels[rows[0]]]}' is there" if len(rows) else "there is none"
        fail(f"{catalogue.source}: at least two classes with labelled products are needed, {found}")
    ids = tuple(product.id for product in catalogue.products)
    own, drawn = catalogue.given_parts is not None, tuple[Finding, ...]()
    if catalogue.given_parts is not None:
        parts = [
            None if part is None or label < 0 else Part(part) for part, label in zip(catalogue.given_parts, labels, strict=True)
        ]
        protocol = SplitProtocol.TEST_20 if Part.TEST in parts else SplitProtocol.NO_TEST
        if Part.VALIDATION not in parts and {Part.TRAIN, Part.TEST} <= set(parts):
            drawn = _drawn_from_train(ids, labels, groups, parts, seed)
    else:
        parts = [None] * len(labels)
        for row, part in assign_parts(ids, labels, groups, protocol=protocol, head_share=head_share, seed=seed):
            parts[row] = part
    torn = _straddling(catalogue, groups, parts) if own else ()
    findings = (*drawn, *_small_classes(catalogue, labels, parts), *torn)
    summary, mark = summarise(catalogue, groups), fingerprint(catalogue)
    sizes = np.bincount(groups)
    tied = {identity: group for identity, group in zip(ids, groups.tolist(), strict=True) if sizes[group] > 1}
    result = Split(protocol, head_share, seed, tuple(parts), summary, ids, mark, subset, own, findings, tied)
    _check(result, catalogue, labels)
    return result


def redrawn(first: Split, catalogue: Catalogue, seed: int) -> Split:
    """The same products parted as `first` parts them (protocol, shares, subset, groups), with another seed.

    Raises: UsageError where `first` was given with the products, DataError where this seed leaves a part too small.
    """
    if first.own:
        raise UsageError(f"--splits: {catalogue.source} has a split of its own, given with the products, and no other is drawn")
    subset: Literal["described"] | None = "described" if first.subset else None
    groups = _numbered(first.tied, first.ids)
    return split(catalogue, groups, protocol=first.protocol, head_share=first.head_share, seed=seed, subset=subset)


def _drawn_from_train(
    ids: Sequence[str], labels: NDArray[np.int32], groups: NDArray[np.intp], parts: list[Part | None], seed: int
) -> tuple[Finding, ...]:
    """Change a tenth of train into validation, by class and whole groups, and say so."""
    train = np.where([part is Part.TRAIN for part in parts], labels, -1)
    for row, part in assign_parts(ids, train, groups, protocol=SplitProtocol.NO_TEST, head_share=0.0, seed=seed):
        parts[row] = part
    rows = [row for row, part in enumerate(parts) if part is Part.VALIDATION]
    treatment = "the given split has no validation part: this tenth of train becomes it, by class, duplicates together"
    return (Finding("validation_drawn", len(rows), f"id {ids[rows[0]]}", treatment),) if rows else ()


def summarise(catalogue: Catalogue, groups: NDArray[np.intp]) -> GroupSummary:
    """Count the groups of two or more."""
    sizes = np.bincount(groups)
    many = sizes[sizes > 1]
    largest: tuple[str, ...] = ()
    if len(many):
        largest = tuple(catalogue.products[row].id for row in np.flatnonzero(groups == sizes.argmax()))
    return GroupSummary(len(many), int(many.sum()), largest)


def _small_classes(catalogue: Catalogue, labels: NDArray[np.int32], parts: Sequence[Part | None]) -> tuple[Finding, ...]:
    """Classes of one member, and classes that are scored and never learned, as counted warnings."""
    counts = np.bincount(labels[labels >= 0], minlength=len(catalogue.classes))
    learned = {label for label, part in zip(labels.tolist(), parts, strict=True) if part in (Part.TRAIN, Part.HEAD)}
    single = [number for number in np.flatnonzero(counts == 1).tolist() if number in learned]
    scored = {label for label, part in zip(labels.tolist(), parts, strict=True) if part in (Part.VALIDATION, Part.TEST)}
    unknown = sorted(scored - learned)
    found = (
        ("single_member_classes", single, "one product only: kept in train, learned and never scored"),
        ("classes_not_in_train", unknown, "no product to learn from: every one in validation and test will be wrong"),
    )
    codes = catalogue.classes
    return tuple(Finding(kind, len(few), f"type code {codes[few[0]]}", treatment) for kind, few, treatment in found if few)


def _straddling(catalogue: Catalogue, groups: NDArray[np.intp], parts: Sequence[Part | None]) -> tuple[Finding, ...]:
    """Groups of duplicates on both sides of a split of one's own, as a counted warning."""
    sides: dict[int, set[Part]] = {}
    for group, part in zip(groups.tolist(), parts, strict=True):
        if part is not None:
            sides.setdefault(group, set()).add(part)
    torn = [group for group, own in sides.items() if len(own) > 1]
    if not torn:
        return ()
    first = catalogue.products[int(np.flatnonzero(groups == torn[0])[0])].id
    return (Finding("groups_across_parts", len(torn), f"id {first}", "kept as the given split has them: scores may flatter"),)


def _check(result: Split, catalogue: Catalogue, labels: NDArray[np.int32]) -> None:
    """Raise DataError where a part is too small to choose by or to report on."""
    needed = (
        (Part.TRAIN, Part.VALIDATION, Part.TEST) if result.protocol is SplitProtocol.TEST_20 else (Part.TRAIN, Part.VALIDATION)
    )
    for part in needed:
        rows = [row for row, own in enumerate(result.parts) if own is part]
        if len(rows) < FEWEST_PRODUCTS or len(set(labels[rows].tolist())) < FEWEST_CLASSES:
            if result.own:
                flags = offered("--split-column", "--split-column and --split-file", "split=")
                fail(
                    f"{catalogue.source}: the given split leaves {len(rows)} for {part} (at least {FEWEST_PRODUCTS} of "
                    f"{FEWEST_CLASSES} classes needed): put some there, or leave {flags} out"
                )
            tied = f", {result.groups.products} of them tied in {result.groups.count} groups" if result.groups.count else ""
            fail(
                f"{catalogue.source}: too little data for the {result.protocol} split: {sum(labels >= 0)} labelled products"
                f"{tied} leave {len(rows)} for {part} (at least {FEWEST_PRODUCTS} of {FEWEST_CLASSES} classes needed): add some"
            )
