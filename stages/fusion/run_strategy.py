"""One run: a strategy, fitted with one seed, scored over products, with its ablations."""

import time
from dataclasses import replace
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.ablations import ablations
from fusecat.stages.fusion.feasible import with_logits
from fusecat.stages.fusion.fit import Fitted, predict_blocks
from fusecat.stages.fusion.fit_data import FitData
from fusecat.stages.fusion.late import method_class
from fusecat.stages.fusion.late.crossfit import LateFit, fit_late
from fusecat.stages.fusion.late.late_predictors import TrainedLate, TrainedUnimodal
from fusecat.stages.fusion.late.modality_logits import gather
from fusecat.stages.fusion.logistic import fit_logistic
from fusecat.stages.fusion.predictions import Parts, keep, outcome_of
from fusecat.stages.fusion.predictor import Predictor, TrainedHead
from fusecat.stages.fusion.runs import Job, Run
from fusecat.stages.fusion.strategy import FUSED
from fusecat.stages.fusion.unimodal import probability_blocks
from fusecat.stages.fusion.wiring import field_of
from fusecat.stages.scores import scores_of
from fusecat.stages.vocabulary import Architecture, Late


def run_strategy(job: Job, fit_data: FitData, fitted: Fitted | None = None) -> tuple[Run, Predictor]:
    """Do the work of one run; a head that was `fitted` already is only scored.

    Returns the run with what it has learnt, ready to be saved.
    """
    match job.strategy.architecture:
        case Architecture.UNIMODAL:
            return _unimodal(job, fit_data)
        case Architecture.LATE:
            return _late(job, fit_data)
        case Architecture.BASELINE | Architecture.FLAT | Architecture.HIERARCHICAL | Architecture.TEXT | Architecture.PROBE:
            return _fit_head(job, fit_data, fitted)
        case Architecture.LOGISTIC:
            known = fit_logistic(job.strategy, fit_data, job.metric)
            run, learnt = _fit_head(job, fit_data, known.fitted)
            return replace(run, settings=known.choice.record | {"tried": known.tried, "metric": job.metric.name}), learnt
        case _:
            assert_never(job.strategy.architecture)


def _fit_head(job: Job, fit_data: FitData, fitted: Fitted | None) -> tuple[Run, Predictor]:
    strategy, settings = job.strategy, job.settings
    fitted = fitted or fit_data.fit(strategy, settings, seed=job.seed, metric=job.metric)
    head = fitted.head
    data = fit_data.vectors.select(head.features)
    start = time.perf_counter()
    found = {
        part: keep(predict_blocks(head, data, rows), fit_data.labels[rows], head.classes)
        for part, rows in fit_data.parts.items()
    }
    seconds = time.perf_counter() - start
    marks = _scores(found, fit_data)
    for name in ("fit", *(fit_data.fitted_on if len(fit_data.fitted_on) > 1 else ())):
        marks[name if name == "fit" else f"fit_{name}"] = scores_of(fit_data.said(head, fit_data.rows[name]))
    fused = strategy.architecture in FUSED or strategy.logistic
    run = job.done(
        features=head.features,
        fitted_on=fit_data.fitted_on,
        parameters=sum(parameter.numel() for parameter in head.parameters()),
        fit_seconds=fitted.seconds,
        predict_seconds=seconds,
        probabilities=found,
        scores=marks,
        settings=settings.record() | {"best_epoch": fitted.best_epoch, "metric": job.metric.name},
        curve=fitted.curve,
        controls=ablations(head, data, fit_data.labels, fit_data.parts) if fused else {},
    )
    scaling = {name: fit_data.scaling[name] for name in head.features}
    return run, TrainedHead(strategy, fit_data.classes, head, scaling, settings)


def _late(job: Job, fit_data: FitData) -> tuple[Run, Predictor]:
    strategy = job.strategy
    method = method_class(Late(str(strategy.final)))
    if method is None:
        raise ValueError(f"{strategy.name} combines runs, not networks")
    names = with_logits(strategy, fit_data.features)
    start = time.perf_counter()
    fitted = fit_late(
        lambda: method(len(names), fit_data.prior), fit_data.features, names, fit_data.labels, fit_data.rows, fit_data.groups
    )
    run = job.done(
        features=names,
        fitted_on=fitted.fitted_on,
        parameters=sum(array.size for array in fitted.method.state().values() if array.dtype.kind == "f"),
        fit_seconds=time.perf_counter() - start,
        predict_seconds=0.0,
        probabilities=fitted.probabilities,
        scores=_scores(fitted.probabilities, fit_data),
        controls=_without_fields(fitted, names, fit_data),
        notes=(fitted.note,) if fitted.note else (),
    )
    return run, TrainedLate(strategy, fit_data.classes, names, fitted.method)


def _without_fields(fitted: LateFit, names: tuple[str, ...], fit_data: FitData) -> dict[str, dict[str, dict[str, float]]]:
    """`without FIELD` -> part -> scores, of parts that the method has not learnt from; see `ablations`."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    fields = dict.fromkeys(map(field_of, names))
    for field in fields if len(fields) > 1 else ():
        masked = {
            name: replace(each, present=np.zeros_like(each.present)) if field_of(name) == field else each
            for name, each in fit_data.features.items()
            if name in names
        }
        for part in (part for part in fitted.probabilities if part not in fitted.fitted_on):
            rows = fit_data.rows[part]
            said = keep(fitted.method.predict_blocks(gather(masked, names, rows)), fit_data.labels[rows], len(fit_data.prior))
            found.setdefault(f"without {field}", {})[part] = scores_of(outcome_of(said, fit_data.labels[rows]))
    return found


def _unimodal(job: Job, fit_data: FitData) -> tuple[Run, Predictor]:
    feature = fit_data.features[str(job.strategy.feature)]
    start = time.perf_counter()
    found = {
        part: keep(probability_blocks(feature, rows, fit_data.prior), fit_data.labels[rows], len(fit_data.prior))
        for part, rows in fit_data.parts.items()
    }
    seconds = time.perf_counter() - start
    marks = _scores(found, fit_data)
    for part, rows in fit_data.parts.items():
        present: NDArray[np.bool_] = feature.present[rows]
        if present.any():
            labels = fit_data.labels[rows]
            marks[f"{part}_present"] = scores_of(outcome_of(found[part], labels).take(present))
    run = job.done(
        features=(feature.name,),
        fitted_on=(),
        parameters=0,
        fit_seconds=0.0,
        predict_seconds=seconds,
        probabilities=found,
        scores=marks,
        notes=("products without the field get the class shares of the fit rows",) if not feature.present.all() else (),
    )
    return run, TrainedUnimodal(job.strategy, fit_data.classes, fit_data.prior)


def _scores(found: Parts, fit_data: FitData) -> dict[str, dict[str, float]]:
    return {part: scores_of(outcome_of(each, fit_data.labels[fit_data.rows[part]])) for part, each in found.items()}
