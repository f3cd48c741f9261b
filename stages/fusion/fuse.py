"""STAGE TWO: fit every strategy's head on the cached vectors, score it, keep its predictions. Sees no product and no pixel."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from fusecat.cache.errors import DamagedFile
from fusecat.cache.publish import set_aside
from fusecat.cache.space import forecast
from fusecat.cache.stream import WINDOW, StreamedTable
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.feasible import features_of
from fusecat.stages.fusion.fit_settings import DEFAULT, FitSettings
from fusecat.stages.fusion.late.ensemble_runs import combine, in_order, members_of
from fusecat.stages.fusion.predictions import stored_bytes
from fusecat.stages.fusion.runs import DETERMINISTIC, JUDGED, MEMBERS, PRODUCTS, Job, Run, Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.wiring import stands_alone
from fusecat.stages.metrics import MACRO_F1, Metric
from fusecat.stages.processors import processors
from fusecat.stages.progress import phase, remark
from fusecat.stages.vocabulary import Architecture, Late, Part

REVISION = 5
"""Part of every run's key: raise it when the same settings give other figures."""

UNBALANCED = "balanced batches draw single rows at random, which a stream cannot do; use class weights instead"

FIT_ON = (Part.TRAIN.value, Part.HEAD.value)


Progress = Callable[[Run, int, int], None]
"""Called after each run with the run, how many are done and how many there are."""


def fuse(
    table: FeatureTable,
    strategies: Iterable[Strategy],
    runs: Runs,
    settings: FitSettings = DEFAULT,
    *,
    seeds: int = 5,
    metric: Metric = MACRO_F1,
    fit_on: Sequence[str] = FIT_ON,
    tuned: Mapping[str, FitSettings] | None = None,
    processes: int = 0,
    progress: Progress | None = None,
    waiting: Callable[[], None] | None = None,
    damaged: Callable[[str], None] = lambda _: None,
) -> list[Run]:
    """Stage two: fit each strategy with each seed, and store what it predicts.

    A run that is there already with the same key (same vectors, labels, settings, metric, rows) is read, not repeated; an
    interrupted one is done again. `tuned`: strategy -> settings that take the place of `settings`; such runs are
    marked. `processes`: how many share the work (0: one per core); it changes no figure. Another process that writes runs
    there is waited for: `waiting` is called once before. Files that are not as they were written are set aside; `damaged` is
    told of each in a line.

    Returns the runs in the order of `strategies`, then of seeds.
    """
    jobs = schedule(table, strategies, settings, seeds=seeds, metric=metric, fit_on=fit_on, tuned=tuned)
    with runs.lock(waiting):
        ready: dict[tuple[Strategy, int], Run] = {}
        with phase("looking at the runs that are there"):
            checked = set_damaged_aside(runs, damaged)
            set_stale_aside(runs, table)
            runs.write_products(table)
            for job in jobs:
                if not job.strategy.ensemble and (stored := _hit(job, runs, checked)):
                    ready[job.strategy, job.seed] = stored

        def note(job: Job, run: Run) -> None:
            ready[job.strategy, job.seed] = runs.predicted(run)
            if progress is not None:
                progress(run, len(ready), len(jobs))

        single = [job for job in jobs if not job.strategy.ensemble]
        left = [job for job in single if (job.strategy, job.seed) not in ready]
        need = (len(jobs) - len(ready)) * sum(stored_bytes(len(table.rows(part)), len(table.classes)) for part in JUDGED)
        remark(forecast(runs.folder, need, fit_bytes(table) if left else 0))
        if left:  # torch takes two seconds to import, which runs that are there do without
            from fusecat.stages.fusion.fit_data import gather
            from fusecat.stages.fusion.parallel import run_jobs
        for standardise in sorted({job.settings.standardise for job in left}):
            some = [job for job in left if job.settings.standardise == standardise]
            reading = [job.strategy for job in some if job.strategy.learned or job.strategy.logistic]
            needed = sorted({name for strategy in reading for name in features_of(strategy, table)})
            with phase(f"standardising {len(needed)} features"):
                fit_data = gather(table, needed, fit_on, standardise=standardise)
            for job, run in run_jobs(some, fit_data, runs, processes=processes or processors()):
                note(job, run)
        # in the order of the jobs, not of their ends: sums of many numbers differ in their last bits with the order
        library = [ready[job.strategy, job.seed] for job in single]
        for job in jobs:
            if job.strategy.ensemble:
                members = members_of(job.strategy, job.seed, library, table.features)
                if (stored := _hit(job, runs, checked)) and in_order(stored, members):
                    ready[job.strategy, job.seed] = stored
                else:
                    with phase(f"{job.strategy.name}, seed {job.seed}: combining {len(members)} runs"):
                        run = combine(job, members, table, runs)
                    note(job, run)
        set_broken_ensembles_aside(runs)
        return [ready[job.strategy, job.seed] for job in jobs]


def _hit(job: Job, runs: Runs, checked: Mapping[tuple[str, int], Run]) -> Run | None:
    """The stored run, if it is what the job would give, and there still."""
    stored = checked.get((job.strategy.name, job.seed))
    return runs.predicted(stored) if stored and stored.key == job.key and runs.has(stored.strategy, stored.seed) else None


def fit_bytes(table: FeatureTable) -> int:
    """About how many bytes of memory a fit takes in one process, beside the table: standardised vectors, and a few blocks."""
    from fusecat.stages.fusion.fit import EVALUATION_BATCH  # torch

    blocks = 4 * 4 * EVALUATION_BATCH * len(table.classes)
    if isinstance(table, StreamedTable):
        return blocks + 2 * WINDOW
    return blocks + sum(feature.embedding.nbytes for feature in table.features.values())


def schedule(
    table: FeatureTable,
    strategies: Iterable[Strategy],
    settings: FitSettings,
    *,
    seeds: int,
    metric: Metric,
    fit_on: Sequence[str],
    tuned: Mapping[str, FitSettings] | None = None,
) -> list[Job]:
    """One job per strategy and seed, ensembles last; what draws nothing at random has one."""
    marks = {name: digest(feature) for name, feature in table.features.items()}
    strategies, ties = list(strategies), _ties(table)
    jobs: list[Job] = []
    for strategy in strategies:
        if strategy.ensemble:
            continue
        # the regression scales by itself
        own = DEFAULT if strategy.logistic else (tuned or {}).get(strategy.name, settings)
        decided = {
            "revision": REVISION,
            "table": table.fingerprint,
            "strategy": strategy.name,
            "features": {name: marks[name] for name in features_of(strategy, table)},
            "settings": own.record() if strategy.learned else {},
            "metric": metric.name if strategy.learned or strategy.logistic else "",
            "fit_on": list(fit_on),
        }
        if strategy.own:
            from fusecat.stages.fusion.build_head import code_of

            decided["code"] = code_of(strategy)
        if isinstance(table, StreamedTable) and strategy.learned:
            if own.balanced_batches:
                raise UsageError(UNBALANCED)
            decided["streamed"] = True  # other batches than in memory
        if strategy.architecture is Architecture.LATE:
            decided |= ties
        for seed in range(1, seeds + 1) if strategy.learned else (DETERMINISTIC,):
            text = json.dumps(decided | {"seed": seed}, sort_keys=True)
            key, is_tuned = hashlib.sha256(text.encode()).hexdigest(), strategy.name in (tuned or {})
            vectors = vectors_of(features_of(strategy, table), marks)
            jobs.append(Job(strategy, seed, own, metric, key, vectors, tuned=is_tuned))
    for strategy in strategies:
        if strategy.ensemble:
            for seed in range(1, seeds + 1):
                # an ensemble is decided by its members: by all of the call's runs that it may choose from
                library = [job for job in jobs if _may_combine(strategy, job, table)]
                members = [job.key for job in library if job.seed in (seed, DETERMINISTIC)]
                text = json.dumps([REVISION, strategy.name, seed, metric.name, members, *ties.values()])
                key = hashlib.sha256(text.encode()).hexdigest()
                jobs.append(Job(strategy, seed, settings, metric, key))
    return jobs


def _ties(table: FeatureTable) -> dict[str, str]:
    """What decides cross-fitting where products of validation are copies of each other: nothing where none are."""
    if table.groups is None:
        return {}
    _, group = np.unique(table.groups[table.rows(Part.VALIDATION)], return_inverse=True)
    if len(set(group.tolist())) == len(group):
        return {}
    return {"groups": hashlib.sha256(group.astype("<i8").tobytes()).hexdigest()}


def _may_combine(ensemble: Strategy, job: Job, table: FeatureTable) -> bool:
    """Whether an ensemble may draw on this job's run; more than it will combine, so that its key says all that decides it."""
    if ensemble.final == Late.PROBES:
        return job.strategy.architecture is Architecture.PROBE and job.strategy.feature in ensemble.within(table.features)
    return not (job.strategy.ensemble or job.strategy.logistic) and not stands_alone(job.strategy.feature or "")


def digest(feature: Feature) -> str:
    """A fingerprint of a feature's content: the one it was sealed with, if it was."""
    if feature.digest:
        return feature.digest
    found = hashlib.blake2b(feature.name.encode(), digest_size=16)
    for array in (feature.embedding, feature.present, feature.logits, feature.logits_oof):
        if array is not None:
            whole = np.ascontiguousarray(array)
            found.update(f"{whole.dtype}{whole.shape}".encode())
            found.update(whole.view(np.uint8).data)
    return found.hexdigest()


def set_damaged_aside(runs: Runs, told: Callable[[str], None]) -> dict[tuple[str, int], Run]:
    """Move what is not as it was written out of the folder, to `NAME.damaged` and `runs-damaged/`: it is written anew.

    Returns the other runs by strategy and seed, as `Runs.check` gives them.
    """
    kept: dict[tuple[str, int], Run] = {}
    try:
        with suppress(FileNotFoundError):
            runs.products()
    except DamagedFile as error:
        set_aside(runs.folder / PRODUCTS)
        told(f"{str(error).partition(';')[0]}; written anew")
    for strategy, seed in list(runs.finished()):
        try:
            kept[strategy, seed] = runs.check(strategy, seed)
        except DamagedFile as error:
            place = runs.path(strategy, seed)
            _move(place, runs.folder.with_name(f"{runs.folder.name}-damaged") / place.relative_to(runs.folder))
            told(f"{str(error).partition(';')[0]}; set aside: 'fusecat fuse' with the strategy {strategy} fits it anew")
    return kept


def set_stale_aside(runs: Runs, table: FeatureTable) -> None:
    """Move runs of other labels, split, classes or vectors out of the folder: they cannot stand beside new ones.

    They are renamed to `runs-before-...`, never deleted.
    """
    try:
        fingerprint = runs.products().fingerprint
    except FileNotFoundError:
        return
    if fingerprint != table.fingerprint:
        aside = runs.folder.with_name(f"{runs.folder.name}-before-{table.fingerprint[:12]}")
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{runs.folder.name}-before-{table.fingerprint[:12]}-{number}")
        os.replace(runs.folder, aside)
        return
    marks = {name: digest(feature) for name, feature in table.features.items()}
    folder = runs.folder.with_name(f"{runs.folder.name}-before-{vectors_of(sorted(marks), marks)}")
    for strategy, seed in list(runs.finished()):
        record, place = runs.record(strategy, seed), runs.path(strategy, seed)
        known = record["settings"].get("vectors")
        if known is not None and known != vectors_of(record["features"], marks):
            _move(place, folder / place.relative_to(runs.folder))
    # an ensemble follows its members
    set_broken_ensembles_aside(runs)


def set_broken_ensembles_aside(runs: Runs) -> None:
    """Move ensembles out of the folder whose members have been fitted anew since: they would predict something else."""
    keys = {}
    ensembles = []
    for strategy, seed in runs.finished():
        record = runs.record(strategy, seed)
        keys[f"{strategy} {seed}"] = record["key"]
        if MEMBERS in record["settings"]:
            ensembles.append((runs.path(strategy, seed), record["settings"][MEMBERS]))
    for place, members in ensembles:
        if any(keys.get(name) != key for name, key in members.items()):
            aside = runs.folder.with_name(f"{runs.folder.name}-before-ensembles")
            _move(place, aside / place.relative_to(runs.folder))


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(source, target)


def vectors_of(features: Sequence[str], marks: Mapping[str, str]) -> str:
    """A short digest of the content of these features, by which a stored run knows its vectors again."""
    text = json.dumps({name: marks.get(name, "gone") for name in sorted(features)})
    return hashlib.sha256(text.encode()).hexdigest()[:16]
