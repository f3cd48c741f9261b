"""What several networks say of the same products.

Shapes: n products, F features (networks' opinions), C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature

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


def gather(
    features: Mapping[str, Feature], names: Sequence[str], rows: NDArray[np.intp] | None = None, *, oof: bool = False
) -> ModalityLogits:
    """The opinions of these features on these rows (all by default); `oof` takes the out-of-fold logits."""
    logits, present = [], []
    for name in names:
        found = features[name].logits_oof if oof else features[name].logits
        if found is None:
            message = f"{name} has no logits"
            raise ValueError(message)
        logits.append(found if rows is None else found[rows])
        present.append(features[name].present if rows is None else features[name].present[rows])
    return ModalityLogits(np.stack(logits, axis=1).astype(np.float64), np.stack(present, axis=1))
