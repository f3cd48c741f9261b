"""Fine-tuning of one network with a classification layer, by transformers' `Trainer` and accelerate.

One process is one device; `torchrun` or `accelerate launch` start several, and `Trainer` does the rest.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import EarlyStoppingCallback, PrinterCallback, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.inputs import Examples
from fusecat.stages.extraction.memory import MemoryPlan
from fusecat.stages.extraction.networks import Classifier, ImageNetwork, TextNetwork
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.extraction.settings import Balance, Training
from fusecat.stages.extraction.trainer import Epochs, MarkComplete, OrderedTrainer, Tell, TrainingData, curve, last_complete
from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.scores import scores
from fusecat.stages.tracking import Tracking


@dataclass(frozen=True)
class Teaching:
    """What fine-tuning asks of whoever wants it, whatever the network. `logs`: the run of a tracker.

    `metric`: what chooses the epoch; `name`: what progress calls the network (default: its feature).
    """

    metric: Metric
    progress: Progress = silent
    logs: Tracking | None = None
    name: str = ""


@dataclass(frozen=True)
class TrainingResult:
    """What fine-tuning did: `curve` holds one mapping per epoch (epoch, train_loss, validation scores)."""

    epochs: int
    best_epoch: int
    seconds: float
    curve: tuple[Mapping[str, float], ...]
    validation: Mapping[str, float]


def train_network(
    network: TextNetwork | ImageNetwork | Classifier,
    training_data: TrainingData,
    training: Training,
    folder: Path,
    teaching: Teaching,
    *,
    precision: str,
    workers: int = 0,
    memory_plan: MemoryPlan = MemoryPlan(),  # noqa: B008 - frozen
) -> TrainingResult:
    """Fine-tune the network; it ends with the weights of the epoch whose validation metric is best.

    Checkpoints go to `folder/checkpoints`, one per epoch; an interrupted run goes on from the last complete one and ends like
    an uninterrupted one. `memory_plan`: what is given up for a small memory.
    """
    begin, metric, logs = time.monotonic(), teaching.metric, teaching.logs
    checkpoints = folder / "checkpoints"
    if memory_plan.gradient_checkpointing:
        network.recompute()
    examples = training_data.examples(training_data.train, training.seed)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    batch = training.batch // (memory_plan.batches_per_step * processes) or 1
    left_over = -(-len(examples) // processes) % batch if batch > 1 else 1
    one_is_too_few = left_over == 1 and normalises_single_numbers(network, examples)
    if one_is_too_few and (batch == 1 or len(examples) <= batch):
        raise UsageError(
            f"{training_data.feature}: a layer of the network normalises over the batch, and one product is none; "
            "set training.batch = 2 or more (or freeze = true)"
        )
    with logs.running() if logs else nullcontext():
        trainer = OrderedTrainer(
            model=network,
            args=TrainingArguments(
                output_dir=str(checkpoints),
                num_train_epochs=training.epochs,
                per_device_train_batch_size=batch,
                per_device_eval_batch_size=2 * batch,
                learning_rate=training.learning_rate,
                optim="adamw_torch_fused",  # without decay it is Adam
                weight_decay=training.weight_decay,
                adam_epsilon=training.epsilon,
                lr_scheduler_type="linear",
                warmup_steps=training.warmup,
                max_grad_norm=training.clip,
                gradient_accumulation_steps=memory_plan.batches_per_step,
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
                report_to="none" if logs is None else logs.tracker.value,
                run_name=logs.name if logs else None,
                seed=training.seed,
            ),
            train_dataset=examples,
            eval_dataset=training_data.examples(training_data.validation, None),
            data_collator=examples.collate,
            compute_metrics=_evaluate,
            compute_loss_func=_loss(training, training_data),
            callbacks=[Epochs(examples), MarkComplete(), Tell(training_data, teaching.progress, training.epochs, metric)]
            + ([EarlyStoppingCallback(training.patience)] if training.patience else []),
        )
        trainer.grouped = training.group_by_length
        trainer.leaves_one_out = one_is_too_few
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_complete(checkpoints))
    epochs = curve(trainer.state.log_history)
    best = max(epochs, key=lambda epoch: metric.sign * epoch[metric.key])
    return TrainingResult(
        epochs=len(epochs),
        best_epoch=int(best["epoch"]),
        seconds=time.monotonic() - begin,
        curve=epochs,
        validation={each.key: best[each.key] for each in METRICS.values() if each.key in best},
    )


def normalises_single_numbers(network: nn.Module, examples: Examples) -> bool:
    """Whether a batch norm gets one number per channel of one product: from that it cannot learn, and torch raises."""
    found = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0].numel() == inputs[0].shape[1])

    network.train()  # a frozen backbone stays as it is
    learning = [each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.training]
    hooks = [each.register_forward_pre_hook(look) for each in learning]
    if hooks:
        batch = examples.collate([examples[0]])
        batch.pop("labels")
        device = next(network.parameters()).device
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network.eval()(**{name: tensor.to(device) for name, tensor in batch.items()})
        network.train()
    for hook in hooks:
        hook.remove()
    return any(found)


def _loss(training: Training, training_data: TrainingData) -> Callable[..., Tensor]:
    """Cross-entropy, summed over products and divided by their number (over all accumulated batches and devices)."""
    weights = class_weights(training.balance, training_data.labels[training_data.train], training_data.classes)

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
