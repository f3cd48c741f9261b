"""Several studies as one answer that carries over to the next network seed, the next split or the next catalogue.

Workspaces of one catalogue (other network seeds, other splits) are repetitions of one question: each strategy gets one mean
per workspace, and Student's t over the workspaces says what carries over to the next network and split; seeds and products
are inside of it. Workspaces of different catalogues are blocks: strategies are ranked within each (Friedman's test), and only
there the critical difference of mean ranks is drawn (Demsar 2006, Nemenyi's test).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.comparison import Comparison, bounded
from fusecat.pipeline.report.contrasts import ALPHA
from fusecat.pipeline.report.statistics import holm
from fusecat.pipeline.report.verdict import gain
from fusecat.stages.errors import UsageError
from fusecat.stages.vocabulary import Metric


@dataclass(frozen=True)
class Pooled:
    """One strategy over all workspaces: the metric of each, on the judged part, in the workspaces' order.

    `low`, `high`: 95 % interval of the mean over workspaces; `rank`: mean rank (1 is best); `difference`, `difference_low`,
    `difference_high`, `p` (Holm's) and `real`: against the reference, paired by workspace; None for the reference itself.
    """

    strategy: str
    values: tuple[float, ...]
    validation: float
    mean: float
    low: float
    high: float
    rank: float
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    real: bool = False


@dataclass(frozen=True)
class Pool:
    """Several workspaces as one answer; rows best on validation first.

    `same`: one catalogue (else several); `friedman`: p of equal ranks, None with fewer than three strategies;
    `critical`: difference of mean ranks that would be real, only for several catalogues.
    """

    workspaces: tuple[str, ...]
    same: bool
    metric: str
    judged: str
    reference: str
    rows: tuple[Pooled, ...]
    left_out: tuple[str, ...]
    friedman: float | None
    critical: float | None
    verdict: str


def pool(comparisons: Sequence[Comparison]) -> Pool:
    """Put two or more compared workspaces together.

    Raises: UsageError naming the difference where they cannot be: another metric, another judged part, a catalogue that is the
    same by its ids and not by its type codes, or no strategy that all of them have.
    """
    _refuse(comparisons)
    first = comparisons[0]
    metric, judged = first.metric, first.judged
    same = all(_products(other) == _products(first) for other in comparisons[1:])
    names = [row.strategy for row in first.rows if all(_has(other, row.strategy) for other in comparisons)]
    if not names:
        message = "--pool: no strategy was run in all of these workspaces"
        raise UsageError(message)
    everything = {row.strategy for comparison in comparisons for row in comparison.rows}
    scores = np.array([[_mean(c, name, judged) for c in comparisons] for name in names])
    chooses = np.array([np.mean([_mean(c, name, "validation") for c in comparisons]) for name in names])
    order = sorted(range(len(names)), key=lambda at: (-metric.sign * chooses[at], names[at]))
    names, scores, chooses = [names[at] for at in order], scores[order], chooses[order]
    single = [at for at, name in enumerate(names) if first.row(name).candidate.single]
    reference = single[0] if single else len(names) - 1
    rows = _rows(names, scores, chooses, metric, reference)
    friedman, critical = _ranks(scores, same=same)
    return Pool(
        tuple(str(c.study.workspace.root) for c in comparisons),
        same,
        metric.value,
        judged,
        names[reference],
        rows,
        tuple(sorted(everything - set(names))),
        friedman,
        critical,
        _verdict(rows, names[reference], len(comparisons), metric, same=same),
    )


def _refuse(comparisons: Sequence[Comparison]) -> None:
    first = comparisons[0]
    places = [str(c.study.workspace.root.resolve()) for c in comparisons]
    if len(set(places)) < len(places) or len(places) < 2:
        message = "--pool needs two or more different workspaces"
        raise UsageError(message)
    for other in comparisons[1:]:
        where = f"{first.study.workspace.root} and {other.study.workspace.root} cannot be pooled"
        if other.metric != first.metric:
            message = f"{where}: their metrics are {first.metric} and {other.metric}"
            raise UsageError(message)
        if other.judged != first.judged:
            message = f"{where}: one is judged on {first.judged}, the other on {other.judged}"
            raise UsageError(message)
        if set(_ids(other)) == set(_ids(first)) and _products(other) != _products(first):
            message = f"{where}: the same product ids carry other type codes"
            raise UsageError(message)
        shared = len(set(_ids(other)) & set(_ids(first)))
        if shared and _products(other) != _products(first):
            message = f"{where}: they share {shared:,} product ids, but neither is the other's catalogue (a cut of it?)"
            raise UsageError(message)


def _ids(comparison: Comparison) -> list[str]:
    return [str(identity) for identity in comparison.study.products.ids]


def _products(comparison: Comparison) -> dict[str, str]:
    """Id -> type code of every product; '' where it has none."""
    products = comparison.study.products
    codes = [products.classes[label] if label >= 0 else "" for label in products.labels]
    return dict(zip(_ids(comparison), codes, strict=True))


def _has(comparison: Comparison, strategy: str) -> bool:
    return any(row.strategy == strategy for row in comparison.rows)


def _mean(comparison: Comparison, strategy: str, part: str) -> float:
    return comparison.row(strategy).parts[part][comparison.metric.key].mean


def _rows(
    names: Sequence[str], scores: NDArray[np.float64], chooses: NDArray[np.float64], metric: Metric, reference: int
) -> tuple[Pooled, ...]:
    from scipy.stats import rankdata, t

    count = scores.shape[1]
    quantile = float(t.ppf(0.975, count - 1))
    ranks = np.mean([rankdata(-metric.sign * column) for column in scores.T], axis=0)
    gaps = scores - scores[reference]
    errors = gaps.std(axis=1, ddof=1) / np.sqrt(count)
    raw = [
        1.0
        if at == reference or gap.mean() == 0
        else 0.0
        if error == 0
        else float(2 * t.sf(abs(gap.mean()) / error, count - 1))
        for at, (gap, error) in enumerate(zip(gaps, errors, strict=True))
    ]
    others = iter(holm([p for at, p in enumerate(raw) if at != reference]))
    rows = []
    for at, name in enumerate(names):
        mean, half = float(scores[at].mean()), quantile * float(scores[at].std(ddof=1)) / np.sqrt(count)
        low, high = bounded(metric.key, float(mean - half), float(mean + half))
        row = Pooled(name, tuple(scores[at].tolist()), float(chooses[at]), mean, low, high, float(ranks[at]))
        if at != reference:
            gap, reach, p = float(gaps[at].mean()), quantile * float(errors[at]), next(others)
            row = replace(row, difference=gap, difference_low=gap - reach, difference_high=gap + reach, p=p, real=p < ALPHA)
        rows.append(row)
    return tuple(rows)


def _ranks(scores: NDArray[np.float64], *, same: bool) -> tuple[float | None, float | None]:
    """Friedman's p, and Nemenyi's critical difference where the blocks are different catalogues."""
    from scipy.stats import friedmanchisquare, studentized_range

    strategies, blocks = scores.shape
    friedman = None
    if strategies >= 3 and np.ptp(scores) > 0:
        friedman = float(friedmanchisquare(*scores).pvalue)
    if same:
        return friedman, None
    q = float(studentized_range.ppf(1 - ALPHA, strategies, np.inf)) / np.sqrt(2)
    return friedman, float(q * np.sqrt(strategies * (strategies + 1) / (6 * blocks)))


def _verdict(rows: Sequence[Pooled], reference: str, count: int, metric: Metric, *, same: bool) -> str:
    kind = f"{count} studies of one catalogue" if same else f"{count} catalogues"
    said = f"Over {kind}, {rows[0].strategy} is best on validation."
    best = next((row for row in rows if row.strategy != reference), None)
    if best is None or best.difference is None or best.difference_low is None or best.difference_high is None:
        return said
    real = "a real difference" if best.real else "no real difference"
    unit = "" if metric is Metric.LOG_LOSS else " points"
    span = (
        f"{gain(metric, best.difference)}{unit} ({gain(metric, best.difference_low)} to {gain(metric, best.difference_high)})"
    )
    return f"{said} {best.strategy} against {reference}: {span}, {real} from one study to the next."
