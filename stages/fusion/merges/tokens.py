"""A small transformer over the fields as tokens, read out at a CLS token.

Source: Vaswani et al. 2017, "Attention is all you need"; the CLS token of Devlin et al. 2019, "BERT": its final state is "the
aggregate sequence representation". One layer, layer norm first.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.fusion.merges.base import MergeModule

WIDTH = 256
"""Width of a token, at most; 4 attention heads where it divides by 4."""
FEED_FORWARD = 4
"""Width of the layer after attention, in tokens' widths, as in the source."""


class Tokens(MergeModule):
    """Tokens `W_m x_m + e_m` and CLS through one masked layer: (B, M, D) -> (B, min(D, 256))."""

    deep = True
    multiplies = True

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.width = min(width, WIDTH)
        self.heads = 4 if self.width % 4 == 0 else 1
        # the bias of each layer is the embedding that says which field the token is
        self.inlets = nn.ModuleList(nn.Linear(width, self.width) for _ in range(count))
        self.cls = nn.Parameter(0.02 * torch.randn(self.width))
        self.before = nn.LayerNorm(self.width)
        self.query = nn.Linear(self.width, self.width)
        # a bias on the keys would add the same number to every score of a query, so it would never learn
        self.key = nn.Linear(self.width, self.width, bias=False)
        self.value = nn.Linear(self.width, self.width)
        self.outlet = nn.Linear(self.width, self.width)
        self.between = nn.LayerNorm(self.width)
        self.wide = nn.Linear(self.width, FEED_FORWARD * self.width)
        self.narrow = nn.Linear(FEED_FORWARD * self.width, self.width)
        # torch's own first weights leave a third of the variance: four layers on, little would be said of the fields at first
        for layer in (self.value, self.outlet, self.wide, self.narrow):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Let CLS look at itself and at what is present; only its state is needed, so only it is computed."""
        tokens = [inlet(vectors[:, place]) for place, inlet in enumerate(self.inlets)]
        cls = self.cls.expand(len(vectors), -1)
        states = torch.stack([cls, *tokens], dim=1)
        seen = torch.cat([present.new_ones(len(present), 1), present], dim=1)
        normed = self.before(states)
        query, key, value = self.query(normed[:, :1]), self.key(normed), self.value(normed)
        split = (self.heads, self.width // self.heads)
        # written out, because the fused attention of torch cannot be batched over seeds
        scores = (query.unflatten(2, split) * key.unflatten(2, split)).sum(-1) / split[1] ** 0.5
        weights = scores.masked_fill(~seen[:, :, None], float("-inf")).softmax(1)
        looked = (weights.unsqueeze(-1) * value.unflatten(2, split)).sum(1)
        state = cls + self.outlet(looked.flatten(1))
        result: Tensor = state + self.narrow(F.gelu(self.wide(self.between(state))))
        return result
