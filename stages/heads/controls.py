"""What a fitted head does when a field is taken from it, or given to it from another product."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from stages.heads.data import Vectors
from stages.heads.fit import predict, quick_scores
from stages.heads.head import Head
from stages.strategy import field_of


def controls(
    head: Head, data: Vectors, labels: NDArray[np.integer], parts: Mapping[str, NDArray[np.intp]]
) -> dict[str, dict[str, dict[str, float]]]:
    """`without FIELD` (masked) and `shuffled FIELD` (vectors of another product of the part) -> part -> scores.

    Nothing is fitted again: this is what the head would lose if the field were missing, or nonsense, when it predicts.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for field in dict.fromkeys(field_of(name) for name in head.features):
        names = [name for name in head.features if field_of(name) == field]
        for part, rows in parts.items():
            if not len(rows):
                continue
            for label, changed in (("without", _without(data, names)), ("shuffled", _shuffled(data, names, rows))):
                found.setdefault(f"{label} {field}", {})[part] = quick_scores(labels[rows], predict(head, changed, rows))
    return found


def _without(data: Vectors, names: list[str]) -> Vectors:
    absent = {name: torch.zeros_like(data.present[name]) for name in names}
    return Vectors(data.views, {**data.present, **absent})


def _shuffled(data: Vectors, names: list[str], rows: NDArray[np.intp]) -> Vectors:
    # one fixed permutation, so that every head and seed meets the same nonsense
    order = np.arange(len(data))
    order[rows] = np.random.default_rng(0).permutation(rows)
    places = torch.from_numpy(order)
    views = {name: _Reordered(data.views[name], places) for name in names}
    present = {name: data.present[name][places] for name in names}
    return Vectors({**data.views, **views}, {**data.present, **present})  # type: ignore[dict-item]


class _Reordered:
    """A view whose rows are looked up in another order: a shuffled field without a copy of it."""

    def __init__(self, view: torch.Tensor, order: torch.Tensor) -> None:
        self.view, self.order = view, order

    def index_select(self, dim: int, rows: torch.Tensor) -> torch.Tensor:
        """The rows that stand at these places after the shuffle."""
        return self.view.index_select(dim, self.order[rows])
