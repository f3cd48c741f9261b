"""What stage one adds to transformers' `Trainer`: order of the products, marks of complete checkpoints, progress."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices

from fusecat.stages.extraction.inputs import Examples, Inputs, Texts
from fusecat.stages.extraction.progress import Progress
from fusecat.stages.metrics import METRICS, Metric

COMPLETE = "complete"
"""Marks a checkpoint whose every file is there: `Trainer` writes several and renames none."""


@dataclass(frozen=True)
class TrainingData:
    """What a network is to learn: inputs, and the labelled rows of train and validation that have the field."""

    feature: str
    inputs: Inputs
    labels: NDArray[np.int32]
    classes: int
    train: NDArray[np.intp]
    validation: NDArray[np.intp]

    def examples(self, rows: NDArray[np.intp], seed: int | None) -> Examples:
        """These rows as `Trainer` wants them."""
        return Examples(self.inputs, rows.tolist(), self.labels[rows].tolist(), seed)


class OrderedTrainer(Trainer):
    """`Trainer` that can group like lengths in an order that is a function of seed and epoch: a resumed run repeats it."""

    grouped = False
    leaves_one_out = False
    """Whether the products of an epoch that fill no batch, another one each time, stay out of it."""

    def get_train_dataloader(self) -> Any:
        """As `Trainer`'s, whose setting would leave out products of validation too."""
        self.args.dataloader_drop_last = self.leaves_one_out
        try:
            return super().get_train_dataloader()
        finally:
            self.args.dataloader_drop_last = False

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self.grouped:
            return super()._get_train_sampler(train_dataset)
        examples = cast("Examples", self.train_dataset)
        costs = [examples.inputs.cost(row) for row in examples.rows]
        return LikeLengths(costs, self.args.train_batch_size * self.args.world_size, self.args.seed)


class LikeLengths(Sampler[int]):
    """Random order in which neighbours have like lengths (transformers' megabatches), by seed and epoch."""

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self.lengths = lengths
        self.batch = batch
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before every epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch, generator=generator))  # type: ignore[no-untyped-call]


class Epochs(TrainerCallback):
    """Tells the examples which epoch it is, before the loader's workers start; accelerate does so only on one device."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002, D102
        self.examples.set_epoch(round(state.epoch))


class MarkComplete(TrainerCallback):
    """Writes the mark of a complete checkpoint after everything else of it."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002, D102
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


class Tell(TrainerCallback):
    """Progress with products and real tokens (padding is none) per second, and the validation metric of every epoch."""

    def __init__(self, training_data: TrainingData, progress: Progress, epochs: int, metric: Metric) -> None:
        self.feature = training_data.feature
        self.progress = progress
        self.products = len(training_data.train) * epochs
        self.tokens = sum(training_data.inputs.cost(row) for row in training_data.train) / len(training_data.train)
        self.counts_tokens = isinstance(training_data.inputs, Texts)
        self.metric = metric
        self.scored = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002, D102
        self.first, self.begin = state.global_step, time.monotonic()
        if state.global_step and state.is_world_process_zero:
            remark = f"going on from the checkpoint of epoch {round(state.epoch)}"
            self.progress(self.feature, remark, state.global_step, 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002, D102
        share = (state.global_step - self.first) / state.max_steps
        rate = share * self.products / max(time.monotonic() - self.begin, 1e-6)
        # The mean of all texts stands for those of the steps so far: exact after every epoch, and no wait for the device.
        speed = f"{rate:,.0f} products/s" + (f", {rate * self.tokens:,.0f} real tokens/s" if self.counts_tokens else "")
        self.progress(self.feature, "fine-tuning", state.global_step, state.max_steps, speed + self.scored)

    def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002, D102
        score = rest["metrics"][f"eval_{self.metric.key}"]
        self.scored = f", epoch {round(state.epoch)}: validation {self.metric} {score:.3f}"


def last_complete(checkpoints: Path) -> str | None:
    """The newest checkpoint whose every file is there; half-written ones are removed."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    complete = [path for path in found if (path / COMPLETE).exists()]
    for path in found:
        if path not in complete:
            shutil.rmtree(path, ignore_errors=True)
    return str(complete[-1]) if complete else None


def curve(history: list[dict[str, float]]) -> tuple[dict[str, float], ...]:
    """One mapping per epoch from `Trainer`'s log, keys as in `stages.scores`."""
    keys, epochs = {metric.key for metric in METRICS.values()}, dict[int, dict[str, float]]()
    for entry in history:
        epoch = epochs.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        if "loss" in entry:
            epoch["train_loss"] = entry["loss"]
        for name, value in entry.items():
            if name.startswith("eval_") and name.removeprefix("eval_") in keys:
                epoch[name.removeprefix("eval_")] = value
    return tuple(epoch for epoch in epochs.values() if keys & epoch.keys())
