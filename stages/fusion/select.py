"""Which runs are the seeds of one strategy, and which strategy validation chooses: from records, without predictions."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from fusecat.stages.errors import DataError, ModelError, UsageError
from fusecat.stages.fusion.runs import LIBRARY, MEMBERS, Run, Runs
from fusecat.stages.metrics import Metric
from fusecat.stages.vocabulary import Late, Part


class _HasStrategy(Protocol):
    @property
    def strategy(self) -> str: ...


Named = TypeVar("Named", bound=_HasStrategy)


@dataclass(frozen=True)
class Repetitions:
    """The runs of one strategy that differ by their seed alone, without probabilities; `left_out`: why others do not count."""

    strategy: str
    runs: tuple[Run, ...]
    left_out: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each run."""
        return tuple(run.seed for run in self.runs)


def repetitions(runs: Runs) -> Iterator[Repetitions]:
    """Every strategy with a finished run, by name. Raises DamagedFile: without one of its runs, another might be chosen."""
    folders: dict[str, list[int]] = {}
    for strategy, seed in runs.finished():
        folders.setdefault(strategy, []).append(seed)
    for strategy in sorted(folders):
        kept: list[Run] = []
        left_out: list[str] = []
        other: list[int] = []
        for seed in sorted(folders[strategy]):
            run = runs.check(strategy, seed)
            scored = [run.scores.get(part, {}) for part in (Part.VALIDATION, Part.TEST)]
            if not all(np.isfinite(value) for scores in scored for value in scores.values()):
                left_out.append(f"{strategy}, seed {seed}: some of its probabilities are no numbers")
            elif kept and not _repeats(run, kept[0], runs):
                other.append(seed)
            else:
                kept.append(run)
        if other:
            left_out.append(
                f"{strategy}, {'seed' if len(other) == 1 else 'seeds'} {', '.join(map(str, other))}: fitted on other terms "
                f"(features, settings) than seed {kept[0].seed}; "
                f"the last 'fusecat fuse' with --seeds {other[-1]} fits them alike"
            )
        yield Repetitions(strategy, tuple(kept), tuple(left_out))


def rank(runs: Sequence[Run], metric: Metric) -> tuple[float, int, float, str]:
    """What strategies are sorted by, the best on validation first: the mean over the seeds.

    Of equals the cheapest stands first: the fewest features, then the fewest parameters, then by name.
    """
    for run in runs:
        if metric.key not in run.scores[Part.VALIDATION]:
            raise DataError(
                f"{run.strategy}, seed {run.seed}: its {metric} is not known; run 'fusecat fuse' again, or rank by another"
            )
    score = np.mean([run.scores[Part.VALIDATION][metric.key] for run in runs])
    features = {name for run in runs for name in run.features}
    return tied(-metric.sign * float(score)), len(features), float(np.mean([run.parameters for run in runs])), runs[0].strategy


def tied(score: float) -> float:
    """A score by which strategies are compared: what only the order of a sum tells apart is equal."""
    return round(score, 9)


def refuse_nowhere(root: Path) -> None:
    """Raise UsageError where there is no workspace of that name."""
    if not root.is_dir():
        raise UsageError(f"--workspace {root}: there is no such folder (run 'fusecat extract' and 'fusecat fuse' first)")


def select(runs: Runs, metric: Metric, strategy: str | None = None) -> Repetitions:
    """The strategy that validation chooses, or the one that is named.

    Raises: ModelError where no run is finished, UsageError where there is no run of `strategy` or no workspace, DataError
    where there is no validation part, DamagedFile.
    """
    refuse_nowhere(runs.folder.parent)
    found = [each for each in repetitions(runs) if each.runs]
    if not found:
        raise ModelError(f"{runs.folder}: no run is finished (run 'fusecat fuse --workspace {runs.folder.parent}' first)")
    if strategy is not None:
        return named(found, strategy, runs)
    if any(Part.VALIDATION not in run.scores for each in found for run in each.runs):
        raise DataError(f"{runs.folder}: no product is in the validation part, so nothing may choose (split again)")
    return min(found, key=lambda each: rank(each.runs, metric))


def named(found: Sequence[Named], strategy: str, runs: Runs, option: str = "--strategy") -> Named:
    """The one of `found` that has this `strategy`. Raises UsageError that names the nearest."""
    for each in found:
        if each.strategy == strategy:
            return each
    names = [each.strategy for each in found]
    near = difflib.get_close_matches(strategy, names, n=1) or names[:3]
    raise UsageError(f"{option} {strategy}: {runs.folder} has no run of it (did you mean {' or '.join(near)}?)")


def _repeats(one: Run, other: Run, runs: Runs) -> bool:
    """Whether two runs are seeds of one strategy: the same features, fit rows and settings, whatever epoch was kept.

    An ensemble repeats another that chooses from the same strategies on the same terms: which of them it draws, and with them
    features and fit rows, is what the seed decides.
    """
    if MEMBERS not in one.settings:
        return _alike(_terms(vars(one)), _terms(vars(other)))
    libraries = [_library(run) for run in (one, other)]
    if None not in libraries and libraries[0] != libraries[1]:
        return False
    terms = [_member_terms(run, runs) for run in (one, other)]
    return all(_alike(terms[0][name], terms[1][name]) for name in terms[0].keys() & terms[1].keys())


def _terms(record: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in record["settings"].items() if name != "best_epoch"}
    return settings | {name: record[name] for name in ("features", "fitted_on", "tuned")}


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs were fitted on the same terms; what metric chose the epoch, earlier versions did not say."""
    said = "metric" in one and "metric" in other
    return all(one.get(name) == other.get(name) for name in one.keys() | other.keys() if said or name != "metric")


def _library(ensemble: Run) -> set[str] | None:
    """The strategies that it could choose from; None where an earlier version did not say."""
    if LIBRARY in ensemble.settings:
        return set(ensemble.settings[LIBRARY])
    voted = {name.rpartition(" ")[0] for name in ensemble.settings[MEMBERS]}
    return voted if ensemble.final == Late.VOTE else None


def _member_terms(ensemble: Run, runs: Runs) -> dict[str, dict[str, Any]]:
    """Strategy -> the terms of the member that is there still."""
    places = [name.rpartition(" ") for name in ensemble.settings[MEMBERS]]
    return {strategy: _terms(runs.record(strategy, int(seed))) for strategy, _, seed in places if runs.has(strategy, int(seed))}
