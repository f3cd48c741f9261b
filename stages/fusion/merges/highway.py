"""Highway layer on the concatenation.

Source: Srivastava et al. 2015, "Highway networks": gating units "learn to regulate the flow of information through a network".
"""

from torch import Tensor, nn

from fusecat.stages.fusion.merges.base import MergeModule


class Highway(MergeModule):
    """`t * relu(H z) + (1 - t) * z`, z = L [x_1; ...; x_M], t = sigmoid(T z): (B, M, D) -> (B, D).

    L brings the concatenation to D first (the paper changes widths by a plain layer as well): a highway of width M * D would
    have M^2 times the weights.
    """

    deep = True
    multiplies = True

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.inlet = nn.Linear(count * width, width)
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        # section 2.2 of the paper: a negative bias lets the layer begin by carrying its input through
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Concatenate, narrow, and carry or transform."""
        inlet = self.inlet((vectors * present.unsqueeze(-1)).flatten(1))
        gate = self.gate(inlet).sigmoid()
        result: Tensor = gate * self.transform(inlet).relu() + (1 - gate) * inlet
        return result
