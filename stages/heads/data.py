"""Vectors as the fit sees them: in memory, in the precision of the cache, upcast batch by batch.

Shapes: N rows, B of them in a batch, W a feature's own width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cache.table import FeatureTable

Statistics = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Feature -> mean and scale of each column, both (W,)."""


@dataclass(frozen=True)
class Vectors:
    """Some features of some products: `views` (N, W) float16 or float32 and `present` (N,) bool per feature."""

    views: Mapping[str, Tensor]
    present: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.present.values())))

    def batch(self, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The vectors of these rows in float32, and whether they are present."""
        views = {name: view.index_select(0, rows).float() for name, view in self.views.items()}
        return views, {name: mask.index_select(0, rows) for name, mask in self.present.items()}

    def blocks(self, rows: Tensor, size: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """The batches of these rows, in order."""
        for block in torch.split(rows, size):
            yield self.batch(block)

    def to(self, device: torch.device) -> "Vectors":
        """The same on a device."""
        views = {name: view.to(device) for name, view in self.views.items()}
        return Vectors(views, {name: mask.to(device) for name, mask in self.present.items()})

    def select(self, features: Sequence[str]) -> "Vectors":
        """The same rows with these features only."""
        return Vectors({name: self.views[name] for name in features}, {name: self.present[name] for name in features})


def statistics(table: FeatureTable, features: Sequence[str], rows: NDArray[np.intp]) -> Statistics:
    """Mean and scale of each column over the present ones of these rows; a constant column has scale 1."""
    found = {}
    for name in features:
        feature = table.features[name]
        kept = rows[feature.present[rows]]
        total = np.zeros(feature.width)
        square = np.zeros(feature.width)
        for start in range(0, len(kept), 4096):
            block = feature.embedding[kept[start : start + 4096]].astype(np.float64)
            total += block.sum(0)
        mean = total / max(len(kept), 1)
        for start in range(0, len(kept), 4096):
            block = feature.embedding[kept[start : start + 4096]].astype(np.float64) - mean
            square += (block * block).sum(0)
        scale = np.sqrt(square / max(len(kept), 1))
        # a spread that is rounding noise of a large constant would blow that noise up
        scale[scale <= np.abs(mean) * 1e-4 + 1e-12] = 1
        found[name] = (mean.astype(np.float32), scale.astype(np.float32))
    return found


def identity(widths: Mapping[str, int]) -> Statistics:
    """Statistics that change nothing."""
    return {name: (np.zeros(width, np.float32), np.ones(width, np.float32)) for name, width in widths.items()}


def prepare(
    embedding: NDArray[np.floating], present: NDArray[np.bool_], mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> Tensor:
    """Standardised vectors of one feature, (N, W), in the precision that they came in; zero where absent."""
    out = np.empty(embedding.shape, dtype=embedding.dtype if embedding.dtype == np.float16 else np.float32)
    for start in range(0, len(out), 4096):
        part = slice(start, start + 4096)
        block = (embedding[part].astype(np.float32) - mean) / scale
        block[~present[part]] = 0
        out[part] = block if out.dtype == np.float32 else block.clip(-65504, 65504)
    return torch.from_numpy(out)


def vectors(table: FeatureTable, features: Sequence[str], scaling: Statistics) -> Vectors:
    """All rows of a table, standardised."""
    views = {}
    present = {}
    for name in features:
        feature = table.features[name]
        views[name] = prepare(feature.embedding, feature.present, *scaling[name])
        present[name] = torch.from_numpy(feature.present.copy())
    return Vectors(views, present)
