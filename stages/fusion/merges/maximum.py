"""Maximum, column by column, over what is present."""

from torch import Tensor

from fusecat.stages.fusion.merges.base import MergeModule


class Maximum(MergeModule):
    """`max over m of x_m`: (B, M, D) -> (B, D); zero where nothing is present."""

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Absent vectors lose every comparison."""
        lowest = vectors.masked_fill(~present.unsqueeze(-1), float("-inf")).amax(1)
        return lowest.masked_fill(~present.any(1, keepdim=True), 0.0)
