"""Average over what is present: a product without a description is not pulled towards zero."""

from torch import Tensor

from fusecat.stages.fusion.merges.base import LinearMerge


class Average(LinearMerge):
    """`sum of x_m / number present`: (B, M, D) -> (B, D); zero where nothing is present."""

    def scales(self, present: Tensor) -> Tensor:
        """1 / number present where present."""
        mask = present.float()
        return mask / mask.sum(1, keepdim=True).clamp(min=1)
