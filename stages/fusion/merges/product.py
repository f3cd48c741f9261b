"""Product, column by column; an absent vector multiplies by one."""

from torch import Tensor

from fusecat.stages.fusion.merges.base import MergeModule


class Product(MergeModule):
    """`product of x_m over what is present`: (B, M, D) -> (B, D); zero where nothing is present."""

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Multiply over M."""
        result = vectors.masked_fill(~present.unsqueeze(-1), 1.0).prod(1)
        return result.masked_fill(~present.any(1, keepdim=True), 0.0)
