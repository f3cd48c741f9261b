"""What a model says of some products: class probabilities, what was missing, and which field decided.

Shapes: n products, C classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.errors import UsageError

FIRST_SHOWN = 5
ALONE = ("text", "image")
"""What answers alone, the other taken away."""


@dataclass(frozen=True)
class Reasons:
    """How the answer changes where fields are taken away, by asking the same model again.

    `alone`: text, image -> (best (n,) int32 class index; its probability (n,) float32), -1 and nan where the product lacks that
    modality. `adds`: each text, image -> (n,) float32, the probability of the answer's class less that without this field; nan
    where the product lacks it.
    """

    alone: Mapping[str, tuple[NDArray[np.int32], NDArray[np.float32]]]
    adds: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, repr=False, eq=False)
class Answers:
    """What the model says of some products, in their order.

    `probabilities` (n, C). `absent`: per product the fields (its texts, image) that it lacks. `unseen` (n,): nothing
    that the strategy looks at is there. `empty` (n,): there is nothing at all, and the training prior answers. `classes`: C
    codes; `class_names`: code -> name, where the catalogue named it.
    """

    products: Sequence[Product]
    probabilities: NDArray[np.float32]
    absent: Sequence[tuple[str, ...]]
    unseen: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    classes: tuple[str, ...] = ()
    class_names: Mapping[str, str] = field(default_factory=dict)
    reasons: Reasons | None = None

    def __repr__(self) -> str:
        """How many, the first codes, and where the rest is: arrays of pixels and probabilities would fill screens."""
        more = ", ..." if len(self) > FIRST_SHOWN else ""
        codes = ", ".join(self.codes[:FIRST_SHOWN])
        return f"<Answers of {len(self)} products: {codes}{more}; see .codes, .probability, .top(), .records()>"

    def __len__(self) -> int:
        """Products."""
        return len(self.products)

    @property
    def codes(self) -> list[str]:
        """The most probable code of each product."""
        return [self.classes[at] for at in self.probabilities.argmax(1).tolist()]

    @property
    def probability(self) -> NDArray[np.float32]:
        """(n,) of that code."""
        return np.asarray(self.probabilities.max(1, initial=0.0), np.float32)

    def top(self, count: int = 3) -> list[list[tuple[str, str, float]]]:
        """Per product its `count` most probable codes, best first: code, name, probability. Raises UsageError below 1."""
        if count < 1:
            raise UsageError(f"{count} codes per product: one at least")
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            [(self.classes[at], self.class_names.get(self.classes[at], ""), float(row[at])) for at in best]
            for row, best in zip(self.probabilities, order.tolist(), strict=True)
        ]

    def flag(self, number: int) -> str:
        """`empty`, `unseen`, or nothing."""
        return "empty" if self.empty[number] else "unseen" if self.unseen[number] else ""

    def records(self, top: int = 3) -> Iterator[dict[str, Any]]:
        """Each product's answer as JSON values."""
        for number, best in enumerate(self.top(top)):
            code, name, chance = best[0]
            yield {
                "id": self.products[number].id,
                "code": code,
                "name": name,
                "probability": chance,
                "missing": list(self.absent[number]),
                "flag": self.flag(number),
                "top": [dict(zip(("code", "name", "probability"), each, strict=True)) for each in best],
            } | (self._reasons(number) if self.reasons else {})

    def _reasons(self, number: int) -> dict[str, Any]:
        assert self.reasons is not None, "asked for where there are some"
        alone: dict[str, Any] = {}
        for modality, (best, chance) in self.reasons.alone.items():
            at = int(best[number])
            code = self.classes[at] if at >= 0 else ""
            said = {"code": code, "name": self.class_names.get(code, ""), "probability": float(chance[number])}
            alone[modality] = said if at >= 0 else None
        adds = {name: float(change[number]) for name, change in self.reasons.adds.items()}
        return {"alone": alone, "adds": {name: None if np.isnan(change) else change for name, change in adds.items()}}


def reasons_of(
    probabilities: NDArray[np.float32], absent: Sequence[tuple[str, ...]], again: Mapping[tuple[str, ...], Any]
) -> Reasons:
    """`again`: each of `takings` -> the model's probabilities (n, C) without these fields."""
    best = probabilities.argmax(1)
    rows = np.arange(len(best))
    singles = [fields[0] for fields in again if len(fields) == 1]
    lacks = {name: np.array([name in fields for fields in absent], bool) for name in singles}
    texts = tuple(name for name in singles if name != "image")
    alone = {}
    for modality, taken in zip(ALONE, (("image",), texts), strict=True):
        said = again[taken]
        kept = np.logical_and.reduce([lacks[name] for name in singles if name not in taken])
        code = np.where(kept, -1, said.argmax(1)).astype(np.int32)
        alone[modality] = code, np.where(kept, np.nan, said.max(1, initial=0.0)).astype(np.float32)
    adds = {
        name: np.where(lacks[name], np.nan, probabilities[rows, best] - again[name,][rows, best]).astype(np.float32)
        for name in singles
    }
    return Reasons(alone, adds)


def takings(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """What is taken away to find reasons: each of these texts and the image by itself, and all texts together."""
    return [*((name,) for name in texts), ("image",), tuple(texts)]


def taken(catalogue: Catalogue, fields: Sequence[str]) -> Catalogue:
    """The same products without these fields."""
    return replace(catalogue, products=tuple(product.without(fields) for product in catalogue.products))
