"""Learned scalar weights: one number per vector, the same for all products (the study left it in comments)."""

import torch
from torch import Tensor, nn

from fusecat.stages.fusion.merges.base import LinearMerge


class Weighted(LinearMerge):
    """`sum of w_m x_m`, w = softmax of M learned numbers over what is present: (B, M, D) -> (B, D)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        # equal weights first: the average
        self.weights = nn.Parameter(torch.zeros(count))

    def scales(self, present: Tensor) -> Tensor:
        """The softmax over what is present; zeros where nothing is."""
        shares = (self.weights - self.weights.max()).exp() * present
        return shares / shares.sum(1, keepdim=True).clamp(min=1e-12)
