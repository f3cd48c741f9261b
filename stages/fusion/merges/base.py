"""The contract of a merge.

Shapes: B products, M vectors to merge, D width of each, C classes.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class MergeModule(nn.Module, ABC):
    """Several vectors of one product become one.

    A merge is built as `Class(count, width)` and called with `vectors` (B, M, D) and `present` (B, M) bool; it returns
    (B, `self.width`). Where `present` is false the vector is zero and must have no influence.
    """

    width: int
    """Length of the result: D unless the merge says otherwise."""
    deep: ClassVar[bool] = False
    """Layers lie behind one another, or one is a gate of another: they learn through the last layer's first weights, so these
    stay large, and two such merges in a row take steps of half the size."""
    multiplies: ClassVar[bool] = False
    """What learned layers say is multiplied with each other: its effect grows faster than a step, so none is made larger."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.count = count
        self.width = width

    @classmethod
    def refuses(cls, count: int, width: int) -> str | None:  # noqa: ARG003
        """Give the reason why `count` vectors of this width cannot be merged this way, or None."""
        return None

    @abstractmethod
    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """(B, M, D) and (B, M) -> (B, `self.width`)."""


class LinearMerge(MergeModule):
    """A merge that is linear in its vectors, so that a linear layer after it can be pulled in front of it.

    Its result is `sum over m of scales[:, m] * vectors[:, m] @ E_m` with fixed E_m, here the identity; a chain of linear layers
    around it is then one matrix per vector. Computing that matrix first (C x D) and the product with the data second is the
    same function with the same gradients, at a fraction of the cost.
    """

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """The scaled sum over M."""
        return (vectors * self.scales(present).unsqueeze(-1)).sum(1)

    def scales(self, present: Tensor) -> Tensor:
        """(B, M) bool -> (B, M) float: the factor of each vector, 0 where it is absent."""
        return present.float()

    def pull(self, weight: Tensor) -> list[Tensor]:
        """A following layer's weight (C, `self.width`) -> one (C, D) per vector."""
        return [weight] * self.count
