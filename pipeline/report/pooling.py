"""Several studies as one answer that carries over to the next network seed, the next split or the next catalogue.

Workspaces of one catalogue (other network seeds, other splits) are repetitions of one question: each strategy gets one mean
per workspace, and `repeated` says how much is known of the mean over them. Workspaces of different catalogues are blocks:
strategies are ranked within each (Friedman's test), and only there the critical difference of mean ranks is drawn (Demsar
2006, Nemenyi's test).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.comparison import Comparison
from fusecat.pipeline.report.contrasts import ALPHA, confidence
from fusecat.pipeline.report.repeated import Over, Repeated, products
from fusecat.pipeline.report.statistics import Difference, holm, holm_levels
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.select import rank, tied
from fusecat.stages.metrics import Metric
from fusecat.stages.progress import phase
from fusecat.stages.vocabulary import Part


@dataclass(frozen=True)
class Pooled:
    """One strategy over all workspaces: the metric of each, on the report's part, in the workspaces' order.

    `low`, `high`: 95 % interval of the mean over workspaces; `rank`: mean rank (1 is best); `difference`, `difference_low`,
    `difference_high` (95 %), `p` (Holm's) and `real`: against the reference, paired by workspace; None for the reference
    itself; `level_low`, `level_high`: its interval at `level`, that of its test, which leaves out 0 exactly where it is `real`.
    `chosen`: the workspaces whose validation chose it.
    """

    strategy: str
    values: tuple[float, ...]
    validation: float
    mean: float
    low: float
    high: float
    rank: float
    chosen: int = 0
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    real: bool = False
    level: float | None = None
    level_low: float | None = None
    level_high: float | None = None


@dataclass(frozen=True)
class Pool:
    """Several workspaces as one answer; rows best on validation first.

    `same`: one catalogue (else several); `over`: what the studies differ in; `units`: how many different test sets (of several
    catalogues, how many of these) they have; `friedman`: p of equal ranks, only for several catalogues and three strategies or
    more; `critical`: difference of mean ranks that would be real, only for several catalogues. `gain`: of
    choosing anew in each study, against the single feature that would be chosen there; None where there is none, or all choose
    theirs. `of_seeds`: share of the variance of the best between splits that its seeds explain, None where it is not known.
    """

    workspaces: tuple[str, ...]
    same: bool
    over: Over
    units: int
    metric: str
    report_part: str
    reference: str
    rows: tuple[Pooled, ...]
    left_out: tuple[str, ...]
    friedman: float | None
    critical: float | None
    gain: Difference | None
    of_seeds: float | None
    verdict: str


@phase("pooling the studies")
def pool(comparisons: Sequence[Comparison]) -> Pool:
    """Put two or more compared workspaces together.

    Raises: UsageError naming the difference where they cannot be: another metric, another judged part, a catalogue that is the
    same by its ids and not by its type codes, or no strategy that all of them have.
    """
    _refuse(comparisons)
    first = comparisons[0]
    metric, report_part = first.metric, first.report_part
    held = [{name for row in each.rows for name in row.candidate.names} for each in comparisons]
    names = [row.strategy for row in first.rows if all(row.strategy in own for own in held)]
    if not names:
        raise UsageError("--pool: no strategy was run in all of these workspaces")
    everything = {row.strategy for comparison in comparisons for row in comparison.rows}
    everything -= {alias for name in names for comparison in comparisons for alias in comparison.row(name).candidate.names}
    chooses = {
        name: float(np.mean([c.row(name).parts[Part.VALIDATION][metric.key].mean for c in comparisons])) for name in names
    }
    names.sort(key=lambda name: (tied(-metric.sign * chooses[name]), *rank(first.row(name).candidate.runs, metric)[1:]))
    repeated = Repeated.of(comparisons, names)
    single = [at for at, name in enumerate(names) if first.row(name).candidate.single]
    reference = single[0] if single else len(names) - 1
    chosen = [comparison.chosen.candidate.names for comparison in comparisons]
    picked = [next((name for name in every if name in names), every[0]) for every in chosen]
    rows = _rows(names, repeated, chooses, metric, reference, picked)
    gain = _gain(comparisons, names, repeated)
    first_row = [comparison.row(names[0]) for comparison in comparisons]
    scores = [row.parts[report_part][metric.key] for row in first_row]
    of_seeds = repeated.of_seeds(0, [(score.sd or 0.0, len(score.values)) for score in scores])
    same = repeated.over is not Over.CATALOGUES
    friedman, critical = (None, None) if same else _ranks(repeated.by_unit)
    verdict = _verdict(rows, names[reference], repeated, metric, report_part, _split_seeds(comparisons))
    return Pool(
        workspaces=tuple(str(c.study.workspace.root) for c in comparisons),
        same=same,
        over=repeated.over,
        units=len(repeated.units),
        metric=metric.name,
        report_part=report_part,
        reference=names[reference],
        rows=rows,
        left_out=tuple(sorted(everything)),
        friedman=friedman,
        critical=critical,
        gain=gain,
        of_seeds=of_seeds,
        verdict=" ".join([verdict, *_choice(picked, gain, of_seeds, metric)]),
    )


def _refuse(comparisons: Sequence[Comparison]) -> None:
    first = comparisons[0]
    places = [str(c.study.workspace.root.resolve()) for c in comparisons]
    if len(set(places)) < len(places) or len(places) < 2:
        raise UsageError("--pool needs two or more different workspaces")
    for other in comparisons[1:]:
        where = f"{first.study.workspace.root} and {other.study.workspace.root} cannot be pooled"
        if other.metric != first.metric:
            raise UsageError(f"{where}: their metrics are {first.metric} and {other.metric}")
        if other.report_part != first.report_part:
            raise UsageError(f"{where}: one is judged on {first.report_part}, the other on {other.report_part}")
        if set(_ids(other)) == set(_ids(first)) and products(other) != products(first):
            raise UsageError(f"{where}: the same product ids carry other type codes")
        shared = len(set(_ids(other)) & set(_ids(first)))
        if shared and products(other) != products(first):
            raise UsageError(f"{where}: they share {shared:,} product ids, but neither is the other's catalogue (a cut of it?)")


def _ids(comparison: Comparison) -> list[str]:
    return [str(identity) for identity in comparison.study.products.ids]


def _gain(comparisons: Sequence[Comparison], names: Sequence[str], repeated: Repeated) -> Difference | None:
    """What each study chose less the single feature that it would have chosen: choice and all, as a user would have done it."""
    pairs = []
    for comparison in comparisons:
        single = next((row.strategy for row in comparison.rows if row.candidate.single and row.strategy in names), None)
        chosen = next((name for name in comparison.chosen.candidate.names if name in names), None)
        if single is None or chosen is None:
            return None
        pairs.append((names.index(chosen), names.index(single)))
    ones, others = zip(*pairs, strict=True)
    if ones == others:
        return None
    return repeated.choosing(ones, others)


def _choice(picked: Sequence[str], gain: Difference | None, of_seeds: float | None, metric: Metric) -> list[str]:
    """How often each strategy was chosen, what choosing brings, and what another seed may change."""
    counts = Counter(picked).most_common()
    studies = len(picked)
    if len(counts) == 1:
        said = [f"All {studies} studies choose {counts[0][0]}."]
    else:
        several = ", ".join(f"{name} {count}" for name, count in counts[:4])
        more = f", and {len(counts) - 4} others" if len(counts) > 4 else ""
        said = [f"Of {studies} studies, so many choose each: {several}{more}."]
    if gain is not None:
        reach = f"95 % interval {metric.gains(gain.low, gain.high)}"
        said.append(
            f"Whatever is chosen, against the single feature that would be chosen with it: {metric.gain(gain.value)}"
            f"{metric.points} ({reach})."
        )
    said += [metric.convention] * (metric.sign < 0)
    if of_seeds is not None:
        said.append(f"Seeds explain {100 * of_seeds:.0f} % of the variance between splits.")
    return said


def _rows(
    names: Sequence[str],
    repeated: Repeated,
    chooses: Mapping[str, float],
    metric: Metric,
    reference: int,
    picked: Sequence[str],
) -> tuple[Pooled, ...]:
    from scipy.stats import rankdata

    ranks = np.mean([rankdata(-metric.sign * column) for column in repeated.by_unit.T], axis=0)
    gaps = {at: repeated.difference(at, reference) for at in range(len(names)) if at != reference}
    p_values = [gap.p for gap in gaps.values()]
    adjusted = dict(zip(gaps, zip(holm(p_values), holm_levels(p_values, ALPHA), strict=True), strict=True))
    rows = []
    for at, name in enumerate(names):
        known = repeated.mean(at)
        low, high = metric.bounded(known.low, known.high)
        values = tuple(repeated.values[at].tolist())
        row = Pooled(name, values, chooses[name], known.value, low, high, float(ranks[at]), picked.count(name))
        if at in gaps:
            gap, (p, alpha) = gaps[at], adjusted[at]
            row = replace(row, difference=gap.value, difference_low=gap.low, difference_high=gap.high, p=p, real=p < ALPHA)
            low, high = gap.interval(alpha)
            row = replace(row, level=1 - alpha, level_low=low, level_high=high)
        rows.append(row)
    return tuple(rows)


def _ranks(scores: NDArray[np.float64]) -> tuple[float | None, float]:
    """Friedman's p and Nemenyi's critical difference, of different catalogues."""
    from scipy.stats import friedmanchisquare, studentized_range

    strategies, blocks = scores.shape
    friedman = float(friedmanchisquare(*scores).pvalue) if strategies >= 3 and np.ptp(scores) > 0 else None
    q = float(studentized_range.ppf(1 - ALPHA, strategies, np.inf)) / np.sqrt(2)
    return friedman, float(q * np.sqrt(strategies * (strategies + 1) / (6 * blocks)))


def _split_seeds(comparisons: Sequence[Comparison]) -> str:
    """The seeds that the studies' splits were drawn with, '' where one is not known or was given with the products."""
    drawn = [comparison.study.info.split for comparison in comparisons]
    if any(each.get("own") or "seed" not in each for each in drawn):
        return ""
    return f" (seeds {', '.join(map(str, dict.fromkeys(each['seed'] for each in drawn)))})"


def _verdict(rows: Sequence[Pooled], reference: str, repeated: Repeated, metric: Metric, report_part: str, seeds: str) -> str:
    studies, units = repeated.values.shape[1], len(repeated.units)
    match repeated.over:
        case Over.NETWORKS:
            kind, carried = f"{studies} studies of one test set", "for other networks of this kind and other products"
        case Over.SPLITS:
            kind, carried = f"{studies} studies on {units} splits of one catalogue{seeds}", "for other splits and products"
        case Over.CATALOGUES:
            kind, carried = f"{units} catalogues", "from one catalogue to the next"
        case _:
            assert_never(repeated.over)
    top = rows[0]
    within = f"95 % interval {metric.figure(top.low)} to {metric.figure(top.high)}"
    said = (
        f"Over {kind}, {top.strategy} is best on validation ({report_part} {metric.shown} {metric.figure(top.mean)}, {within})."
    )
    best = next((row for row in rows if row.strategy != reference), None)
    if best is None or best.difference is None or best.level is None or best.level_low is None or best.level_high is None:
        return said
    real = "a real difference" if best.real else "no real difference"
    reach = f"{confidence(best.level)} interval {metric.gains(best.level_low, best.level_high)}"
    span = f"{metric.gain(best.difference)}{metric.points} ({reach})"
    return f"{said} {best.strategy} against {reference}: {span}, {real} {carried}."
