"""Vectors that do not fit in memory: the same fit on windows of shuffled pieces, read by `cache.stream`.

Shapes: N products, B of a batch, W a feature's own width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cache.stream import FeatureStream
from stages.heads.data import Moments, Statistics

Batch = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class StreamedVectors:
    """Like `data.Vectors`, but the vectors stay on disk; standardised batch by batch."""

    stream: FeatureStream
    scaling: Statistics

    def __len__(self) -> int:
        return len(self.stream.labels)

    def epoch(self, rows: NDArray[np.intp], size: int, seed: int) -> Iterator[Batch]:
        """Labels, views and masks of these rows, `size` at a time, in an order drawn from `seed`."""
        for labels, vectors, present in self.stream.batches(rows, size, seed=seed):
            yield torch.from_numpy(labels.astype(np.int64)), *self._prepared(vectors, present)

    def blocks(self, rows: Tensor, size: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Views and masks of these rows, which must ascend, in order."""
        for _, vectors, present in self.stream.batches(rows.numpy(), size):
            yield self._prepared(vectors, present)

    def _prepared(
        self, vectors: dict[str, NDArray[np.float32]], present: dict[str, NDArray[np.bool_]]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        views = {}
        for name, (mean, scale) in self.scaling.items():
            views[name] = torch.from_numpy((vectors[name] - mean) / scale * present[name][:, None])
        return views, {name: torch.from_numpy(present[name]) for name in self.scaling}


def streamed_statistics(stream: FeatureStream, features: Sequence[str], rows: NDArray[np.intp]) -> Statistics:
    """Mean and scale of each column over the present ones of these rows, in one pass (see `data.statistics`)."""
    moments = {name: Moments(stream.widths[name]) for name in features}
    for _, vectors, present in stream.batches(rows, 4096):
        for name in features:
            moments[name].add(torch.from_numpy(vectors[name][present[name]]))
    return {name: each.scaling() for name, each in moments.items()}
