"""What a merge declares of itself (`deep`, `multiplies`) is what its layers do: a wrong declaration fails here.

Two layers multiply where what both do together is more than the sum of what each does alone. `alone` and `together` are the
changes of the result when noise as large as a layer's output is added to it; the mixed effect is measured against the geometric
mean of the two. Curvature alone (the softmax of attention, the gelu of the MLP) stays far below the limits.

Shapes: B products, M vectors, D columns.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from fusecat.stages.fusion.merges import MergeModule, merge_class
from fusecat.stages.vocabulary import Merge

B, M, D = 256, 3, 24
LAYERS = 0.2
"""Between layers of the merge: attention, whose shares are bounded, has 0.11, the highway 0.29."""
VECTORS = 0.45
"""Between a layer and a vector, which a layer before the merge has made: an MLP has 0.37, FiLM 0.60."""
MERGES = [merge for merge in Merge if merge is not Merge.TENSOR]  # it has no layer, and D columns would be too many


class Disturbed:
    """A merge whose inputs and layers can be disturbed one by one, each always by the same noise."""

    def __init__(self, merge: type[MergeModule]) -> None:
        self.module = merge(M, D).eval()
        self.layers = [layer for layer in self.module.modules() if isinstance(layer, nn.Linear)]
        self.vectors, self.present = torch.randn(B, M, D), torch.ones(B, M, dtype=torch.bool)
        self.noise: dict[int, Tensor] = {}
        self.whole = self.result([])

    def result(self, places: Sequence[int]) -> Tensor:
        """Places below M are vectors, the others layers."""
        vectors = self.vectors.clone()
        for place in places:
            if place < M:
                vectors[:, place] += self._like(place, vectors[:, place])
        with torch.inference_mode(), self._disturbing([place for place in places if place >= M]):
            found: Tensor = self.module(vectors, self.present)
        return found

    def mixed(self, one: int, other: int) -> float:
        """How far two places multiply: 0 where their effects add up."""
        alone, beside = (self.result([place]) - self.whole for place in (one, other))
        together = self.result([one, other]) - self.whole
        return float((together - alone - beside).norm() / (alone.norm() * beside.norm() + 1e-12).sqrt())

    def reaches(self, one: int, other: int) -> bool:
        """Whether what one layer says is what another reads."""
        seen: list[Tensor] = []
        hook = self.layers[other - M].register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
        self.result([])
        self.result([one])
        hook.remove()
        return not torch.equal(*seen)

    @contextmanager
    def _disturbing(self, places: Sequence[int]) -> Iterator[None]:
        hooks = [
            self.layers[place - M].register_forward_hook(lambda _, __, out, place=place: out + self._like(place, out))
            for place in places
        ]
        yield
        for hook in hooks:
            hook.remove()

    def _like(self, place: int, values: Tensor) -> Tensor:
        if place not in self.noise:
            self.noise[place] = torch.randn(values.shape) * values.std()
        return self.noise[place]


@pytest.fixture(params=MERGES, ids=str)
def disturbed(request: pytest.FixtureRequest) -> Disturbed:
    torch.manual_seed(0)
    return Disturbed(merge_class(request.param))


def pairs(disturbed: Disturbed) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Of two layers, and of a vector and a layer."""
    layers = range(M, M + len(disturbed.layers))
    return [(one, other) for one in layers for other in layers if one < other], [
        (vector, layer) for vector in range(M) for layer in layers
    ]


def test_it_multiplies_what_it_says(disturbed: Disturbed) -> None:
    layers, vectors = pairs(disturbed)
    found = any(disturbed.mixed(*pair) > LAYERS for pair in layers) or any(disturbed.mixed(*pair) > VECTORS for pair in vectors)
    assert found == disturbed.module.multiplies


def test_it_is_deep_where_one_layer_reads_another(disturbed: Disturbed) -> None:
    """A layer of one column, which only weighs whole vectors, is no second layer.

    A gate reads the vectors themselves, as the factors of a product do, so a merge that only multiplies may say either.
    """
    layers, _ = pairs(disturbed)
    behind = [
        pair for pair in layers for one, other in (pair, pair[::-1])
        if disturbed.layers[other - M].out_features > 1 and disturbed.reaches(one, other)
    ]  # fmt: skip
    if behind:
        assert disturbed.module.deep
    if disturbed.module.deep:
        assert behind or any(disturbed.mixed(*pair) > LAYERS for pair in layers)
