"""One fit of one head on vectors in memory: no product, no text, no pixel, no loader.

Shapes: B products of a batch, C classes.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fusecat.stages.fusion.fit_settings import FitSettings, Moments, Schedule
from fusecat.stages.fusion.head import Head, Masks
from fusecat.stages.fusion.in_memory import Vectors
from fusecat.stages.fusion.losses import loss_function, order
from fusecat.stages.fusion.optimiser import optimiser_of
from fusecat.stages.fusion.predictions import outcome_of_blocks
from fusecat.stages.fusion.streamed import StreamedVectors
from fusecat.stages.metrics import LOG_LOSS, MACRO_F1, Metric
from fusecat.stages.scores import scores_of

Source = Vectors | StreamedVectors
"""In memory, or read window by window."""

T = TypeVar("T")

EVALUATION_BATCH = 4096
"""Products per forward pass where nothing is learned."""


@dataclass(frozen=True)
class Fitted:
    """A head with the weights of its best epoch, one mapping per epoch, and the seconds that it took."""

    head: Head
    curve: tuple[Mapping[str, float], ...]
    best_epoch: int
    seconds: float


@dataclass
class EpochChoice:
    """Which epoch is kept: the best `metric` on validation, ties to the lower log loss; the last where nothing is scored."""

    metric: Metric
    patience: int
    value: tuple[float, float] = (-np.inf, -np.inf)
    epoch: int = 0
    curve: list[Mapping[str, float]] = field(default_factory=list)

    def better(self, seen: Mapping[str, float]) -> bool:
        """Take note of one more epoch; whether it is the best so far."""
        self.curve.append(seen)
        value = float(len(self.curve)), 0.0
        if self.metric.key in seen:
            value = self.metric.sign * seen[self.metric.key], -seen[LOG_LOSS.key]
        if value > self.value:
            self.value, self.epoch = value, len(self.curve)
            return True
        return False

    @property
    def over(self) -> bool:
        """Whether it has not become better for too long."""
        return bool(self.patience) and len(self.curve) - self.epoch >= self.patience


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread and a seed of its own: the same bytes whatever else runs, and however many processes share the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def fit(
    build: Callable[[], Head],
    data: Source,
    labels: NDArray[np.integer],
    rows: NDArray[np.intp],
    validation_rows: NDArray[np.intp],
    settings: FitSettings,
    *,
    metric: Metric = MACRO_F1,
    seed: int = 1,
) -> Fitted:
    """Fit a head on `rows` and keep the epoch with the best `metric` on `validation_rows` (the last, where there are none).

    `build` makes the head; it is called once the random numbers are seeded. Ties go to the lower log loss. No row of any
    other part is looked at.
    """
    start = time.perf_counter()
    with reproducible(seed):
        head = build()
        targets = torch.from_numpy(np.asarray(labels).astype(np.int64))
        size = settings.batch(len(rows))
        steps = -(-len(rows) // size)
        epochs = settings.passes(len(rows))
        parameters = groups(head, dict(head.named_parameters()), settings)
        optimiser = optimiser_of(parameters, settings)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule(settings, steps * epochs))
        minimise = loss_function(settings, targets[torch.from_numpy(rows.astype(np.int64))], head.classes)
        # a copy of the head whose weights follow the head's, slowly
        follow = get_ema_multi_avg_fn(settings.averaging) if settings.averaging else None  # type: ignore[no-untyped-call]
        average = AveragedModel(head, multi_avg_fn=follow) if follow else None
        learner = _Learner(head, settings, optimiser, rate, minimise, average)
        kept = head if average is None else cast("Head", average.module)
        choice, best_state = EpochChoice(metric, settings.patience), kept.state_dict()
        for epoch in range(1, epochs + 1):
            head.train()
            loss = sum(learner.step(*batch) for batch in _batches(data, targets, rows, size, settings)) / len(rows)
            seen = {"epoch": float(epoch), "loss": loss}
            if len(validation_rows):
                said = outcome_of_blocks(predict_blocks(kept, data, validation_rows), labels[validation_rows])
                seen |= scores_of(said)
            if choice.better(seen):
                best_state = {name: tensor.clone() for name, tensor in kept.state_dict().items()}
            elif choice.over:
                break
        head.load_state_dict(best_state)
        head.eval()
    return Fitted(head, tuple(choice.curve), choice.epoch, time.perf_counter() - start)


def predict(head: Head, data: Source, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Class probabilities (n, C) of these rows, in evaluation mode."""
    found = np.empty((len(rows), head.classes), np.float32)
    place = 0
    for block in predict_blocks(head, data, rows):
        found[place : place + len(block)] = block
        place += len(block)
    return found


def predict_blocks(head: Head, data: Source, rows: NDArray[np.intp]) -> Iterator[NDArray[np.float32]]:
    """The same, block after block."""
    head.eval()
    for views, present in ahead(data.blocks(torch.from_numpy(rows.astype(np.int64)), EVALUATION_BATCH)):
        with torch.inference_mode():
            block = head(views, present).softmax(1).numpy()
        yield block


def _batches(
    data: Source, targets: Tensor, rows: NDArray[np.intp], size: int, settings: FitSettings
) -> Iterator[tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]]:
    """One pass over the fit rows in random order: labels, views and masks of each batch."""
    if isinstance(data, Vectors):
        places = torch.from_numpy(rows.astype(np.int64))
        blocks = torch.split(places[order(settings, targets[places])], size)
        return ahead((targets[block], *data.batch(block)) for block in blocks)
    return ahead(data.epoch(rows, size, int(torch.randint(2**31 - 1, ()))))


def ahead(batches: Generator[T]) -> Iterator[T]:
    """The same batches, each gathered and upcast beside the work on the one before, where a core is free."""
    try:
        with ThreadPoolExecutor(1) as beside:
            waiting = beside.submit(next, batches, None)
            while (batch := waiting.result()) is not None:
                waiting = beside.submit(next, batches, None)
                yield batch
    finally:
        with contextlib.suppress(ValueError):  # after Ctrl-C it may be at work still, and then nobody can close it
            batches.close()


@dataclass(frozen=True)
class _Learner:
    """What one step needs."""

    head: Head
    settings: FitSettings
    optimiser: torch.optim.Optimizer
    rate: torch.optim.lr_scheduler.LRScheduler
    minimise: Callable[[Tensor, Tensor], Tensor]
    average: AveragedModel | None

    def step(self, truth: Tensor, views: Mapping[str, Tensor], present: Masks) -> float:
        """Take one step down; returns the summed loss of the batch."""
        head, settings = self.head, self.settings
        loss = loss_of(lambda masks: head(views, masks), self.minimise, settings, present, truth, apart=head.apart)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm:
            _clip(head, settings.clip_norm)
        self.optimiser.step()
        self.rate.step()
        if self.average is not None:
            self.average.update_parameters(head)
        return float(loss.detach()) * len(truth)


def loss_of(
    say: Callable[[Masks], Tensor],
    minimise: Callable[[Tensor, Tensor], Tensor],
    settings: FitSettings,
    present: Masks,
    truth: Tensor,
    *,
    apart: bool,
) -> Tensor:
    """What one step minimises: the loss of a batch and, where features are taught `apart`, that of single features.

    `say`: masks (k * B,) per feature -> logits (k * B, C), k readings of the same vectors, which are projected once for all.
    """
    if settings.modality_dropout:
        present = drop_fields(present, settings.modality_dropout)
    if not (settings.auxiliary and apart):
        return minimise(say(present), truth)
    alone = single_features(present, max(1, settings.readings // len(truth)))
    logits = say({name: torch.cat([mask, alone[name]]) for name, mask in present.items()})
    joint, single = logits[: len(truth)], logits[len(truth) :]
    return minimise(joint, truth) + settings.auxiliary * minimise(single, truth.repeat(len(single) // len(truth)))


def _clip(head: Head, limit: float) -> None:
    """What `clip_grad_norm_` does, but gradients that are short enough are not multiplied by 1."""
    norm = torch.nn.utils.get_total_norm([each.grad for each in head.parameters() if each.grad is not None])
    if norm > limit:
        torch.nn.utils.clip_grads_with_norm_(head.parameters(), limit, norm)


def groups(head: Head, parameters: Mapping[str, Tensor], settings: FitSettings) -> list[dict[str, Any]]:
    """Parameters for an optimiser, by the step size that `head` and the shape there of their layer ask for, and its measure."""
    found: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in parameters.items():
        shape = head.get_parameter(name).shape
        # what is no matrix (a bias, a gain) takes the plain step size
        columns = shape[1] if len(shape) == 2 else settings.columns
        rate = settings.rate(columns, multiplies=head.multiplies, depth=head.depth)
        by_layer = settings.moments is Moments.LAYER or (settings.moments is Moments.AUTO and not head.multiplies)
        if name.startswith("projections."):
            projection = cast("torch.nn.Linear", head.get_submodule(name.rpartition(".")[0]))
            if head.multiplies and projection.in_features > projection.out_features:
                rate *= settings.projecting_multiplying
            elif not head.multiplies and not head.depth:
                rate *= settings.projecting
        elif name.startswith("shortcut."):  # by itself it is a linear head
            rate, by_layer = settings.rate(columns), settings.moments is not Moments.WEIGHT
        found.setdefault((rate, by_layer), []).append(parameter)
    return [{"params": several, "lr": rate, "by_layer": by_layer} for (rate, by_layer), several in found.items()]


def drop_fields(present: Masks, chance: float) -> dict[str, Tensor]:
    """Treat each field of each product as absent with this chance, in all networks at once; a product keeps at least one."""
    fields = sorted({name.rpartition(".")[2] for name in present})
    having = torch.stack(
        [torch.stack([mask for name, mask in present.items() if name.rpartition(".")[2] == each]).any(0) for each in fields],
        dim=1,
    )
    kept = having & (torch.rand(having.shape, device=having.device) >= chance)
    kept = torch.where(kept.any(1, keepdim=True), kept, having)
    return {name: mask & kept[:, fields.index(name.rpartition(".")[2])] for name, mask in present.items()}


def single_features(present: Masks, count: int) -> dict[str, Tensor]:
    """At most `count` readings of each product, (count * B,), of one feature each and none twice, all others masked.

    Where a product has fewer features, all that it has stand in.
    """
    having = torch.stack(list(present.values()), dim=1)
    chances = torch.rand(having.shape, device=having.device) + having
    drawn = chances.topk(min(count, having.shape[1]), dim=1).indices
    lacking = ~having.gather(1, drawn)
    return {name: (mask & ((drawn == at) | lacking).T).flatten() for at, (name, mask) in enumerate(present.items())}


def schedule(settings: FitSettings, steps: int) -> Callable[[int], float]:
    """Step -> factor of the learning rate."""
    warmup = round(settings.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, (steps - step) / max(1, steps - warmup)) if settings.schedule is Schedule.LINEAR else 1.0

    return factor
