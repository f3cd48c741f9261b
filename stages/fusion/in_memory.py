"""Vectors as the fit sees them: in memory, in the precision of the cache, upcast batch by batch.

Shapes: N rows, B of them in a batch, W a feature's own width.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion.fit_settings import Scaling

Statistics = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Feature -> mean and scale of each column, both (W,)."""

LONGEST = 512
"""Columns from which on a feature scaled by one number is no longer than one of so many: a wide vector drowns no narrow one."""

SLICE = 256
"""Rows that are worked on at a time: with the columns of a network they stay in a processor's cache."""


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

    def blocks(self, rows: Tensor, size: int) -> Generator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """The batches of these rows, in order."""
        for block in torch.split(rows, size):
            yield self.batch(block)

    def to(self, device: torch.device) -> "Vectors":
        """The same on a device."""
        views = {name: view.to(device) for name, view in self.views.items()}
        return Vectors(views, {name: mask.to(device) for name, mask in self.present.items()})

    def permuted(self, rows: Tensor, size: int) -> Generator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """As `blocks`, but in the place of each row stands another one of them: one fixed permutation."""
        return self.blocks(torch.from_numpy(np.random.default_rng(0).permutation(rows.numpy())), size)

    def select(self, features: Sequence[str]) -> "Vectors":
        """The same rows with these features only."""
        return Vectors({name: self.views[name] for name in features}, {name: self.present[name] for name in features})


class Moments:
    """Mean and scale of each column over blocks of rows that come one after the other.

    Chan et al. 1983, "Algorithms for computing the sample variance": means and sums of squares of two sets combine without
    cancellation.
    """

    def __init__(self, width: int) -> None:
        self.rows = 0
        self.mean = torch.zeros(width, dtype=torch.float64)
        self.square = torch.zeros(width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take in rows (n, W) of any precision, in slices that a processor's cache holds."""
        for block in torch.split(rows, SLICE):
            if not len(block):
                continue
            wide = block.double()
            own = wide.mean(0)
            gap, total = own - self.mean, self.rows + len(block)
            self.square += (wide - own).square_().sum(0) + gap**2 * (self.rows * len(block) / total)
            self.mean += gap * (len(block) / total)
            self.rows = total

    def scaling(self, kind: Scaling) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and scale (W,) so far; a constant column has scale 1."""
        scale = (self.square / max(self.rows, 1)).sqrt()
        # a spread that is rounding noise of a large constant would blow that noise up
        constant = scale <= self.mean.abs() * 1e-4 + 1e-12
        if kind is Scaling.FEATURE and not constant.all():
            length = max(1.0, len(scale) / LONGEST) ** 0.5
            scale = (scale[~constant].square().mean().sqrt() * length).expand_as(scale).clone()
        scale[constant] = 1
        return self.mean.float().numpy(), scale.float().numpy()


def statistics(table: FeatureTable, features: Sequence[str], rows: NDArray[np.intp], kind: Scaling) -> Statistics:
    """Mean and scale of each column over the present ones of these rows; a constant column has scale 1."""
    if kind is Scaling.NONE:
        return identity({name: table.features[name].width for name in features})
    found = {}
    for name in features:
        feature = table.features[name]
        kept = rows[feature.present[rows]]
        moments = Moments(feature.width)
        for start in range(0, len(kept), 4096):
            moments.add(torch.from_numpy(feature.embedding[kept[start : start + 4096]]))
        found[name] = moments.scaling(kind)
    return found


def identity(widths: Mapping[str, int]) -> Statistics:
    """Statistics that change nothing."""
    return {name: (np.zeros(width, np.float32), np.ones(width, np.float32)) for name, width in widths.items()}


def prepare(
    embedding: NDArray[np.floating], present: NDArray[np.bool_], mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> Tensor:
    """Standardised vectors of one feature, (N, W), in the precision that they came in; zero where absent."""
    out = torch.empty(embedding.shape, dtype=torch.float16 if embedding.dtype == np.float16 else torch.float32)
    shift, factor, largest = torch.from_numpy(mean), torch.from_numpy(scale), torch.finfo(out.dtype).max
    for start in range(0, len(out), SLICE):
        part = slice(start, start + SLICE)
        block = torch.from_numpy(embedding[part].copy()).float().sub_(shift).div_(factor).clamp_(-largest, largest)
        absent = ~present[part]
        if absent.any():  # to fill nothing is as slow as to fill everything
            block[torch.from_numpy(absent)] = 0
        out[part] = block
    return out


def standardised(table: FeatureTable, features: Sequence[str], scaling: Statistics) -> Vectors:
    """All rows of a table, standardised."""
    chosen = {name: table.features[name] for name in features}
    views = {name: prepare(feature.embedding, feature.present, *scaling[name]) for name, feature in chosen.items()}
    return Vectors(views, {name: torch.from_numpy(feature.present.copy()) for name, feature in chosen.items()})
