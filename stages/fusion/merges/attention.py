"""Modality attention: each product weighs its own vectors.

Source: Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate", additive scores; here
the things attended to are the fields of one product.
"""

import torch
from torch import Tensor, nn

from fusecat.stages.fusion.merges.base import MergeModule

HIDDEN = 64
"""Width of the score's hidden layer: a score is one number, and wider layers only fit the training rows."""


class Attention(MergeModule):
    """`sum of a_m x_m` with `a = softmax over what is present of v . tanh(W_m x_m + b_m)`: (B, M, D) -> (B, D)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.keys = nn.ModuleList(nn.Linear(width, HIDDEN) for _ in range(count))
        self.score = nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Weigh and add; zeros where nothing is present."""
        hidden = torch.stack([key(vectors[:, place]) for place, key in enumerate(self.keys)], dim=1).tanh()
        scores = self.score(hidden).squeeze(-1).masked_fill(~present, -1e9)
        weights = scores.softmax(1) * present
        result: Tensor = (vectors * weights.unsqueeze(-1)).sum(1)
        return result
