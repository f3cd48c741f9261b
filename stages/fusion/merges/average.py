"""Average over what is present: a product without a description is not pulled towards zero."""

from torch import Tensor

from fusecat.stages.fusion.merges.base import LinearMerge


class Average(LinearMerge):
    """`sum of x_m / number present`: (B, M, D) -> (B, D); zero where nothing is present."""

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Weighted sum over M."""
        return (vectors * self.scales(present).unsqueeze(-1)).sum(1)

    def scales(self, present: Tensor) -> Tensor:
        """1 / number present where present."""
        mask = present.float()
        return mask / mask.sum(1, keepdim=True).clamp(min=1)

    def pull(self, weight: Tensor) -> list[Tensor]:
        """Every vector meets all columns."""
        return [weight] * self.count
