"""Vectors that do not fit in memory: the same fit on windows of shuffled pieces, read by `cache.stream`.

Shapes: N products, B of a batch, W a feature's own width.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusecat.cache.stream import FeatureStream
from fusecat.stages.fusion.fit_settings import Scaling
from fusecat.stages.fusion.in_memory import SLICE, Moments, Statistics, identity

Batch = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class StreamedVectors:
    """Like `Vectors`, but the vectors stay on disk; standardised batch by batch. The features are those of `scaling`."""

    stream: FeatureStream
    scaling: Statistics

    def __len__(self) -> int:
        return len(self.stream.labels)

    def select(self, features: Sequence[str]) -> "StreamedVectors":
        """The same rows with these features only."""
        return replace(self, scaling={name: self.scaling[name] for name in features})

    def epoch(self, rows: NDArray[np.intp], size: int, seed: int) -> Generator[Batch]:
        """Labels, views and masks of these rows, `size` at a time, in an order drawn from `seed`."""
        for labels, views, present in self._batches(rows, size, seed):
            yield torch.from_numpy(labels.astype(np.int64)), views, present

    def blocks(self, rows: Tensor, size: int) -> Generator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Views and masks of these rows, which must ascend, in order."""
        yield from ((views, present) for _, views, present in self._batches(rows.numpy(), size, None))

    def permuted(self, rows: Tensor, size: int) -> Generator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """As `blocks`, but in the place of each row stands another one of them, the same in every call."""
        yield from ((views, present) for _, views, present in self._batches(rows.numpy(), size, 0))

    def _batches(
        self, rows: NDArray[np.intp], size: int, seed: int | None
    ) -> Iterator[tuple[NDArray[np.integer], dict[str, Tensor], dict[str, Tensor]]]:
        """Labels, views and masks of these rows; without a seed ascending."""
        for labels, vectors, present in self.stream.batches(rows, size, seed=seed, features=list(self.scaling)):
            views = {name: _standardised(vectors[name], present[name], *scaling) for name, scaling in self.scaling.items()}
            yield labels, views, {name: torch.from_numpy(present[name]) for name in self.scaling}


def _standardised(
    vectors: NDArray[np.floating], present: NDArray[np.bool_], mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> Tensor:
    """A batch of one feature (B, W) in float32, zero where absent: what `prepare` gives, but in one pass, every epoch."""
    factor = torch.from_numpy(1 / scale)
    shift = torch.from_numpy(-mean) * factor
    out, largest = torch.empty(vectors.shape), torch.finfo(torch.float32).max
    for block, source in zip(torch.split(out, SLICE), torch.split(torch.from_numpy(vectors), SLICE), strict=True):
        torch.addcmul(shift, block.copy_(source), factor, out=block)
        if source.dtype == torch.float32:
            block.clamp_(-largest, largest)
    if not present.all():
        out[torch.from_numpy(~present)] = 0
    return out


def streamed_statistics(stream: FeatureStream, features: Sequence[str], rows: NDArray[np.intp], kind: Scaling) -> Statistics:
    """Mean and scale of each column over the present ones of these rows, in one pass (see `statistics`)."""
    if kind is Scaling.NONE:
        return identity({name: stream.widths[name] for name in features})
    moments = {name: Moments(stream.widths[name]) for name in features}
    for _, vectors, present in stream.batches(rows, 4096, features=features):
        for name in features:
            moments[name].add(torch.from_numpy(vectors[name][present[name]]))
    return {name: each.scaling(kind) for name, each in moments.items()}
