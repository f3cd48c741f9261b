"""Fine-tuning of one network with a classification layer, by transformers' `Trainer` and accelerate.

One process is one device; `torchrun` or `accelerate launch` start several, and `Trainer` does the rest.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Sampler
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.trainer_utils import EvalPrediction

from stages.encoders.inputs import Examples, Inputs, Texts
from stages.encoders.networks import ImageNetwork, TextNetwork
from stages.encoders.progress import Progress
from stages.encoders.settings import Balance, Optimizer, Training
from stages.errors import UsageError
from stages.scores import SCORES, scores
from stages.vocabulary import Metric

COMPLETE = "complete"
"""Marks a checkpoint whose every file is there: `Trainer` writes several and renames none."""


@dataclass(frozen=True)
class Learning:
    """What fine-tuning did: `curve` holds one mapping per epoch (epoch, train_loss, validation scores)."""

    epochs: int
    best_epoch: int
    seconds: float
    curve: tuple[Mapping[str, float], ...]
    validation: Mapping[str, float]
    parameters: int


@dataclass(frozen=True)
class Lesson:
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


def finetune(
    network: TextNetwork | ImageNetwork,
    lesson: Lesson,
    training: Training,
    folder: Path,
    *,
    metric: Metric,
    precision: str,
    progress: Progress,
    workers: int = 0,
    report_to: str = "none",
    accumulation: int = 1,
) -> Learning:
    """Teach the network; it ends with the weights of the epoch whose validation metric is best.

    Checkpoints go to `folder/checkpoints`, one per epoch; an interrupted run goes on from the last complete one and ends like
    an uninterrupted one. `accumulation`: batches per optimiser step, for a small memory; the step stays the same.
    """
    begin = time.monotonic()
    checkpoints = folder / "checkpoints"
    if training.freeze:
        network.backbone.requires_grad_(requires_grad=False)
    save_memory = getattr(network.backbone, "gradient_checkpointing_enable", None)
    if training.gradient_checkpointing and save_memory is not None:
        save_memory()
    examples = lesson.examples(lesson.train, training.seed)
    batch = training.batch // (accumulation * int(os.environ.get("WORLD_SIZE", "1"))) or 1
    trainer = _Trainer(
        model=network,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=training.epochs,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=2 * batch,
            learning_rate=training.learning_rate,
            optim=_optimizer(training),
            weight_decay=training.weight_decay,
            adam_epsilon=training.epsilon,
            lr_scheduler_type="linear",
            warmup_steps=training.warmup,
            max_grad_norm=training.clip,
            gradient_accumulation_steps=accumulation,
            bf16=precision == "bf16",
            fp16=precision == "fp16",
            use_cpu=not torch.cuda.is_available(),
            eval_strategy="epoch",
            save_strategy="epoch",
            logging_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model=f"eval_{metric.key}",
            greater_is_better=metric.sign > 0,
            dataloader_num_workers=workers,
            dataloader_pin_memory=torch.cuda.is_available(),
            remove_unused_columns=False,
            label_names=["labels"],
            ddp_find_unused_parameters=False,
            disable_tqdm=True,
            report_to=report_to,
            seed=training.seed,
        ),
        train_dataset=examples,
        eval_dataset=lesson.examples(lesson.validation, None),
        data_collator=examples.collate,
        compute_metrics=_evaluate,
        compute_loss_func=_loss(training, lesson),
        callbacks=[_Epochs(examples), _MarkComplete(), _Tell(lesson, progress, training.epochs, metric)]
        + ([EarlyStoppingCallback(training.patience)] if training.patience else []),
    )
    trainer.grouped = training.group_by_length
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_last_complete(checkpoints))
    curve = _curve(trainer.state.log_history)
    best = max(curve, key=lambda epoch: metric.sign * epoch[metric.key])
    return Learning(
        epochs=len(curve),
        best_epoch=int(best["epoch"]),
        seconds=time.monotonic() - begin,
        curve=curve,
        validation={name: best[name] for name in SCORES},
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


class _Trainer(Trainer):
    """`Trainer` that can group like lengths in an order that is a function of seed and epoch: a resumed run repeats it."""

    grouped = False

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self.grouped:
            return super()._get_train_sampler(train_dataset)
        examples = cast("Examples", self.train_dataset)
        costs = [examples.inputs.cost(row) for row in examples.rows]
        return _LikeLengths(costs, self.args.train_batch_size * self.args.world_size, self.args.seed)


class _LikeLengths(Sampler[int]):
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


class _Epochs(TrainerCallback):
    """Tells the examples which epoch it is, before the loader's workers start; accelerate does so only on one device."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.examples.set_epoch(round(state.epoch))


class _MarkComplete(TrainerCallback):
    """Writes the mark of a complete checkpoint after everything else of it."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


class _Tell(TrainerCallback):
    """Progress with products and real tokens (padding is none) per second, and the validation metric of every epoch."""

    def __init__(self, lesson: Lesson, progress: Progress, epochs: int, metric: Metric) -> None:
        self.feature = lesson.feature
        self.progress = progress
        self.products = len(lesson.train) * epochs
        self.tokens = sum(lesson.inputs.cost(row) for row in lesson.train) / len(lesson.train)
        self.counts_tokens = isinstance(lesson.inputs, Texts)
        self.metric = metric
        self.scored = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.first, self.begin = state.global_step, time.monotonic()
        if state.global_step and state.is_world_process_zero:
            remark = f"going on from the checkpoint of epoch {round(state.epoch)}"
            self.progress(self.feature, remark, state.global_step, 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        share = (state.global_step - self.first) / state.max_steps
        rate = share * self.products / max(time.monotonic() - self.begin, 1e-6)
        # The mean of all texts stands for those of the steps so far: exact after every epoch, and no wait for the device.
        speed = f"{rate:,.0f} products/s" + (f", {rate * self.tokens:,.0f} real tokens/s" if self.counts_tokens else "")
        self.progress(self.feature, "fine-tuning", state.global_step, state.max_steps, speed + self.scored)

    def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
        score = rest["metrics"][f"eval_{self.metric.key}"]
        self.scored = f", epoch {round(state.epoch)}: validation {self.metric} {score:.3f}"


def _optimizer(training: Training) -> str:
    match training.optimizer:
        case Optimizer.ADAMW:
            return "adamw_torch_fused"
        case Optimizer.ADAM:
            # AdamW without decay is Adam; with decay the two differ, and the thesis's Adam had none.
            if training.weight_decay:
                message = "training.optimizer 'adam' goes with weight_decay 0; use 'adamw' for decay"
                raise UsageError(message)
            return "adamw_torch_fused"
        case _:
            assert_never(training.optimizer)


def _loss(training: Training, lesson: Lesson) -> Callable[..., Tensor]:
    """Cross-entropy, summed over products and divided by their number (over all accumulated batches and devices)."""
    weights = class_weights(training.balance, lesson.labels[lesson.train], lesson.classes)

    def loss(outputs: Mapping[str, Tensor], labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        logits = outputs["logits"].float()
        weight = None if weights is None else weights.to(logits.device)
        total = F.cross_entropy(logits, labels, weight=weight, label_smoothing=training.label_smoothing, reduction="sum")
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return loss


def class_weights(balance: Balance, labels: NDArray[np.int32], classes: int) -> Tensor | None:
    """(C,) float32 weights whose mean over the products is 1, or None; a class without products weighs 0."""
    match balance:
        case Balance.NONE:
            return None
        case Balance.INVERSE_FREQUENCY:
            counts = np.bincount(labels, minlength=classes)
            seen = np.count_nonzero(counts)
            return torch.tensor(np.where(counts, len(labels) / (seen * np.maximum(counts, 1)), 0.0), dtype=torch.float32)
        case _:
            assert_never(balance)


def _evaluate(prediction: EvalPrediction) -> dict[str, float]:
    logits = torch.as_tensor(prediction.predictions).float()
    return scores(np.asarray(prediction.label_ids), logits.softmax(dim=1).numpy())


def _last_complete(checkpoints: Path) -> str | None:
    """The newest checkpoint whose every file is there; half-written ones are removed."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    complete = [path for path in found if (path / COMPLETE).exists()]
    for path in found:
        if path not in complete:
            shutil.rmtree(path, ignore_errors=True)
    return str(complete[-1]) if complete else None


def _curve(history: list[dict[str, float]]) -> tuple[dict[str, float], ...]:
    """One mapping per epoch from `Trainer`'s log, keys as in `stages.scores`."""
    epochs: dict[int, dict[str, float]] = {}
    for entry in history:
        epoch = epochs.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        if "loss" in entry:
            epoch["train_loss"] = entry["loss"]
        for name, value in entry.items():
            if name.startswith("eval_") and name.removeprefix("eval_") in SCORES:
                epoch[name.removeprefix("eval_")] = value
    return tuple(epoch for epoch in epochs.values() if SCORES[0] in epoch)
