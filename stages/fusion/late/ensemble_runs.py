"""Ensembles as runs: they combine what the runs of one seed have predicted already.

Shapes: n products, C classes.
"""

import time
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion.late.crossfit import CROSS_FITTED
from fusecat.stages.fusion.late.ensembles import cross_fitted_selection, means_of_present, voted
from fusecat.stages.fusion.predictions import outcome_of
from fusecat.stages.fusion.runs import LIBRARY, MEMBERS, Job, Run, Runs
from fusecat.stages.fusion.strategy import FUSED, Strategy
from fusecat.stages.fusion.wiring import stands_alone
from fusecat.stages.scores import scores_of
from fusecat.stages.vocabulary import Architecture, Late, Part


def members_of(strategy: Strategy, seed: int, found: Sequence[Run], features: Collection[str]) -> list[Run]:
    """The runs that an ensemble combines: the fused heads of its seed; for selection its probes and uni-modal rows too.

    Of probes: those of the strategy's features, of which `features` are there.
    """
    if strategy.final == Late.PROBES:
        wanted = strategy.within(features)
        return [
            run for run in found if run.architecture == Architecture.PROBE and run.seed == seed and run.features[0] in wanted
        ]
    heads = [run for run in found if run.architecture in FUSED and run.seed == seed]
    if strategy.final == Late.VOTE:
        return heads
    alone = [run for run in found if not any(map(stands_alone, run.features))]
    single = [run for run in alone if run.architecture == Architecture.PROBE and run.seed == seed]
    return [*heads, *single, *(run for run in alone if run.architecture == Architecture.UNIMODAL)]


def in_order(ensemble: Run, members: Sequence[Run]) -> bool:
    """Whether a stored ensemble added up its members in this order: some were stored in the order in which runs ended."""
    kept = ensemble.settings[MEMBERS]
    return list(kept) == [name for name in map(_name, members) if name in kept]


def combine(job: Job, members: Sequence[Run], table: FeatureTable, runs: Runs) -> Run:
    """Combine the members' stored probabilities, score and store the result, and remember where the members are."""
    from fusecat.stages.fusion.late.late_predictors import refer  # torch, which stored ensembles do without

    start, strategy = time.perf_counter(), job.strategy
    notes: tuple[str, ...] = ()
    library = {part: [run.probabilities[part] for run in members] for part in members[0].probabilities}
    labels = {part: table.labels[table.rows(part)] for part in library}
    weights: NDArray[np.float64] = np.zeros(0)
    if strategy.final == Late.VOTE:
        found = voted(library, labels)
        kept, fitted_on = list(members), members[0].fitted_on
    elif strategy.final == Late.PROBES:
        present = np.stack([table.features[run.features[0]].present for run in members], axis=1)
        found = means_of_present(library, labels, {part: present[table.rows(part)] for part in library})
        kept, fitted_on = list(members), members[0].fitted_on
    else:
        groups = None if table.groups is None else table.groups[table.rows(Part.VALIDATION)]
        weights, found = cross_fitted_selection(library, labels, job.metric, groups)
        kept = [run for run, weight in zip(members, weights, strict=True) if weight]
        fitted_on = (*sorted({part for run in kept for part in run.fitted_on}), Part.VALIDATION.value)
        shares = sorted(zip(weights[weights > 0], kept, strict=True), key=lambda pair: -pair[0])
        notes = (CROSS_FITTED, "weights: " + ", ".join(f"{run.strategy} {weight:.2f}" for weight, run in shares))
        weights = weights[weights > 0]
    run = job.done(
        features=tuple(sorted({name for member in kept for name in member.features})),
        fitted_on=fitted_on,
        parameters=sum(member.parameters for member in kept) + len(weights),
        fit_seconds=sum(member.fit_seconds for member in kept) + time.perf_counter() - start,
        predict_seconds=sum(member.predict_seconds for member in kept),
        probabilities=found,
        scores={part: scores_of(outcome_of(values, labels[part])) for part, values in found.items()},
        settings={
            MEMBERS: {_name(member): member.key for member in kept},
            LIBRARY: sorted({member.strategy for member in members}),
        },
        notes=notes,
    )
    folder = runs.path(run.strategy, run.seed)
    refer(folder, strategy, table.classes, [runs.path(member.strategy, member.seed) for member in kept], weights)
    runs.write(run)
    return run


def _name(member: Run) -> str:
    return f"{member.strategy} {member.seed}"
