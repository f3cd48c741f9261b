"""Addition: an absent vector adds nothing."""

from torch import Tensor

from fusecat.stages.fusion.merges.base import LinearMerge


class Addition(LinearMerge):
    """`sum of x_m over what is present`: (B, M, D) -> (B, D)."""

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Sum over M."""
        return (vectors * present.unsqueeze(-1)).sum(1)

    def scales(self, present: Tensor) -> Tensor:
        """1 where present."""
        return present.float()

    def pull(self, weight: Tensor) -> list[Tensor]:
        """Every vector meets all columns."""
        return [weight] * self.count
