"""How long stage one would take: a few real steps and batches with the real settings, timed. The networks are thrown away."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusecat.stages.extraction.build_network import load_tokenizer
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.embed import Inference, encode
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.frozen import trainable_part
from fusecat.stages.extraction.inputs import Inputs
from fusecat.stages.extraction.memory import MemoryPlan, Peak, retry_on_oom
from fusecat.stages.extraction.networks import ImageNetwork, TextNetwork
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.extraction.tokenising import tokenise
from fusecat.stages.extraction.train_network import Teaching, train_network
from fusecat.stages.extraction.trainer import TrainingData
from fusecat.stages.fields import Field
from fusecat.stages.metrics import Metric
from fusecat.stages.progress import scratch
from fusecat.stages.vocabulary import Part

STEPS = 20
"""Optimiser steps that are timed, after one to warm up."""
BATCHES = 4
"""Extraction batches that are timed, after a small one to warm up."""


@dataclass(frozen=True)
class Timing:
    """What was timed of one network on one field, in seconds."""

    feature: str
    steps: int
    """Steps timed."""
    step: float
    """Per optimiser step, reading included."""
    products: int
    """Products encoded while it was timed."""
    product: float
    """Per product of extraction, reading included."""
    tokenising: float
    """Per product; 0 for images, which are read while they are used."""
    economy: str
    """What had to be given up because memory ran out; empty where nothing was."""
    memory: int
    """Most resident bytes of this process."""
    device_memory: int
    """Most bytes of tensors on the GPU; 0 without one."""


class _Enough(Exception):
    """The steps that were to be timed are done."""


@dataclass(frozen=True)
class _Sample(Study):
    """A study in which only some products have anything to see."""

    kept: frozenset[int] = field(default_factory=frozenset)

    def texts(self, field: Field) -> list[str | None]:
        return [text if row in self.kept else None for row, text in enumerate(super().texts(field))]

    def pictures(self) -> list[tuple[Path, ...]]:
        return [paths if row in self.kept else () for row, paths in enumerate(super().pictures())]


def probe(encoder: Encoder, study: Study, *, metric: Metric, precision: str, progress: Progress = silent) -> Timing:
    """Time one network on random products of the study.

    Nothing is written but to a temporary folder. There must be products with the field in train.
    """
    training, random = encoder.network.training, np.random.default_rng(0)
    once = dataclasses.replace(training, epochs=1)
    watched, classes, present = Peak(progress), len(study.catalogue.classes), study.present(encoder.field)
    inference = Inference.of(encoder, classes, precision, watched)
    budget = inference.budget
    # Fewer products than steps need are taken again and again: a step costs what it costs.
    train = np.resize(random.permutation(study.labelled(Part.TRAIN, present)), (STEPS + 1) * training.batch)
    others = random.permutation(np.flatnonzero(present))[: budget if encoder.network.is_image else budget // 8]
    kept = frozenset([*train.tolist(), *others.tolist()])
    sample = _Sample(study.catalogue, study.images, study.split, kept, max_pixels=study.max_pixels)
    with scratch() as folder:
        inputs = encoder.inputs(sample, folder, saved=False)
        training_data = TrainingData(encoder.feature, inputs, study.rows.labels, classes, train, train[:1])

        def attempt(network: TextNetwork | ImageNetwork, memory_plan: MemoryPlan) -> list[float]:
            times: list[float] = []

            def clock(feature: str, phase: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG001
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                times.append(time.perf_counter())
                watched(feature, "probing", done, total, "")
                if done == total:
                    raise _Enough

            trainable, seen, workers = trainable_part(network, encoder, training_data, precision, watched)
            taught = Teaching(metric, clock)
            try:
                train_network(
                    trainable, seen, once, folder, taught, precision=precision, workers=workers, memory_plan=memory_plan
                )
            except _Enough:
                return times
            raise AssertionError("the last step was not told")

        first = MemoryPlan(gradient_checkpointing=training.gradient_checkpointing)
        network, times, memory_plan = retry_on_oom(
            lambda: encoder.build(classes, folder), attempt, first, training.batch, lambda _: None
        )
        step = (times[-1] - times[0]) / (len(times) - 1)
        grouped = training.group_by_length and not encoder.network.learns_from_vectors
        step *= _first_is_longest(inputs, train, training.batch) if grouped else 1
        rows = _worth(inputs, random.permutation(sorted(kept)).tolist(), BATCHES * budget)

        network.to(memory_format=torch.channels_last)
        encode(network, inputs, rows[:8], inference)
        begin = time.perf_counter()
        encode(network, inputs, rows, inference)
        product = (time.perf_counter() - begin) / len(rows)
        tokenising = _tokenising(encoder, sample, folder)
    return Timing(
        encoder.feature,
        len(times) - 1,
        step,
        len(rows),
        product,
        tokenising,
        str(memory_plan) if memory_plan != first else "",
        watched.process,
        watched.device,
    )


def _first_is_longest(inputs: Inputs, rows: NDArray[np.intp], batch: int) -> float:
    """Grouped by length, the longest batch comes first and is not timed: padded cost of all batches over that of the others."""
    costs = sorted((inputs.cost(row) for row in rows.tolist()), reverse=True)
    longest = np.array(costs[::batch], float)
    return float(longest.mean() / longest[1:].mean())


def _worth(inputs: Inputs, rows: list[int], budget: int) -> list[int]:
    """The first of these rows, as many as the budget of tokens or images holds; at least one."""
    within = int(np.searchsorted(np.cumsum([inputs.cost(row) for row in rows]), budget, side="right"))
    return rows[: max(within, 1)]


def _tokenising(encoder: Encoder, sample: _Sample, folder: Path) -> float:
    """Seconds per product in one process."""
    if encoder.network.is_image:
        return 0.0
    tokenizer: Any = load_tokenizer(folder)
    texts = [text for text in sample.texts(encoder.field) if text is not None]
    begin = time.perf_counter()
    tokenise(tokenizer, encoder.network, texts, 0)
    return (time.perf_counter() - begin) / len(texts)
