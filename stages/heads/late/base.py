"""The contract of a late fusion method.

Shapes: n products, F features, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stages.heads.late.opinions import Array, Opinions

State = Mapping[str, NDArray[Any]]
"""What a method has learnt, as plain arrays."""


class LateMethod(ABC):
    """Class probabilities of several networks become one; where a product has no field at all, the prior speaks."""

    learns: ClassVar[bool] = False
    """Whether `fit` looks at labels: then its validation scores must be out-of-fold."""

    def __init__(self, features: int, prior: NDArray[np.floating]) -> None:
        self.features = features
        self.prior = np.asarray(prior, np.float64)

    def fit(self, opinions: Opinions, labels: NDArray[np.integer]) -> None:  # noqa: B027 - means learn nothing
        """Learn from products whose labels are `labels` (n,)."""

    @abstractmethod
    def combine(self, opinions: Opinions) -> Array:
        """(n, C) non-negative scores with a positive sum where anything is present."""

    def predict(self, opinions: Opinions) -> NDArray[np.float32]:
        """(n, C) probabilities."""
        scores = self.combine(opinions)
        total = scores.sum(1, keepdims=True)
        none = ~opinions.present.any(1)
        found = scores / np.where(total > 0, total, 1)
        found[none] = self.prior
        return found.astype(np.float32)

    def state(self) -> State:
        """What was learnt."""
        return {}

    def restore(self, state: State) -> None:  # noqa: B027 - means learn nothing
        """Take back what `state` gave."""
