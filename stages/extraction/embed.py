"""One pass in evaluation mode: the vector and logits of every product, block by block, straight into the cache.

Shapes: D width of the vector, C classes.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from accelerate.utils import reduce
from numpy.typing import NDArray
from torch import Tensor

from fusecat.cache.writing import FeatureWriter
from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.inputs import Inputs, Texts
from fusecat.stages.extraction.networks import AnyNetwork
from fusecat.stages.extraction.progress import Progress, silent

FloatArray = NDArray[np.float32]

AHEAD = 2
"""Batches that worker threads decode while the network works on an earlier one."""


@dataclass(frozen=True)
class Inference:
    """How a pass over products is made: `classes` C, `budget`: tokens (padding included) or images per batch.

    `feature`: what progress calls it; `workers`: threads that decode; `share`: (rank, ranks) of the processes that share it.
    """

    feature: str
    classes: int
    budget: int
    device: torch.device
    precision: str
    progress: Progress = silent
    workers: int = 0
    share: tuple[int, int] = (0, 1)

    @classmethod
    def of(cls, encoder: Encoder, classes: int, precision: str, progress: Progress, *, shared: bool = False) -> Self:
        """As the encoder's settings say, on this process's device; `shared`: by all processes of this launch."""
        state, workers = processes(), encoder.extraction.workers
        share = (state.process_index, state.num_processes) if shared else (0, 1)
        return cls(encoder.feature, classes, encoder.budget(state.device), state.device, precision, progress, workers, share)


def embed(network: AnyNetwork, inputs: Inputs, present: NDArray[np.bool_], writer: FeatureWriter, inference: Inference) -> int:
    """Compute the blocks that are not on disk yet; returns how many rows were computed. Each rank takes every ranks-th block.

    Batches are a function of a block's rows alone, because a vector's last bits depend on its batch's padding: that is what
    makes a resumed file equal to an uninterrupted one, byte for byte. Absent products get zeros and are never computed.
    """
    rank, ranks = inference.share
    network.eval().to(inference.device)
    begin, total, done, tokens = time.monotonic(), len(present), 0, 0
    missing = [(number, rows) for number, rows in writer.missing() if number % ranks == rank]
    waiting = sum(len(rows) for _, rows in missing)
    seen_of = {number: [row for row in rows if present[row]] for number, rows in missing}
    cut = {
        number: list(batches(seen, [inputs.cost(row) for row in seen], inference.budget)) for number, seen in seen_of.items()
    }
    with _pool(inference.workers) as pool:
        ready = prepared(inputs, (batch for block in cut.values() for batch in block), pool)
        for number, rows in missing:
            vectors = np.zeros((len(rows), network.width), np.float32)
            logits = np.zeros((len(rows), inference.classes), np.float32)
            for batch in cut[number]:
                where = [row - rows.start for row in batch]
                vectors[where], logits[where] = _forward(network, *next(ready), inference)
            writer.put(number, vectors, logits, present[rows.start : rows.stop])
            done += len(rows)
            tokens += sum(inputs.cost(row) for row in seen_of[number])
            seconds = max(time.monotonic() - begin, 1e-6)
            speed = f"{done / seconds:,.0f} products/s"
            speed += f", {tokens / seconds:,.0f} real tokens/s" if isinstance(inputs, Texts) else ""
            inference.progress(inference.feature, "extraction", total - (waiting - done) * ranks, total, speed)
    return done


def encode(
    network: AnyNetwork, inputs: Inputs, rows: Sequence[int], inference: Inference, phase: str = "prediction"
) -> tuple[FloatArray, FloatArray]:
    """Vectors (n, D) and logits (n, C) of these rows, in their order, in memory.

    Each rank computes every ranks-th batch and gets all. `phase`: what progress calls it.
    """
    rank, ranks = inference.share
    network.eval().to(inference.device)
    begin, done = time.monotonic(), 0
    vectors, logits = (np.zeros((len(rows), width), np.float32) for width in (network.width, inference.classes))
    places = {row: place for place, row in enumerate(rows)}
    cut = list(batches(rows, [inputs.cost(row) for row in rows], inference.budget))
    with _pool(inference.workers) as pool:
        ready = prepared(inputs, cut[rank::ranks], pool)
        for number, batch in enumerate(cut):
            done += len(batch)
            if number % ranks == rank:
                where = [places[row] for row in batch]
                vectors[where], logits[where] = _forward(network, *next(ready), inference)
                rate = done / max(time.monotonic() - begin, 1e-6)
                inference.progress(inference.feature, phase, done, len(rows), f"{rate:.0f} products/s")
    return (vectors, logits) if ranks == 1 else (_of_all(vectors, inference.device), _of_all(logits, inference.device))


def _of_all(own: FloatArray, device: torch.device) -> FloatArray:
    """The same on every rank: a row is zero on all ranks but one, so the sum changes no value."""
    return np.asarray(reduce(torch.from_numpy(own).to(device), "sum").cpu(), np.float32)


def batches(rows: Sequence[int], costs: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Cut rows, longest first, into batches whose padded cost (longest times number) stays within the budget."""
    order = sorted(range(len(rows)), key=lambda place: (-costs[place], rows[place]))
    batch: list[int] = []
    longest = 0
    for place in order:
        if batch and longest * (len(batch) + 1) > budget:
            yield batch
            batch = []
        longest = longest if batch else costs[place]
        batch.append(rows[place])
    if batch:
        yield batch


def prepared(
    inputs: Inputs, cut: Iterable[Sequence[int]], pool: ThreadPoolExecutor | None
) -> Iterator[tuple[dict[str, Tensor], NDArray[np.intp]]]:
    """Tensors of each batch and, for each of their rows, its product's place in the batch: a product may have several views.

    With a pool, the next batches are decoded while the caller works on one.
    """
    if pool is None:
        for batch in cut:
            yield _collated(inputs, [inputs.views(row) for row in batch])
        return
    waiting: deque[list[Future[list[Any]]]] = deque()
    for batch in cut:
        waiting.append([pool.submit(inputs.views, row) for row in batch])
        if len(waiting) > AHEAD:
            yield _collated(inputs, [each.result() for each in waiting.popleft()])
    for promised in waiting:
        yield _collated(inputs, [each.result() for each in promised])


def _collated(inputs: Inputs, views: Sequence[Sequence[Any]]) -> tuple[dict[str, Tensor], NDArray[np.intp]]:
    owners = np.repeat(np.arange(len(views)), [len(items) for items in views])
    return inputs.collate([item for items in views for item in items]), owners


def _forward(
    network: AnyNetwork, tensors: dict[str, Tensor], owners: NDArray[np.intp], inference: Inference
) -> tuple[FloatArray, FloatArray]:
    """Vectors (B, D) and logits (B, C) of a batch's products: the mean over a product's views."""
    with torch.inference_mode(), _autocast(inference):
        moved = {name: tensor.to(inference.device, non_blocking=True) for name, tensor in tensors.items()}
        outputs = [output.float().cpu().numpy() for output in network.encode(**moved)]
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    if len(starts) == len(owners):
        return outputs[0], outputs[1]
    counts = np.bincount(owners)[:, None]
    vectors, logits = ((np.add.reduceat(output, starts) / counts).astype(np.float32) for output in outputs)
    return vectors, logits


def _autocast(inference: Inference) -> AbstractContextManager[Any]:
    if inference.precision == "fp32":
        return nullcontext()
    return torch.autocast(inference.device.type, torch.bfloat16 if inference.precision == "bf16" else torch.float16)


def _pool(workers: int) -> AbstractContextManager[Any]:
    """Threads are enough to decode images: OpenCV lets go of the interpreter lock."""
    return ThreadPoolExecutor(workers) if workers > 1 else nullcontext()
