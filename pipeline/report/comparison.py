"""The comparison of all runs of a workspace: one immutable answer that every output only renders.

Validation chooses (the strategy, the reference, the best of each kind); the report's part - test, or validation where there
is no test - is only reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.contrasts import ALPHA, Contrast, Pairs, all_pairs, shares, tested
from fusecat.pipeline.report.results import Candidate, Study
from fusecat.pipeline.report.shown import Shown
from fusecat.pipeline.report.statistics import RESAMPLES, Estimates, bootstrap, score
from fusecat.stages.errors import DataError
from fusecat.stages.fusion.select import rank, tied
from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.progress import heartbeat, phase
from fusecat.stages.vocabulary import Part

if TYPE_CHECKING:
    from fusecat.cache.table import FeatureTable


@dataclass(frozen=True)
class Score:
    """One metric of one strategy on one part, over its seeds.

    `sd`: sample standard deviation, None for a single value; `low` and `high`: 95 % interval that accounts for products and
    seeds, None where it was not asked for.
    """

    mean: float
    sd: float | None
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None


_EQUAL = 1e-9
"""Scores this near each other differ by the order of a sum alone."""

Scores = Mapping[str, Score]
"""Metric -> score."""


@dataclass(frozen=True)
class Row:
    """One strategy in the table. `parts`: part -> metric -> score, of `validation` and `test` where they exist.

    `ensemble`: the same of the seeds' averaged probabilities, None for a single run. `share`: of resampled validation
    sets, those in which it would be chosen; a set in which several are equal is shared between them.
    """

    candidate: Candidate
    parts: Mapping[str, Scores]
    ensemble: Mapping[str, Scores] | None
    group: str
    share: float = 0.0

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.candidate.strategy

    @property
    def parameters(self) -> int:
        """Trained parameters of one head, of an ensemble those of its members: the mean over seeds, which may draw others."""
        return round(float(np.mean([run.parameters for run in self.candidate.runs])))

    @property
    def fit_seconds(self) -> float:
        """Mean seconds to fit one head."""
        return float(np.mean([run.fit_seconds for run in self.candidate.runs]))

    @property
    def predict_seconds(self) -> float:
        """Mean seconds to predict the judged products."""
        return float(np.mean([run.predict_seconds for run in self.candidate.runs]))


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Everything the report says. `rows` best on validation first; estimates in their order, of the metric that ranks.

    `left_out`: what the caller asked for and these features do not allow, and what is odd about the split, in a line each.
    `frugal`: the cheapest strategy within one standard error of the chosen, on validation. `vectors`: what the runs were fitted
    on, where no workspace keeps it.
    """

    study: Study
    rows: tuple[Row, ...]
    reference: str | None
    contrasts: tuple[Contrast, ...]
    pairs: Pairs
    left_out: tuple[str, ...] = ()
    frugal: str | None = None
    vectors: "FeatureTable | None" = None

    @property
    def chosen(self) -> Row:
        """The strategy that validation chooses."""
        return self.rows[0]

    @property
    def headline(self) -> Contrast | None:
        """What validation chose against the reference (see `contrasts`); None where there is nothing to hold against it."""
        return next((contrast for contrast in self.contrasts if contrast.family == "headline"), None)

    @property
    def against_reference(self) -> list[Contrast]:
        """The planned differences from the reference, each as the other strategy less the reference."""
        found = [each for each in self.contrasts if self.reference in (each.one, each.other)]
        return [each if each.other == self.reference else each.turned for each in found]

    @property
    def detectable(self) -> float | None:
        """The smallest true difference that the headline would have found four times in five; None without a headline."""
        level = ALPHA / shares([contrast.family for contrast in self.contrasts])
        return None if self.headline is None else self.headline.difference.detectable(level)

    @property
    def tied(self) -> list[Row]:
        """The strategies that are equal to the chosen one on validation."""
        best, *others = (tied(row.parts[Part.VALIDATION][self.metric.key].mean) for row in self.rows)
        return [row for row, score in zip(self.rows[1:], others, strict=True) if score == best]

    @property
    def metric(self) -> Metric:
        """What chooses, and what the verdict speaks of."""
        return self.study.metric

    @property
    def report_part(self) -> str:
        """The part whose figures are reported as the result."""
        return self.study.report_part

    def row(self, strategy: str) -> Row:
        """The row of a strategy."""
        return next(row for row in self.rows if strategy in row.candidate.names)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One mapping per strategy, the best on validation first: what `pandas.DataFrame` takes.

        Scores are those of the metric that ranks, on validation and on test where it exists: mean and `_sd` over seeds; `low`
        and `high` bound the 95 % interval of the report's part. `difference` is that from the reference, `p` corrected over all
        planned differences, `real` whether it is below 5 %; None where the two were not compared. Strategies that share a
        letter of `group` are not shown to differ. Scores and differences are raw: where less of the metric is better, so is a
        difference below 0.
        """
        key, against = self.metric.key, {each.one: each for each in self.against_reference}
        lines = []
        for row in self.rows:
            report_part, contrast = row.parts[self.report_part][key], against.get(row.strategy)
            line: dict[str, Any] = {"strategy": row.strategy, "seeds": len(row.candidate.seeds)}
            for part, scores in row.parts.items():
                line |= {part: scores[key].mean, f"{part}_sd": scores[key].sd}
            line |= {"low": report_part.low, "high": report_part.high, "group": row.group}
            line |= {"features": list(row.candidate.features), "also": list(row.candidate.also), "share": row.share}
            line |= {"difference": contrast and contrast.difference.value, "p": contrast and contrast.p}
            lines.append(line | {"real": contrast and contrast.real})
        return lines

    @property
    def verdict(self) -> str:
        """Which strategy, by how much, is it real, and how far the answer carries."""
        from fusecat.pipeline.report.verdict import verdict

        return verdict(self)

    @cached_property
    def answers(self) -> Mapping[str, Any]:
        """What users ask next, question -> answer, worked out when first looked at: see `ask`."""
        from fusecat.pipeline.report.costs import cheap
        from fusecat.pipeline.report.questions import questions

        return questions(self, unasked=cheap(self))

    def ask(self, *asked: str) -> dict[str, Any]:
        """`curve`, `contribution`, `missing` or `labels`, as in `fusecat report`, each with its answer: as in `report.json`.

        `answers` are those that a small table answers in seconds; here any may be asked.

        Raises: ValueError for another word; UsageError where a question has no answer here; DataError.
        """
        from fusecat.pipeline.report.answers import Question
        from fusecat.pipeline.report.questions import questions

        with heartbeat():
            return questions(self, [Question(word) for word in asked])  # a word that is none is refused with its name

    def to_html(self) -> str:
        """The page of the report, whole, without products."""
        from fusecat.pipeline.report.insights import insights
        from fusecat.pipeline.report.page import page
        from fusecat.pipeline.report.record import record

        seen = replace(insights(self), asked=self.answers)
        return page(self, record(self, seen), seen, None)

    def cells(self) -> list[list[str]]:
        """The table as people read it, its head first."""
        metric, parts = self.metric, list(self.rows[0].parts)
        interval, difference = f"95 % interval ({self.report_part})", f"from {self.reference}"
        cells = [["strategy", *(f"{part} {metric.shown}" for part in parts), interval, "group", difference, "p"]]
        for line in self.table:
            spread = {part: "" if (sd := line[f"{part}_sd"]) is None else f" ± {metric.figure(sd)}" for part in parts}
            told = ["", ""]
            if line["difference"] is not None:
                told = [metric.gain(line["difference"]) + (" *" if line["real"] else ""), f"{line['p']:.3g}"]
            figures = [metric.figure(line[part]) + spread[part] for part in parts]
            within = "" if line["low"] is None else f"{metric.figure(line['low'])} to {metric.figure(line['high'])}"
            cells.append([" = ".join([line["strategy"], *line["also"]]), *figures, within, line["group"], *told])
        return cells


@phase("reading the runs")
def compare(
    workspace: Path, *, metric: Metric | None = None, against: str | None = None, resamples: int = RESAMPLES
) -> Comparison:
    """Compare all finished runs of a workspace.

    `metric`: what ranks, by default the one that chooses in the workspace. `against`: the strategy that every other is measured
    against, by default the single feature (probe or uni-modal) that validation prefers. Raises: as
    `Study.read`; DataError where no product is in the validation part.
    """
    return compare_study(Study.read(workspace, metric), against=against, resamples=resamples)


def compare_study(study: Study, *, against: str | None = None, resamples: int = RESAMPLES) -> Comparison:
    """`compare` of runs that are in memory already."""
    if Part.VALIDATION not in study.parts:
        raise DataError(f"{study.workspace.runs}: no product is in the validation part, so nothing may choose (split again)")
    against = study.candidate(against).strategy if against is not None else None
    estimates, scores, drawn = {}, {}, {}
    for part in study.parts:
        with phase(f"{resamples:,} resamples of {part}, {len(study.candidates)} strategies"):
            estimates[part], scores[part], drawn[part] = _estimates(study, part, resamples)
    metric = study.metric
    order = sorted(range(len(study.candidates)), key=lambda at: rank(study.candidates[at].runs, metric))
    ranked = [study.candidates[at] for at in order]
    reference = against or next((candidate.strategy for candidate in ranked if candidate.single), None)
    report_part = estimates[study.report_part][metric.key].take(order)
    right = {each.strategy: each.voted(study.report_part) == study.labels(study.report_part) for each in ranked}
    contrasts = tested(ranked, report_part, right, reference)
    pairs = all_pairs(ranked, report_part, contrasts)
    rows = tuple(
        Row(study.candidates[at], {part: scores[part][at] for part in study.parts}, _ensemble(study, at), group, share)
        for at, group, share in zip(order, pairs.groups, choices(drawn[Part.VALIDATION][order], metric), strict=True)
    )
    frugal = _frugal(rows, estimates[Part.VALIDATION][metric.key].take(order), metric)
    return Comparison(study, rows, reference, contrasts, pairs, frugal=frugal)


def choices(drawn: NDArray[np.float64], metric: Metric) -> list[float]:
    """Share of resampled validation sets in which each strategy would be chosen, of their scores `drawn` (S, B).

    A set in which several are equal is shared between them.
    """
    scores = metric.sign * drawn
    best = scores >= scores.max(axis=0) - _EQUAL
    return [float(share) for share in (best / best.sum(axis=0)).sum(axis=1) / max(drawn.shape[1], 1)]


def _frugal(rows: Sequence[Row], known: Estimates, metric: Metric) -> str:
    """The cheapest strategy, by networks' features and then by parameters, within one standard error of the chosen.

    The standard error is that of the chosen one's validation score (Breiman et al. 1984, "Classification and regression trees",
    section 3.4.3).
    """
    error = float(np.sqrt(known.covariance[0, 0] + known.between[0]))
    near = [row for at, row in enumerate(rows) if metric.sign * (known.mean[0] - known.mean[at]) <= error]
    return min(near, key=lambda row: (len(row.candidate.features), row.parameters)).strategy


def _estimates(study: Study, part: str, resamples: int) -> tuple[dict[str, Estimates], list[Scores], NDArray[np.float64]]:
    """Per metric the estimates of all candidates, per candidate its scores, and (S, B) resampled means of what ranks."""
    counts = [len(candidate.seeds) for candidate in study.candidates]
    outcomes = [outcome for candidate in study.candidates for outcome in candidate.outcomes[part]]
    values, draws = score(outcomes), bootstrap(outcomes, resamples)
    cuts = np.cumsum(counts)[:-1]
    estimates = {key: Estimates.of(np.split(values[key], cuts), np.split(draws[key], cuts)) for key in values}
    scores: list[Scores] = []
    for number in range(len(counts)):
        found = {}
        for metric in METRICS.values():
            bounds = metric.bounded(*estimates[metric.key].interval(number))
            found[metric.key] = _score(np.split(values[metric.key], cuts)[number], *bounds)
        scores.append(found)
    return estimates, scores, np.stack([of.mean(axis=0) for of in np.split(draws[study.metric.key], cuts)])


def _ensemble(study: Study, at: int) -> Mapping[str, Scores] | None:
    ensemble = study.candidates[at].ensemble
    if ensemble is None:
        return None
    return {part: {key: _score(value) for key, value in score([outcome]).items()} for part, outcome in ensemble.items()}


def _score(values: NDArray[np.float64], low: float | None = None, high: float | None = None) -> Score:
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    return Score(float(values.mean()), spread, tuple(float(value) for value in values), low, high)
