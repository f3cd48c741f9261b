"""Feature-wise linear modulation: the other vectors scale and shift the last one.

Source: Perez et al. 2018, "FiLM: visual reasoning with a general conditioning layer", section 2: features are influenced "via a
simple, feature-wise affine transformation based on conditioning information".
"""

from torch import Tensor, nn

from fusecat.stages.fusion.merges.base import MergeModule


class FiLM(MergeModule):
    """`(1 + g(c)) * x_M + h(c)`, c = [x_1; ...; x_(M-1)], g and h linear: (B, M, D) -> (B, D).

    The last vector in canonical order is the image in a final merge and the description in a first one. Where nothing
    conditions it, it passes as it is; where it is absent, the shift alone remains.
    """

    multiplies = True

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.condition = nn.Linear(max(count - 1, 1) * width, 2 * width)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Modulate the last vector by the ones before it (a lone vector by itself)."""
        known = vectors * present.unsqueeze(-1)
        if self.count == 1:
            others, any_other = known[:, 0], present[:, :1]
        else:
            others, any_other = known[:, :-1].flatten(1), present[:, :-1].any(1, keepdim=True)
        scale, shift = (self.condition(others) * any_other).chunk(2, dim=1)
        result: Tensor = (1 + scale) * known[:, -1] + shift
        return result
