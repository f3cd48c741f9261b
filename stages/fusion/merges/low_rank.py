"""Low-rank multimodal fusion.

Source: Liu et al. 2018, "Efficient low-rank multimodal fusion with modality-specific factors", section 3.2: the weight tensor
of tensor fusion is decomposed into factors for each modality, so that the tensor is never built.
"""

import torch
from torch import Tensor, nn

from fusecat.stages.fusion.merges.base import MergeModule

RANK = 4
WIDTH = 128
"""The result's width, at most: every column costs RANK * M * (D + 1) weights."""


class LowRank(MergeModule):
    """`sum over r of product over m of F_(m,r) [x_m; 1]`: (B, M, D) -> (B, min(D, 128)); the absent multiply by one."""

    multiplies = True

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.width = min(width, WIDTH)
        self.factors = nn.ModuleList(nn.Linear(width, RANK * self.width) for _ in range(count))
        self.ranks = nn.Parameter(torch.full((RANK,), RANK**-0.5))
        for factor in self.factors:
            # factors start near one: their product then begins as 1 + a sum of linear terms, not as a product of small numbers
            nn.init.ones_(factor.bias)  # type: ignore[arg-type]

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Multiply the factors over M, add over the ranks."""
        product = vectors.new_ones(len(vectors), RANK * self.width)
        for place, factor in enumerate(self.factors):
            product = product * torch.where(present[:, place, None], factor(vectors[:, place]), 1.0)
        return torch.einsum("brd,r->bd", product.view(len(product), RANK, -1), self.ranks)
