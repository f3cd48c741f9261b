"""Hyperparameters of each strategy's head by search: on validation only, resumable, one budget for all.

The best settings go to `workspace/tuning/<strategy>.json`, the trials to an SQLite file beside them.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.table import FeatureTable
from stages.fusion import FIT_ON, digest, features_of
from stages.heads.build import build_head
from stages.heads.fit import fit
from stages.heads.material import Material, gather
from stages.heads.settings import DEFAULT, FitSettings
from stages.strategy import Strategy
from stages.vocabulary import Metric, Part

if TYPE_CHECKING:
    from optuna import Study, Trial

SEEDS = (1, 2)
"""Fits per trial: with one, the search would choose a lucky seed as readily as a good setting."""

TUNED = ("learning_rate", "weight_decay", "label_smoothing", "dropout", "modality_dropout")
"""The fields of `FitSettings` that are searched; the others stay as they are."""

Progress = Callable[[Strategy, int, int, float], None]
"""Called after each trial with the strategy, the trials done, the trials asked for and the best value so far."""


def tune(
    table: FeatureTable,
    strategies: Iterable[Strategy],
    folder: Path,
    *,
    trials: int = 50,
    metric: Metric = Metric.MACRO_F1,
    fit_on: Sequence[str] = FIT_ON,
    base: FitSettings = DEFAULT,
    progress: Progress | None = None,
) -> dict[str, FitSettings]:
    """Search `trials` settings for each strategy, in the same space, and keep the best of each; finished trials count.

    The first trial is `base` itself, so that tuned is never worse than untuned on validation. No row of test is looked at.
    Returns strategy -> settings, which are written to `folder` as well.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder.resolve() / 'trials.sqlite'}")
    best: dict[str, FitSettings] = {}
    for strategy in strategies:
        names = features_of(strategy, table)
        material = gather(table, names, fit_on, standardise=base.standardise)
        # other rows, labels or vectors are another study: their trials say nothing about these
        decided = [table.fingerprint, [digest(table.features[name]) for name in names], list(fit_on), metric, asdict(base)]
        study = optuna.create_study(
            storage=storage,
            study_name=f"{strategy.name} {hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]}",
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=1),
        )
        if not study.trials:
            study.enqueue_trial(_start(base))
        while (done := _finished(study)) < trials:
            study.optimize(lambda trial: _value(strategy, material, suggest(trial, base), metric), n_trials=1)  # noqa: B023
            if progress is not None:
                progress(strategy, done + 1, trials, metric.sign * study.best_value)
        best[strategy.name] = replace(base, **study.best_params)
        _publish(folder, strategy, best[strategy.name], metric.sign * study.best_value, _finished(study))
    return best


def read_tuned(folder: Path) -> dict[str, FitSettings]:
    """Strategy -> the settings that `tune` chose; empty where nothing was tuned."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("**/*.json"))]
    return {record["strategy"]: FitSettings(**record["settings"]) for record in records}


def suggest(trial: "Trial", base: FitSettings) -> FitSettings:
    """Settings of one trial."""
    return replace(
        base,
        learning_rate=trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.3),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        modality_dropout=trial.suggest_float("modality_dropout", 0.0, 0.6),
    )


def _value(strategy: Strategy, material: Material, settings: FitSettings, metric: Metric) -> float:
    """The mean over seeds of the best epoch's score on validation; more is better."""
    widths = {name: len(mean) for name, (mean, _) in material.scaling.items()}
    values = []
    for seed in SEEDS:
        fitted = fit(
            lambda: build_head(strategy, widths, len(material.classes), settings),
            material.vectors,
            material.labels,
            material.rows["fit"],
            material.rows[Part.VALIDATION],
            settings,
            metric=metric,
            seed=seed,
        )
        values.append(fitted.curve[fitted.best_epoch - 1][metric.key])
    return metric.sign * float(np.mean(values))


def _start(base: FitSettings) -> dict[str, float]:
    """The base as a first trial, inside the space."""
    lowest = {"learning_rate": 3e-4, "weight_decay": 1e-4}
    return {name: max(getattr(base, name), lowest.get(name, 0.0)) for name in TUNED}


def _finished(study: "Study") -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _publish(folder: Path, strategy: Strategy, settings: FitSettings, value: float, trials: int) -> None:
    path = folder / f"{strategy.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"strategy": strategy.name, "settings": asdict(settings), "validation": value, "trials": trials}
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(partial, path)
