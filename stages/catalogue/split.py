"""The split: which labelled product is for fitting, for choosing, for reporting. One split, stored once, used by everything.

Deterministic by seed and product ids alone: the order of rows, the machine and the version of any library do not matter,
because the dice are SHA-256 of seed and id.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.catalogue.product import Finding
from stages.catalogue.reading import Catalogue
from stages.catalogue.refusal import refuse
from stages.errors import UsageError
from stages.vocabulary import Part, Protocol

SEED = 2020
TEST = Fraction(20, 100)
VALIDATION_OF_REST = Fraction(15, 100)
VALIDATION_WITHOUT_TEST = Fraction(10, 100)
FEWEST_PRODUCTS = 3
FEWEST_CLASSES = 2
"""What a part must have at least for a score on it to mean anything."""
_FORMAT = 1
_ORDER = (Part.TEST, Part.VALIDATION, Part.HEAD, Part.TRAIN)


@dataclass(frozen=True)
class GroupSummary:
    """Groups of two or more duplicates: how many, how many products are in them, and the ids of the largest."""

    count: int
    products: int
    largest: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """The part of every product, in catalogue order; None for products without a label or outside of the subset.

    `ids` are the products, `catalogue` is the fingerprint of their ids and labels.
    """

    protocol: Protocol
    head_share: float
    seed: int
    parts: tuple[Part | None, ...]
    groups: GroupSummary
    ids: tuple[str, ...]
    catalogue: str
    subset: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Products per part, the empty parts left out."""
        return {part.value: self.parts.count(part) for part in Part if part in self.parts}

    def write(self, path: Path) -> Path:
        """Store the split as JSON beside the digest of the catalogue that it parts."""
        record = {
            "format": _FORMAT,
            "catalogue": self.catalogue,
            "protocol": self.protocol.value,
            "head_share": self.head_share,
            "seed": self.seed,
            "subset": self.subset,
            "counts": self.counts,
            "groups": {"count": self.groups.count, "products": self.groups.products, "largest": list(self.groups.largest)},
            "findings": [[f.kind, f.count, f.first, f.treatment] for f in self.findings],
            "parts": dict(zip(self.ids, self.parts, strict=True)),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(partial, path)
        return path

    @classmethod
    def read(cls, path: Path, catalogue: Catalogue) -> "Split":
        """The split of this catalogue. Raises DataError where the file parts another one, or is no split."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["format"] != _FORMAT:
                refuse(f"{path}: format {record['format']}, this version reads {_FORMAT}: remove it and extract again")
            if record["catalogue"] != fingerprint(catalogue):
                refuse(f"{path} parts another catalogue than {catalogue.source} (other ids or labels): use another --workspace")
            ids = tuple(product.id for product in catalogue.products)
            parts = tuple(None if record["parts"][identity] is None else Part(record["parts"][identity]) for identity in ids)
            return cls(
                protocol=Protocol(record["protocol"]),
                head_share=float(record["head_share"]),
                seed=int(record["seed"]),
                parts=parts,
                groups=GroupSummary(
                    record["groups"]["count"], record["groups"]["products"], tuple(record["groups"]["largest"])
                ),
                ids=ids,
                catalogue=record["catalogue"],
                subset=record["subset"],
                findings=tuple(Finding(*values) for values in record["findings"]),
            )
        except (KeyError, TypeError, ValueError):
            refuse(f"{path} is not a split that this version wrote: remove it and extract again")


def fingerprint(catalogue: Catalogue) -> str:
    """SHA-256 over the ids and labels of all products, in catalogue order."""
    rows = [[product.id, product.code] for product in catalogue.products]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def split(
    catalogue: Catalogue,
    groups: NDArray[np.intp],
    *,
    protocol: Protocol,
    head_share: float = 0.0,
    seed: int = SEED,
    subset: Literal["described"] | None = None,
) -> Split:
    """Part the labelled products: stratified by class, and no group on both sides.

    `80-20`: 20 % test, then 15 % of the rest validation; `90-10`: 10 % validation and no test. Shares are rounded up.
    `head_share` is taken of the train that remains. A class of one member stays in train. `subset="described"` parts only the
    products that have a description (the thesis' choice).

    Raises: DataError where the catalogue is too small or has one class only.
    """
    if not 0 <= head_share < 1:
        message = f"--head-share {head_share}: a share of the training products from 0 to below 1 is expected"
        raise UsageError(message)
    labels = np.array(catalogue.labels)
    if subset == "described":
        labels[[product.description is None for product in catalogue.products]] = -1
    rows = np.flatnonzero(labels >= 0)
    if len(np.unique(labels[rows])) < FEWEST_CLASSES:
        found = ", ".join(sorted({catalogue.classes[label] for label in labels[rows]})) or "none"
        refuse(f"{catalogue.source}: at least two classes with labelled products are needed, found: {found}")
    quotas = _quotas(np.bincount(labels[rows], minlength=len(catalogue.classes)), protocol, head_share)
    parts: list[Part | None] = [None] * len(labels)
    for row, number in _assign(catalogue, labels, groups, rows, quotas, seed):
        parts[row] = _ORDER[number]
    result = Split(
        protocol=protocol,
        head_share=head_share,
        seed=seed,
        parts=tuple(parts),
        groups=summarise(catalogue, groups),
        ids=tuple(product.id for product in catalogue.products),
        catalogue=fingerprint(catalogue),
        subset=subset,
        findings=_small_classes(catalogue, labels, rows),
    )
    _check(result, catalogue, labels)
    return result


def summarise(catalogue: Catalogue, groups: NDArray[np.intp]) -> GroupSummary:
    """Count the groups of two or more."""
    sizes = np.bincount(groups)
    many = sizes[sizes > 1]
    largest: tuple[str, ...] = ()
    if len(many):
        largest = tuple(catalogue.products[row].id for row in np.flatnonzero(groups == sizes.argmax()))
    return GroupSummary(len(many), int(many.sum()), largest)


def _quotas(counts: NDArray[np.integer], protocol: Protocol, head_share: float) -> NDArray[np.int64]:
    """(parts in `_ORDER`, C) products wanted of each class: a class of one is train's, from three on each part gets one."""
    total = int(counts.sum())
    test = _up(total * TEST) if protocol is Protocol.TEST_20 else 0
    validation = _up((total - test) * VALIDATION_OF_REST) if test else _up(total * VALIDATION_WITHOUT_TEST)
    head = round((total - test - validation) * head_share)
    left = counts.astype(np.int64)
    wanted = []
    for size, others in ((test, 2), (validation, 1), (head, 1)):
        share = _apportion(left, size, others)
        wanted.append(share)
        left = left - share
    return np.stack([*wanted, left])


def _apportion(counts: NDArray[np.int64], size: int, others: int) -> NDArray[np.int64]:
    """Divide `size` among classes in proportion to `counts`, by largest remainder.

    A class of more than `others` members gives one at least; none gives its last.
    """
    if size == 0:
        return np.zeros_like(counts)
    ideal = counts * size / counts.sum()
    most = np.maximum(counts - 1, 0)
    share: NDArray[np.int64] = np.minimum(np.maximum(np.floor(ideal).astype(np.int64), counts > others), most)
    for number in sorted(range(len(counts)), key=lambda number: (share[number] - ideal[number], number)):
        if share.sum() >= size:
            break
        share[number] += share[number] < most[number]
    return share


def _up(value: Fraction) -> int:
    """Round up."""
    return -(-value.numerator // value.denominator)


def _dice(seed: int, identity: str) -> int:
    """A number below 2 ** 64 that only seed and id decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x00{identity}".encode()).digest()[:8], "big")


def _assign(
    catalogue: Catalogue,
    labels: NDArray[np.int32],
    groups: NDArray[np.intp],
    rows: NDArray[np.intp],
    quotas: NDArray[np.int64],
    seed: int,
) -> Iterable[tuple[int, int]]:
    """(row, number of its part in `_ORDER`): groups first, the largest first, then single products fill what is left."""
    left = quotas.copy()
    dice = {int(row): _dice(seed, catalogue.products[row].id) for row in rows}
    members: dict[int, list[int]] = {}
    for row in sorted(dice, key=lambda row: (dice[row], catalogue.products[row].id)):
        members.setdefault(int(groups[row]), []).append(row)
    for group in sorted((group for group in members.values() if len(group) > 1), key=len, reverse=True):
        need = np.bincount(labels[group], minlength=quotas.shape[1])
        fits = (left >= need).all(axis=1)
        # proportional to the room that is left, so that duplicates are spread like everything else
        room = np.where(fits, (left * need).sum(axis=1), 0)
        number = len(_ORDER) - 1
        if room.any():
            number = int(np.searchsorted(np.cumsum(room), dice[group[0]] * int(room.sum()) >> 64, side="right"))
        left[number] -= need
        yield from ((row, number) for row in group)
    for group in members.values():
        if len(group) == 1:
            number = int(np.flatnonzero(left[:, labels[group[0]]] > 0)[0])
            left[number, labels[group[0]]] -= 1
            yield group[0], number


def _small_classes(catalogue: Catalogue, labels: NDArray[np.int32], rows: NDArray[np.intp]) -> tuple[Finding, ...]:
    """Classes of one member, as a counted warning."""
    counts = np.bincount(labels[rows], minlength=len(catalogue.classes))
    single = [catalogue.classes[number] for number in np.flatnonzero(counts == 1)]
    if not single:
        return ()
    return (Finding("single_member_classes", len(single), f"type code {single[0]}", "kept in train: learned, never scored"),)


def _check(result: Split, catalogue: Catalogue, labels: NDArray[np.int32]) -> None:
    """Raise DataError where a part is too small to choose by or to report on."""
    needed = (Part.TRAIN, Part.VALIDATION, Part.TEST) if result.protocol is Protocol.TEST_20 else (Part.TRAIN, Part.VALIDATION)
    for part in needed:
        rows = [row for row, own in enumerate(result.parts) if own is part]
        if len(rows) < FEWEST_PRODUCTS or len(set(labels[rows].tolist())) < FEWEST_CLASSES:
            refuse(
                f"{catalogue.source}: too little data for the {result.protocol} split: {sum(labels >= 0)} labelled products "
                f"leave {len(rows)} for {part} (at least {FEWEST_PRODUCTS} of {FEWEST_CLASSES} classes needed): add products"
            )
