"""Hyperparameters of each strategy's head by search: on validation only, resumable, one budget for all.

The best settings go to `workspace/tuning/<strategy>.json`, the trials to an SQLite file beside them.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusecat.cache.databases import journal_of, names_another_file
from fusecat.cache.disk import locked
from fusecat.cache.fingerprint import digest as digest_of
from fusecat.cache.publish import publish, set_aside
from fusecat.cache.records import damaged, expecting, read_record, write_record
from fusecat.cache.space import forecast
from fusecat.cache.stream import StreamedTable
from fusecat.cache.table import FeatureTable
from fusecat.cache.trouble import disk_errno, disk_trouble
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.build_head import code_of
from fusecat.stages.fusion.feasible import features_of
from fusecat.stages.fusion.fit_data import FitData, gather
from fusecat.stages.fusion.fit_settings import DEFAULT, TUNED, FitSettings
from fusecat.stages.fusion.fuse import FIT_ON, UNBALANCED, digest, fit_bytes
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import MACRO_F1, Metric
from fusecat.stages.progress import phase, remark

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage

TRIALS = "trials.sqlite"
WAY_OUT = "run 'fusecat tune' again, which writes it anew"
SEEDS = (1, 2)
"""Fits per trial: with one, the search would choose a lucky seed as readily as a good setting."""

Progress = Callable[[Strategy, int, int, float], None]
"""Called after each trial with the strategy, the trials done, the trials asked for and the best value so far."""


def tune(
    table: FeatureTable,
    strategies: Iterable[Strategy],
    folder: Path,
    *,
    trials: int = 50,
    metric: Metric = MACRO_F1,
    fit_on: Sequence[str] = FIT_ON,
    base: FitSettings = DEFAULT,
    search: Sequence[str] = TUNED,
    progress: Progress | None = None,
    waiting: Callable[[], None] | None = None,
    damaged: Callable[[str], None] = lambda _: None,
) -> dict[str, FitSettings]:
    """Search `trials` settings for each strategy, in the same space, and keep the best of each; finished trials count.

    `search`: the fields of `FitSettings` that are searched. The first trial is `base` itself, so that tuned is never worse than
    untuned on validation. No row of test is looked at. An interrupted search that goes on tries what an uninterrupted one
    tries. One process at a time searches in `folder`; another is waited for: `waiting` is called once before. Trials that are
    not as they were written are set aside, the search begins anew, and `damaged` is told in a line.

    Raises: UsageError where the table is streamed and balanced batches are among the settings.

    Returns strategy -> settings, which are written to `folder` as well.
    """
    import optuna

    if isinstance(table, StreamedTable) and (base.balanced_batches or "balanced_batches" in search):
        raise UsageError(UNBALANCED)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    ranges, start = space(base, search), {name: getattr(base, name) for name in search}
    best: dict[str, FitSettings] = {}
    remark(forecast(folder, 0, fit_bytes(table)))
    with locked(folder.with_name(f".{folder.name}.lock"), waiting=waiting), _trials(folder / TRIALS, damaged) as storage:
        for strategy in strategies:
            names = features_of(strategy, table)
            gathered = cache(partial(gather, table, names, fit_on))  # per value of `standardise`, which may be searched
            value = partial(_value, strategy, gathered, metric)
            # other rows, labels or vectors are another study: their trials say nothing about these
            decided = [
                table.fingerprint,
                [digest(table.features[name]) for name in names],
                list(fit_on),
                metric.name,
                base.record(),
            ]
            if code := code_of(strategy):
                decided.append(code)
            if set(search) != set(TUNED):
                decided.append(sorted(search))
            study = optuna.create_study(
                storage=storage,
                study_name=f"{strategy.name} {hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]}",
                direction="maximize",
                load_if_exists=True,
            )
            _bury(study)
            while len(done := _finished(study)) < trials or start not in done:
                if start not in done:
                    study.add_trial(optuna.create_trial(params=start, distributions=ranges, value=value(base)))
                else:
                    # seeded by what is done, since a sampler that starts anew would draw its first settings once more
                    study.sampler = optuna.samplers.TPESampler(seed=len(done))
                    trial = study.ask(ranges)
                    study.tell(trial, value(settings) if (settings := _changed(base, trial.params)) else -math.inf)
                if progress is not None:
                    progress(strategy, len(done) + 1, trials, metric.sign * study.best_value)
            best[strategy.name] = replace(base, **study.best_params)
            told = {"validation": metric.sign * study.best_value, "trials": len(done)}
            record = {"strategy": strategy.name, "settings": best[strategy.name].record(), **told}
            write_record(folder / f"{strategy.name}.json", record)
    return best


def read_tuned(folder: Path) -> dict[str, FitSettings]:
    """Strategy -> the settings that `tune` chose; empty where nothing was tuned."""
    from pydantic import TypeAdapter

    found = {}
    for path in sorted(folder.glob("**/*.json")):
        name, record = path.relative_to(folder).with_suffix("").as_posix(), read_record(path, WAY_OUT)
        with expecting(path, WAY_OUT):
            found[name] = FitSettings.exactly(record["settings"])
            TypeAdapter(FitSettings).validate_python(asdict(found[name]))
        if record.get("strategy") != name:
            raise damaged(path, f"it tells of {record.get('strategy')}", WAY_OUT)
    return found


def space(base: FitSettings, search: Sequence[str] = TUNED) -> "dict[str, BaseDistribution]":
    """What is tried of each field: all words, both of yes and no, numbers in a range as wide as `base` needs.

    Ranges are logarithmic where they begin above 0.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    ranges: dict[str, BaseDistribution] = {}
    known = {each.name: each for each in fields(FitSettings)}
    for name in search:
        value = getattr(base, name)
        if isinstance(value, bool):
            ranges[name] = CategoricalDistribution([False, True])
        elif isinstance(value, StrEnum):
            ranges[name] = CategoricalDistribution([member.value for member in type(value)])
        else:
            low, high = (kind(value, bound) for kind, bound in zip((min, max), known[name].metadata["search"], strict=True))
            kind = IntDistribution if known[name].type is int else FloatDistribution
            ranges[name] = kind(low, high, log=low > 0)
    return ranges


def _changed(base: FitSettings, changes: Mapping[str, Any]) -> FitSettings | None:
    """None where settings cannot stand together."""
    try:
        return replace(base, **changes)
    except ValueError:
        return None


def _value(strategy: Strategy, gathered: Callable[..., FitData], metric: Metric, settings: FitSettings) -> float:
    """The mean over seeds of the best epoch's score on validation; more is better, minus infinity if a fit diverged."""
    fit_data = gathered(standardise=settings.standardise)
    values = []
    for seed in SEEDS:
        with phase(f"{strategy.name}: trying settings, seed {seed} of {len(SEEDS)}"):
            fitted = fit_data.fit(strategy, settings, seed=seed, metric=metric)
        values.append(fitted.curve[fitted.best_epoch - 1][metric.key])
    mean = metric.sign * float(np.mean(values))
    return -math.inf if math.isnan(mean) else mean


@contextmanager
def _trials(path: Path, told: Callable[[str], None]) -> "Iterator[RDBStorage]":
    """The trials in this SQLite file, which has no checksums: their digest lies beside it while nobody writes.

    SQLite is given the path itself: in a URL `?`, `#`, `%20` and braces mean something. Raises OSError.
    """
    from sqlalchemy.exc import DatabaseError

    seal = path.with_name(f"{path.name}.sha256")
    if names_another_file(path):
        journal_of(path).unlink()
        _set_aside(path, "its journal names another file", told)
    if path.exists() and seal.exists() and seal.read_bytes() != digest_of(path).encode():
        _set_aside(path, "not what was written", told)
    seal.unlink(missing_ok=True)
    with disk_trouble(path):
        try:
            storage = _storage(path)
        except (DatabaseError, RuntimeError) as error:
            if disk_errno(error) is not None:
                raise
            _set_aside(path, str(getattr(error, "orig", error)), told)
            storage = _storage(path)
        try:
            yield storage
        finally:
            storage.engine.dispose()
        publish(seal, digest_of(path))


def _storage(path: Path) -> "RDBStorage":
    from optuna.storages import RDBStorage

    connect = partial(sqlite3.connect, path.resolve(), check_same_thread=False, uri=False)
    return RDBStorage("sqlite:///trials.sqlite", engine_kwargs={"creator": connect})


def _set_aside(path: Path, reason: str, told: Callable[[str], None]) -> None:
    told(f"{path}: damaged ({reason}); kept as {set_aside(path).name}, the search begins anew")


def _bury(study: "Study") -> None:
    """Give up trials that a killed process left running; nobody else searches meanwhile, so none of them is alive."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _finished(study: "Study") -> list[dict[str, Any]]:
    """The settings of each finished trial."""
    from optuna.trial import TrialState

    return [trial.params for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
