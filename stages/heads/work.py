"""One run: a strategy, fitted with one seed, scored over products, with its controls."""

import time
from dataclasses import asdict
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from stages.heads.build import build_head, wiring_of
from stages.heads.controls import controls
from stages.heads.fit import Fitted, fit, predict
from stages.heads.late import method_class
from stages.heads.late.crossfit import fit_late
from stages.heads.late.saved import TrainedLate, TrainedUnimodal
from stages.heads.material import Material, with_logits
from stages.heads.saved import Predictor, TrainedHead
from stages.heads.settings import FitSettings
from stages.heads.unimodal import probabilities
from stages.runs import DETERMINISTIC, Run
from stages.scores import scores
from stages.strategy import FUSED, Strategy
from stages.vocabulary import Architecture, Late, Metric


def run_strategy(
    strategy: Strategy,
    seed: int,
    material: Material,
    settings: FitSettings,
    metric: Metric,
    *,
    key: str = "",
    fitted: Fitted | None = None,
) -> tuple[Run, Predictor]:
    """Do the work of one run; a head that was `fitted` already is only scored.

    Returns the run with what it has learnt, ready to be saved.
    """
    match strategy.architecture:
        case Architecture.BASELINE | Architecture.FLAT | Architecture.HIERARCHICAL | Architecture.PROBE:
            return _learn(strategy, seed, material, settings, metric, key, fitted)
        case Architecture.UNIMODAL:
            return _unimodal(strategy, material, key)
        case Architecture.LATE:
            return _late(strategy, material, key)
        case _:
            assert_never(strategy.architecture)


def _learn(
    strategy: Strategy, seed: int, material: Material, settings: FitSettings, metric: Metric, key: str, fitted: Fitted | None
) -> tuple[Run, Predictor]:
    widths = {name: len(mean) for name, (mean, _) in material.scaling.items()}
    fitted = fitted or fit(
        lambda: build_head(strategy, widths, len(material.classes), settings),
        material.vectors.select(wiring_of(strategy, widths).features),
        material.labels,
        material.rows["fit"],
        material.rows["validation"],
        settings,
        metric=metric,
        seed=seed,
    )
    head = fitted.head
    data = material.vectors.select(head.features)
    start = time.perf_counter()
    found = {part: predict(head, data, rows) for part, rows in material.parts.items()}
    seconds = time.perf_counter() - start
    marks = {part: scores(material.labels[rows], found[part]) for part, rows in material.parts.items()}
    marks["fit"] = scores(material.labels[material.rows["fit"]], predict(head, data, material.rows["fit"]))
    for part in material.fitted_on if len(material.fitted_on) > 1 else ():
        marks[f"fit_{part}"] = scores(material.labels[material.rows[part]], predict(head, data, material.rows[part]))
    fused = strategy.architecture in FUSED
    run = Run(
        strategy=strategy.name,
        architecture=strategy.architecture,
        first=strategy.first,
        final=strategy.final,
        features=head.features,
        seed=seed,
        fitted_on=material.fitted_on,
        parameters=sum(parameter.numel() for parameter in head.parameters()),
        fit_seconds=fitted.seconds,
        predict_seconds=seconds,
        probabilities=found,
        scores=marks,
        settings=asdict(settings) | {"best_epoch": fitted.best_epoch},
        curve=fitted.curve,
        controls=controls(head, data, material.labels, material.parts) if fused else {},
        key=key,
    )
    scaling = {name: material.scaling[name] for name in head.features}
    return run, TrainedHead(strategy, material.classes, head, scaling, settings)


def _late(strategy: Strategy, material: Material, key: str) -> tuple[Run, Predictor]:
    method = method_class(Late(str(strategy.final)))
    if method is None:
        message = f"{strategy.name} combines runs, not networks"
        raise ValueError(message)
    names = with_logits(material.features)
    start = time.perf_counter()
    fitted = fit_late(lambda: method(len(names), material.prior), material.features, names, material.labels, material.rows)
    run = Run(
        strategy=strategy.name,
        architecture=strategy.architecture,
        first=None,
        final=strategy.final,
        features=names,
        seed=DETERMINISTIC,
        fitted_on=fitted.fitted_on,
        parameters=sum(array.size for array in fitted.method.state().values() if array.dtype.kind == "f"),
        fit_seconds=time.perf_counter() - start,
        predict_seconds=0.0,
        probabilities=fitted.probabilities,
        scores={part: scores(material.labels[rows], fitted.probabilities[part]) for part, rows in material.parts.items()},
        notes=(fitted.note,) if fitted.note else (),
        key=key,
    )
    return run, TrainedLate(strategy, material.classes, names, fitted.method)


def _unimodal(strategy: Strategy, material: Material, key: str) -> tuple[Run, Predictor]:
    feature = material.features[str(strategy.feature)]
    start = time.perf_counter()
    found = {part: probabilities(feature, rows, material.prior) for part, rows in material.parts.items()}
    seconds = time.perf_counter() - start
    marks = {}
    for part, rows in material.parts.items():
        marks[part] = scores(material.labels[rows], found[part])
        present: NDArray[np.bool_] = feature.present[rows]
        if present.any():
            marks[f"{part}_present"] = scores(material.labels[rows][present], found[part][present])
    run = Run(
        strategy=strategy.name,
        architecture=strategy.architecture,
        first=None,
        final=None,
        features=(feature.name,),
        seed=DETERMINISTIC,
        fitted_on=(),
        parameters=0,
        fit_seconds=0.0,
        predict_seconds=seconds,
        probabilities=found,
        scores=marks,
        notes=("products without the field get the class shares of the fit rows",) if not feature.present.all() else (),
        key=key,
    )
    return run, TrainedUnimodal(strategy, material.classes, material.prior)
