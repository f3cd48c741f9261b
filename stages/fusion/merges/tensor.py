"""Tensor fusion: every product of columns of different vectors. Refused where its size is not sane.

Source: Zadeh et al. 2017, "Tensor fusion network for multimodal sentiment analysis", section 4.2: "a 3-fold Cartesian product
from modality embeddings".
"""

import torch
from torch import Tensor

from fusecat.stages.fusion.limits import refuses
from fusecat.stages.fusion.merges.base import MergeModule
from fusecat.stages.vocabulary import Merge


class TensorFusion(MergeModule):
    """`[x_1; 1] (x) ... (x) [x_M; 1]`: (B, M, D) -> (B, (D + 1)^M); an absent vector leaves its 1."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.width = (width + 1) ** count

    @classmethod
    def refuses(cls, count: int, width: int) -> str | None:
        """Say how many columns it would take, where that is too many."""
        return refuses(Merge.TENSOR, count, width)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Outer product over M."""
        ones = torch.cat([vectors * present.unsqueeze(-1), vectors.new_ones(*vectors.shape[:2], 1)], dim=2)
        result = ones[:, 0]
        for place in range(1, self.count):
            result = torch.einsum("bi,bj->bij", result, ones[:, place]).flatten(1)
        return result
