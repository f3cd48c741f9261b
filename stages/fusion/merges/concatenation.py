"""Concatenation: the vectors side by side; an absent one leaves zeros in its place."""

from torch import Tensor

from fusecat.stages.fusion.merges.base import LinearMerge


class Concatenation(LinearMerge):
    """`[x_1; ...; x_M]`: (B, M, D) -> (B, M * D)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.width = count * width

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Zeros where absent, then side by side."""
        return (vectors * present.unsqueeze(-1)).flatten(1)

    def pull(self, weight: Tensor) -> list[Tensor]:
        """Each vector meets its own columns."""
        return list(weight.chunk(self.count, dim=1))
