"""What stage one would do, counted, and how long it would take, timed: nothing is done, and nothing written."""

from collections.abc import Sequence
from dataclasses import dataclass

from fusecat.cache.store import Verdict
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.disk import feature_bytes
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.extract import device_precision, explain
from fusecat.stages.extraction.probe import Timing, probe
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.metrics import Metric
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace


@dataclass(frozen=True)
class ExtractionPlan:
    """What `extract` would do for one feature: products to learn from, optimiser steps, products to encode, bytes to store."""

    feature: str
    verdict: Verdict
    train: int
    steps: int
    products: int
    disk: int
    shared: bool = False
    """Whether the vectors are those of another split: then nothing is encoded."""


def plan(
    study: Study, chosen: Sequence[Encoder], workspace: Workspace, metric: Metric, *, vectors_of: Workspace | None = None
) -> list[ExtractionPlan]:
    """The work of `extract`, counted and not done; `disk` reckons with base-size networks where the width is not yet known."""
    verdicts = explain(study, chosen, workspace, metric, vectors_of=vectors_of)
    plans = []
    for encoder in chosen:
        present, training = study.present(encoder.field), encoder.network.training
        train = len(study.labelled(Part.TRAIN, present))
        # Of K fold networks each learns from (K - 1) / K of train.
        folds = encoder.extraction.folds
        of_folds = folds * -(-(train - train // folds) // training.batch) if folds else 0
        steps = (-(-train // training.batch) + of_folds) * training.epochs
        if not encoder.takes_steps:
            steps = 0
        shared, size = vectors_of is not None and encoder.independent, feature_bytes(encoder, study)
        products = 0 if shared else int(present.sum())
        plans.append(ExtractionPlan(encoder.feature, verdicts[encoder.feature], train, steps, products, size, shared))
    return plans


@dataclass(frozen=True)
class Estimate:
    """What a probe of one network says of the whole of stage one, in hours of this machine."""

    timing: Timing
    steps: int
    """Optimiser steps to take, those of fold networks included."""
    fine_tuning: float
    """Hours: tokenising, steps, and validation after every epoch (or the one pass of a frozen network)."""
    extraction: float
    """Hours, out-of-fold logits included."""


def estimate(
    study: Study,
    chosen: Sequence[Encoder],
    plans: Sequence[ExtractionPlan],
    metric: Metric,
    progress: Progress = silent,
    timings: dict[str, Timing] | None = None,
) -> list[Estimate]:
    """Time a few steps of every network that there is something to do for (see `stages.extraction.probe`). Writes nothing.

    `timings`: of features that were timed already, on another split; what is timed here is added.

    What takes no steps is not timed: of TF-IDF ten thousand texts are a minute, out-of-fold logits included; of zero-shot an
    image costs what it does with that network frozen.
    """
    estimates, state, timings = [], processes(), {} if timings is None else timings
    for encoder, planned in zip(chosen, plans, strict=True):
        if planned.verdict.state == "hit" or not planned.train or not encoder.takes_steps:
            continue
        if encoder.feature not in timings:
            precision = device_precision(encoder.extraction.precision)
            timings[encoder.feature] = probe(encoder, study, metric=metric, precision=precision, progress=progress)
        timing = timings[encoder.feature]
        product = 0.0 if planned.shared else timing.product
        folds, epochs = encoder.extraction.folds, encoder.network.training.epochs
        validated = len(study.labelled(Part.VALIDATION, study.present(encoder.field)))
        # What is encoded for fine-tuning: validation after each epoch, or once what a frozen network's classifier learns from:
        # (K - 1) / K of train for each of K fold networks.
        frozen = encoder.network.learns_from_vectors
        seen = validated * (1 + folds) + planned.train * max(1, folds) if frozen else validated * epochs * (1 + folds)
        encoded = planned.products + (planned.train if folds else 0)
        reading = planned.products * timing.tokenising / max(1, encoder.extraction.workers)
        # A step is of all devices together; products are shared out.
        fine_tuning = reading + planned.steps * timing.step + seen * product / state.num_processes
        extraction = encoded * product / state.num_processes
        estimates.append(Estimate(timing, planned.steps, fine_tuning / 3600, extraction / 3600))
    return estimates
