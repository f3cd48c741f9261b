"""The contract of a late fusion method.

Shapes: n products, F features, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.late.modality_logits import Array, ModalityLogits, Opinions

State = Mapping[str, NDArray[Any]]
"""What a method has learnt, as plain arrays."""


class LateMethod(ABC):
    """Class probabilities of several networks become one; where a product has no field at all, the prior speaks."""

    learns: ClassVar[bool] = False
    """Whether `fit` looks at labels: then its validation scores must be out-of-fold."""

    def __init__(self, features: int, prior: NDArray[np.floating]) -> None:
        self.features = features
        self.prior = np.asarray(prior, np.float64)

    def fit(self, modality_logits: ModalityLogits | Opinions, labels: NDArray[np.integer]) -> None:  # noqa: B027 - means learn nothing
        """Learn from products whose labels are `labels` (n,)."""

    @abstractmethod
    def combine(self, modality_logits: ModalityLogits) -> Array:
        """(n, C) non-negative scores with a positive sum where anything is present."""

    def predict(self, modality_logits: ModalityLogits) -> NDArray[np.float32]:
        """(n, C) probabilities."""
        scores = self.combine(modality_logits)
        total = scores.sum(1, keepdims=True)
        none = ~modality_logits.present.any(1)
        found = scores / np.where(total > 0, total, 1)
        found[none] = self.prior
        return found.astype(np.float32)

    def predict_blocks(self, modality_logits: ModalityLogits | Opinions) -> Iterator[NDArray[np.float32]]:
        """The same, block after block."""
        yield from map(self.predict, modality_logits.blocks())

    def state(self) -> State:
        """What was learnt."""
        return {}

    def restore(self, state: State) -> None:  # noqa: B027 - means learn nothing
        """Take back what `state` gave. Raises ValueError or KeyError where that is not what this method learns."""


def shaped(state: State, name: str, *shape: int) -> NDArray[Any]:
    """An array of a state that was read. Raises ValueError where it has another shape, or holds what is no number."""
    array = state[name]
    if array.shape != shape or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"'{name}' holds {array.dtype} of shape {array.shape}, not {shape} finite numbers")
    return array


def seen_classes(state: State, classes: int) -> NDArray[np.int64]:
    """(K,) the classes that a stacker was fitted on, ascending. Raises ValueError where they are none of (C,)."""
    seen = shaped(state, "seen", state["seen"].size)
    if not len(seen) or (np.diff(seen) <= 0).any() or not 0 <= seen[0] <= seen[-1] < classes:
        raise ValueError(f"'seen' does not hold different ones of {classes} classes")
    return seen.astype(np.int64)
