"""Multi-modal factorised bilinear pooling (MFB).

Source: Yu et al. 2017, "Multi-modal factorized bilinear pooling with co-attention learning for visual question answering",
section 3: project, multiply, sum over windows of k, then signed square root and L2 normalisation.
"""

import torch
from torch import Tensor, nn

from fusecat.stages.fusion.merges.base import MergeModule

FACTORS = 5
"""k: the rank of each output column, as in the paper."""
WIDTH = 128
"""The result's width, at most."""


class Bilinear(MergeModule):
    """`sum over pairs i < j and k factors of (U_i x_i) * (U_j x_j)`, normalised: (B, M, D) -> (B, min(D, 128)).

    The paper pools two vectors; for M of them every pair is pooled, by the identity `2 * sum of pairs = (sum)^2 - sum of
    squares`. A learned constant stands among them, so that a single present vector still passes (its linear terms).
    """

    multiplies = True

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.width = min(width, WIDTH)
        self.factors = nn.ModuleList(nn.Linear(width, FACTORS * self.width, bias=False) for _ in range(count))
        self.constant = nn.Parameter(torch.ones(FACTORS * self.width))

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Pool all pairs, then normalise."""
        known = vectors * present.unsqueeze(-1)
        parts = [factor(known[:, place]) for place, factor in enumerate(self.factors)]
        total = torch.stack(parts).sum(0) + self.constant
        squares = torch.stack([part * part for part in parts]).sum(0) + self.constant**2
        pooled = ((total * total - squares) / 2).view(len(total), self.width, FACTORS).sum(-1)
        # x / sqrt(|x| + 1e-3): the signed square root with a finite slope at zero
        rooted = pooled * (pooled.abs() + 1e-3).rsqrt()
        # norm sqrt(width) instead of 1: entries of size one are what the last layer's first weights expect
        length = (rooted.square().sum(1, keepdim=True) + 1e-6).sqrt()
        result: Tensor = rooted / length * self.width**0.5
        return result
