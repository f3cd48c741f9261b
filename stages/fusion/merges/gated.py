"""Gated multimodal unit.

Source: Arevalo et al. 2017, "Gated multimodal units for information fusion", section 3.1: it "learns to decide how modalities
influence the activation of the unit using multiplicative gates".
"""

import torch
from torch import Tensor, nn

from fusecat.stages.fusion.merges.base import MergeModule


class Gated(MergeModule):
    """`sum of sigmoid(G_m [x_1; ...; x_M]) * tanh(H_m x_m)` over what is present: (B, M, D) -> (B, D).

    The unit for more than two modalities of the paper, with a gate of its own for each.
    """

    deep = True
    multiplies = True

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(count))
        self.gate = nn.Linear(count * width, count * width)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Gate each vector by all of them, then add."""
        known = vectors * present.unsqueeze(-1)
        hidden = torch.stack([layer(known[:, place]) for place, layer in enumerate(self.hidden)], dim=1).tanh()
        gates = self.gate(known.flatten(1)).sigmoid().unflatten(1, (self.count, -1))
        result: Tensor = (hidden * gates * present.unsqueeze(-1)).sum(1)
        return result
