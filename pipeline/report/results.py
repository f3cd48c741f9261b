"""What a comparison is made of: the runs of one workspace, reduced to what statistics need.

Shapes: n products of a part, C classes. Probabilities are read block by block and forgotten at once, because 200 runs over
3,000 classes would not fit in memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.console import quoted
from fusecat.pipeline.report.statistics import vote
from fusecat.stages.errors import ModelError
from fusecat.stages.fusion.predictions import Mean, finite, outcome_of
from fusecat.stages.fusion.runs import DETERMINISTIC, JUDGED, Products, Run, Runs
from fusecat.stages.fusion.select import named, refuse_nowhere, repetitions
from fusecat.stages.fusion.strategy import FUSED
from fusecat.stages.metrics import Metric
from fusecat.stages.scores import Outcome
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.vocabulary import Architecture
from fusecat.stages.workspace import Workspace

SINGLE = (Architecture.PROBE.value, Architecture.UNIMODAL.value)
"""Architectures that look at one feature: what a fusion has to beat."""


@dataclass(frozen=True)
class Candidate:
    """One strategy: its runs, their outcomes by part and, of several seeds, their average's.

    `also`: strategies that say the very same of every product with every seed, because they are one function: flat/addition is
    hierarchical/addition/addition.
    """

    runs: tuple[Run, ...]
    outcomes: Mapping[str, tuple[Outcome, ...]]
    ensemble: Mapping[str, Outcome] | None = None
    also: tuple[str, ...] = ()

    @property
    def strategy(self) -> str:
        """The strategy's name, `hierarchical/concatenation/average`."""
        return self.runs[0].strategy

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, then those of strategies that are the same function."""
        return (self.strategy, *self.also)

    @property
    def architecture(self) -> str:
        """The first word of the strategy."""
        return self.runs[0].architecture

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each run."""
        return tuple(run.seed for run in self.runs)

    @property
    def features(self) -> tuple[str, ...]:
        """What some run looks at: the same for all, but for ensembles, which may have drawn other members with each seed."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.features))

    @property
    def fitted_on(self) -> tuple[str, ...]:
        """The parts whose labels some run has seen."""
        return tuple(dict.fromkeys(part for run in self.runs for part in run.fitted_on))

    def average(self, part: str) -> Outcome:
        """What the mean of its seeds says of a part."""
        return self.ensemble[part] if self.ensemble else self.outcomes[part][0]

    def voted(self, part: str) -> NDArray[np.integer]:
        """(n,) class that the seeds vote for."""
        return vote(np.stack([outcome.predicted for outcome in self.outcomes[part]]), self.average(part).predicted)

    @property
    def single(self) -> bool:
        """Whether it looks at one feature only."""
        return self.architecture in SINGLE

    @property
    def one_seed(self) -> bool:
        """Whether it was fitted with a single seed where others would give other figures: nothing tells how far they spread."""
        return len(self.runs) == 1 and self.runs[0].seed != DETERMINISTIC

    @property
    def fused(self) -> bool:
        """Whether it merges vectors."""
        return self.architecture in FUSED


@dataclass(frozen=True)
class Study:
    """A workspace as the report sees it. `info` is study.json (empty for imported vectors without one), `metric` what ranks."""

    workspace: Workspace
    info: StudyRecord
    products: Products
    candidates: tuple[Candidate, ...]
    metric: Metric
    interrupted: tuple[str, ...] = ()
    failed: tuple[str, ...] = field(default=())

    @classmethod
    def read(cls, root: Path, metric: Metric | None = None) -> "Study":
        """Read the runs of a workspace, to be ranked by `metric` (None: the workspace's own).

        Raises: UsageError where there is no such folder, ModelError where nothing was fused yet, DamagedFile where a file is
        not as it was written: a comparison without one of its runs may choose another strategy.
        """
        workspace = Workspace(root)
        refuse_nowhere(root)
        runs = Runs(workspace.runs)
        try:
            products = runs.products()
        except FileNotFoundError:
            raise ModelError(
                f"{workspace.runs}: nothing was fused yet; run first: fusecat fuse --workspace {quoted(root)}"
            ) from None
        parts = [part for part in JUDGED if part in products.parts and len(products.rows(part))]
        labels = {part: products.labels[products.rows(part)] for part in parts}
        failed: list[str] = []
        candidates = one_per_function(_candidates(runs, labels, len(products.classes), failed))
        if not candidates:
            raise ModelError(f"{workspace.runs}: no run is finished; run again: fusecat fuse --workspace {quoted(root)}")
        info = read_study(workspace) or StudyRecord()
        return cls(workspace, info, products, candidates, metric or info.selects, tuple(runs.interrupted()), tuple(failed))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The judged parts that hold products."""
        return tuple(part for part in JUDGED if part in self.products.parts and len(self.products.rows(part)))

    @property
    def report_part(self) -> str:
        """The part whose figures the verdict speaks of: test, or validation where there is no test."""
        return self.parts[-1]

    def labels(self, part: str) -> NDArray[np.int32]:
        """(n,) class of each product of a part."""
        return self.products.labels[self.products.rows(part)]

    def candidate(self, strategy: str) -> Candidate:
        """The strategy of that name. Raises UsageError that lists what there is."""
        known = next((each for each in self.candidates if strategy in each.also), None)
        return known or named(self.candidates, strategy, Runs(self.workspace.runs), "--against")

    def probabilities(self, candidate: Candidate, part: str) -> Mean:
        """(n, C) probabilities of a part, averaged over the strategy's seeds; read from the runs when rows are asked for."""
        return Mean([run.probabilities[part] for run in _again(Runs(self.workspace.runs), candidate)])


def one_per_function(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The same, those that are one function as one: a difference that is 0 by construction needs no test and no interval."""
    kept: list[Candidate] = []
    for candidate in candidates:
        at = next((at for at, other in enumerate(kept) if _one_function(candidate, other)), None)
        if at is None:
            kept.append(candidate)
        else:
            kept[at] = replace(kept[at], also=(*kept[at].also, candidate.strategy))
    return tuple(kept)


def _one_function(one: Candidate, other: Candidate) -> bool:
    """Whether two fused strategies look at the same features and say the same with every seed, up to rounding."""
    alike = (one.fused, other.fused, set(one.features), one.seeds) == (True, True, set(other.features), other.seeds)
    pairs = (
        [pair for part in one.outcomes for pair in zip(one.outcomes[part], other.outcomes[part], strict=True)] if alike else []
    )
    return bool(pairs) and all(
        np.allclose(mine.truth, yours.truth, atol=1e-5) and np.allclose(mine.confidence, yours.confidence, atol=1e-5)
        for mine, yours in pairs
    )


def _again(runs: Runs, candidate: Candidate) -> Iterator[Run]:
    for seed in candidate.seeds:
        run = runs.read(candidate.strategy, seed)
        if run is None:
            raise ModelError(
                f"{runs.path(candidate.strategy, seed)}: gone while the report was written (run 'fusecat report' again)"
            )
        yield run


def _candidates(runs: Runs, labels: Mapping[str, NDArray[np.int32]], classes: int, failed: list[str]) -> Iterator[Candidate]:
    """Every strategy with a finished run; runs that do not fit the products are named in `failed`. Raises DamagedFile."""
    for found in repetitions(runs):
        failed.extend(found.left_out)
        kept: list[Run] = []
        outcomes: dict[str, list[Outcome]] = {part: [] for part in labels}
        for checked in found.runs:
            run = runs.predicted(checked)
            own = {part: _outcome(run, part, truth, classes) for part, truth in labels.items()}
            misfits = [each for each in own.values() if isinstance(each, str)]
            if misfits:
                failed.append(f"{run.strategy}, seed {run.seed}: {misfits[0]}")
                continue
            kept.append(run)
            for part, outcome in own.items():
                outcomes[part].append(cast("Outcome", outcome))
        average = None
        if len(kept) > 1:
            means = {part: Mean([run.probabilities[part] for run in kept]) for part in labels}
            average = {part: outcome_of(mean, labels[part]) for part, mean in means.items()}
        if kept:
            yield Candidate(tuple(kept), {part: tuple(of) for part, of in outcomes.items()}, average)


def _outcome(run: Run, part: str, labels: NDArray[np.int32], classes: int) -> Outcome | str:
    """What a run says of a part, or why it is not one of these products."""
    held = run.probabilities.get(part)
    shape = None if held is None else held.shape
    if held is None or shape != (len(labels), classes):
        return f"{part} holds {shape}, the products ask for {(len(labels), classes)}"
    found = outcome_of(held, labels)
    return found if finite(found) else f"some of its {part} probabilities are no numbers"
