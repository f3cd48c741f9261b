"""What several networks say of the same products.

Shapes: n products, F features (networks' opinions), C classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature, Logits
from fusecat.stages.fusion.predictions import blocks

Array = NDArray[np.float64]

SMALLEST = 1e-6
"""Probabilities are kept above this, so that one network that is sure and wrong cannot veto all others for ever."""


@dataclass(frozen=True)
class ModalityLogits:
    """`logits` (n, F, C) and `present` (n, F): an opinion on an absent field counts for nothing."""

    logits: Array
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.present)

    def rows(self, rows: NDArray[np.intp]) -> "ModalityLogits":
        """Some of the products."""
        return ModalityLogits(self.logits[rows], self.present[rows])

    def of(self, place: int, rows: NDArray[np.intp]) -> NDArray[np.floating]:
        """(m, C) logits of one feature."""
        return np.asarray(self.logits[rows, place])

    def whole(self) -> "ModalityLogits":
        """All of it, as `Opinions` give it."""
        return self

    def blocks(self) -> Iterator["ModalityLogits"]:
        """The products, some at a time."""
        features, classes = self.logits.shape[1:]
        for cut in blocks((len(self), features * classes)):
            yield ModalityLogits(self.logits[cut], self.present[cut])

    def log_probabilities(self, temperatures: Array | None = None) -> Array:
        """(n, F, C) log-softmax, each feature's logits divided by its temperature (F,)."""
        logits = self.logits if temperatures is None else self.logits / temperatures[:, None]
        shifted = logits - logits.max(2, keepdims=True)
        found = shifted - np.log(np.exp(shifted).sum(2, keepdims=True))
        return np.asarray(np.maximum(found, np.log(SMALLEST)))

    def shares(self, weights: Array) -> Array:
        """(n, F): weights of what is present, summing to one; zeros where nothing is."""
        masked = self.present * weights
        return np.asarray(masked / np.maximum(masked.sum(1, keepdims=True), 1e-12))


class Opinions:
    """`ModalityLogits` that are gathered block by block, from arrays or from disk.

    `pieces`: per piece the logits of each feature and the rows of them, one piece after the other; `present` (n, F).
    """

    def __init__(self, pieces: Sequence[tuple[Sequence[Logits], NDArray[np.intp]]], present: NDArray[np.bool_]) -> None:
        self.pieces, self.present = pieces, present

    def __len__(self) -> int:
        return len(self.present)

    def rows(self, rows: NDArray[np.intp]) -> "Opinions":
        """Some of the products; `rows` must ascend."""
        ends = np.cumsum([0, *(len(held) for _, held in self.pieces)])
        cuts = [
            rows[slice(*np.searchsorted(rows, ends[number : number + 2]))] - ends[number] for number in range(len(ends) - 1)
        ]
        found = [(logits, held[cut]) for (logits, held), cut in zip(self.pieces, cuts, strict=True)]
        return Opinions(found, self.present[rows])

    def of(self, place: int, rows: NDArray[np.intp]) -> NDArray[np.floating]:
        """(m, C) logits of one feature; `rows` must ascend."""
        return np.concatenate([logits[place][held] for logits, held in self.rows(rows).pieces])

    def whole(self) -> ModalityLogits:
        """All of it in memory."""
        stacked = [np.stack([each[held] for each in logits], axis=1) for logits, held in self.pieces]
        return ModalityLogits(np.concatenate(stacked).astype(np.float64), self.present)

    def blocks(self) -> Iterator[ModalityLogits]:
        """The products, some at a time."""
        start = 0
        for logits, held in self.pieces:
            classes = logits[0][held[:1]].shape[1] if len(held) else 0
            for cut in blocks((len(held), len(logits) * classes)):
                found = np.stack([each[held[cut]] for each in logits], axis=1).astype(np.float64)
                yield ModalityLogits(found, self.present[start : start + len(found)])
                start += len(found)


def gather(
    features: Mapping[str, Feature], names: Sequence[str], rows: NDArray[np.intp] | None = None, *, oof: bool = False
) -> Opinions:
    """The opinions of these features on these rows (all by default); `oof` takes the out-of-fold logits."""
    logits = []
    for name in names:
        found = features[name].logits_oof if oof else features[name].logits
        if found is None:
            raise ValueError(f"{name} has no logits")
        logits.append(found)
    held = np.arange(len(features[names[0]].present)) if rows is None else rows
    return Opinions([(logits, held)], np.stack([features[name].present[held] for name in names], axis=1))


def together(several: Sequence[Opinions]) -> Opinions:
    """The products of each, one after the other."""
    pieces = [piece for opinions in several for piece in opinions.pieces]
    return Opinions(pieces, np.concatenate([opinions.present for opinions in several]))
