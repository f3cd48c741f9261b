"""STAGE TWO: fit every strategy's head on the cached vectors, score it, keep its predictions. Sees no product and no pixel."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cache.table import Feature, FeatureTable
from stages.heads.build import wiring_of
from stages.heads.material import gather
from stages.heads.settings import DEFAULT, FitSettings
from stages.heads.work import run_strategy
from stages.runs import DETERMINISTIC, Run, Runs
from stages.strategy import Strategy
from stages.vocabulary import Architecture, Metric, Part

REVISION = 1
"""Part of every run's key: raise it when the same settings give other figures."""

FIT_ON = (Part.TRAIN.value, Part.HEAD.value)


@dataclass(frozen=True)
class Job:
    """One run to do; `key` is the digest of everything that decides its result."""

    strategy: Strategy
    seed: int
    key: str


Progress = Callable[[Run, int, int], None]
"""Called after each run with the run, how many are done and how many there are."""


def fuse(
    table: FeatureTable,
    strategies: Iterable[Strategy],
    runs: Runs,
    settings: FitSettings = DEFAULT,
    *,
    seeds: int = 5,
    metric: Metric = Metric.MACRO_F1,
    fit_on: Sequence[str] = FIT_ON,
    progress: Progress | None = None,
) -> list[Run]:
    """Stage two: fit each strategy with each seed, and store what it predicts.

    A run that is there already with the same key (same vectors, labels, settings, metric, rows) is read, not repeated; an
    interrupted one is done again. Returns the runs in the order of `strategies`, then of seeds.
    """
    jobs = schedule(table, strategies, settings, seeds=seeds, metric=metric, fit_on=fit_on)
    keep_or_set_aside(runs, table)
    runs.write_products(table)
    ready = {
        (job.strategy, job.seed): run for job in jobs if (run := runs.read(job.strategy.name, job.seed)) and run.key == job.key
    }
    waiting = [job for job in jobs if (job.strategy, job.seed) not in ready]
    if waiting:
        needed = sorted(
            {name for job in waiting if job.strategy.learned for name in wiring_of(job.strategy, usable(table)).features}
        )
        material = gather(table, needed, fit_on, standardise=settings.standardise)
    for job in waiting:
        run, head = run_strategy(job.strategy, job.seed, material, settings, metric, key=job.key)
        if head is not None:
            head.save(runs.path(run.strategy, run.seed))
        runs.write(run)
        ready[job.strategy, job.seed] = run
        if progress is not None:
            progress(run, len(ready), len(jobs))
    return [ready[job.strategy, job.seed] for job in jobs]


def usable(table: FeatureTable) -> dict[str, Feature]:
    """The features of a table by name."""
    return dict(table.features)


def schedule(
    table: FeatureTable,
    strategies: Iterable[Strategy],
    settings: FitSettings,
    *,
    seeds: int,
    metric: Metric,
    fit_on: Sequence[str],
) -> list[Job]:
    """One job per strategy and seed; what draws nothing at random has one. A uni-modal row needs logits."""
    marks = {name: digest(feature) for name, feature in table.features.items()}
    jobs = []
    for strategy in strategies:
        if strategy.architecture is Architecture.UNIMODAL and table.features[str(strategy.feature)].logits is None:
            continue
        decided = {
            "revision": REVISION,
            "table": table.fingerprint,
            "strategy": strategy.name,
            "features": {name: marks[name] for name in features_of(strategy, table)},
            "settings": asdict(settings) if strategy.learned else {},
            "metric": metric if strategy.learned else "",
            "fit_on": list(fit_on),
        }
        for seed in range(1, seeds + 1) if strategy.learned else (DETERMINISTIC,):
            text = json.dumps(decided | {"seed": seed}, sort_keys=True)
            jobs.append(Job(strategy, seed, hashlib.sha256(text.encode()).hexdigest()))
    return jobs


def features_of(strategy: Strategy, table: FeatureTable) -> tuple[str, ...]:
    """The features whose content decides a run of this strategy."""
    if strategy.feature:
        return (strategy.feature,)
    return wiring_of(strategy, usable(table)).features


def digest(feature: Feature) -> str:
    """A fingerprint of a feature's content."""
    found = hashlib.blake2b(feature.name.encode(), digest_size=16)
    for array in (feature.embedding, feature.present, feature.logits, feature.logits_oof):
        if array is not None:
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()


def keep_or_set_aside(runs: Runs, table: FeatureTable) -> None:
    """Runs of other ids, labels, split or classes cannot stand beside new ones: their folder is renamed, not deleted."""
    try:
        fingerprint = runs.products().fingerprint
    except FileNotFoundError:
        return
    if fingerprint != table.fingerprint:
        os.replace(runs.folder, runs.folder.with_name(f"{runs.folder.name}-before-{table.fingerprint[:12]}"))


def by_strategy(found: Iterable[Run]) -> Mapping[str, list[Run]]:
    """Runs grouped by strategy, in order."""
    groups: dict[str, list[Run]] = {}
    for run in found:
        groups.setdefault(run.strategy, []).append(run)
    return groups
