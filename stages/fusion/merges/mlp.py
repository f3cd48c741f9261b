"""A hidden layer on the concatenation: the plainest head that can represent any interaction."""

from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.fusion.merges.base import MergeModule


class MLP(MergeModule):
    """`gelu(W [x_1; ...; x_M] + b)`: (B, M, D) -> (B, D)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.hidden = nn.Linear(count * width, width)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Concatenate with zeros for the absent, one layer, one nonlinearity."""
        return F.gelu(self.hidden((vectors * present.unsqueeze(-1)).flatten(1)))
