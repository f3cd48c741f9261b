"""What a question would cost, and which are cheap enough to be answered without being asked.

The rule: a fit takes half a second, and one more for each 5 billion products times passes times parameters of the head; what
promises less than `CHEAP` seconds is worked out at once. Estimated from the runs' records and the headers of features: no
vector is read, nothing is tried.
"""

from typing import TYPE_CHECKING, assert_never

from fusecat.cache.errors import CacheError
from fusecat.pipeline.report.answers import Question, asked_of, feature_names, honest
from fusecat.stages.vocabulary import Part

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Row

CHEAP = 10.0
"""Seconds of one thread that a question may take unasked."""

PER_FIT = 0.5
"""Seconds: 180 steps on next to nothing, each epoch judged."""

REGRESSED = 2e8
"""Products times columns times classes that a second fits a logistic regression on, in one fold."""

READ = 2e7
"""Numbers that a second reads; they have to fit in memory as well."""

RATE = 5e9
"""Products times parameters that a second fits, and three times as many where it only predicts."""


def cheap(comparison: "Comparison") -> list[Question]:
    """The questions that have an answer here and take little to work out."""
    return [question for question in Question if (cost := seconds(question, comparison)) is not None and cost < CHEAP]


def dear(comparison: "Comparison") -> dict[Question, float]:
    """The others that have an answer, with the seconds that they may take."""
    costs = {question: seconds(question, comparison) for question in Question}
    return {question: cost for question, cost in costs.items() if cost is not None and cost >= CHEAP}


def seconds(question: Question, comparison: "Comparison") -> float | None:
    """About how long one thread is at work; None where the question has no answer here."""
    from fusecat.stages.fusion import contribution, learning_curve, missing_fields

    if question is Question.LABELS:
        return _labels(comparison)
    row = asked_of(question, comparison)
    if row is None:
        return None
    match question:
        case Question.CURVE:
            # what was fitted on all of them is there
            shares = learning_curve.SHARES[:-1]
            return learning_curve.REPETITIONS * _fits(comparison, row, len(shares), sum(shares))
        case Question.CONTRIBUTION:
            names = row.candidate.runs[0].features
            # single features have their probes
            sizes = [len(each) / len(names) for each in contribution.subsets(names) if len(each) > 1]
            return contribution.SEEDS * _fits(comparison, row, len(sizes), sum(sizes)) if sizes else None
        case Question.MISSING:
            said = len(comparison.study.labels(comparison.report_part)) * len(row.candidate.seeds) * row.parameters
            times = len(missing_fields.fields_of(row.candidate.features)) * len(missing_fields.SHARES)
            # a notebook has kept no head
            again = 0 if comparison.vectors is None else len(row.candidate.seeds)
            return times * said / (3 * RATE) + _fits(comparison, row, again, again)
        case _:
            assert_never(question)


def _labels(comparison: "Comparison") -> float | None:
    """Seconds to predict out of fold: a regression in folds on vectors that no label has shaped; of others logits are read."""
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.fusion.late.crossfit import FOLDS

    study, cost, speaking = comparison.study, 0.0, False
    products = sum(len(study.products.rows(part)) for part in (Part.TRAIN, Part.HEAD))
    for name in feature_names(comparison):
        if comparison.vectors is None:
            try:
                header = FeatureCache(study.workspace.features).header(name)
            except CacheError:  # and who asks is told of it
                return None
            width, told = header.width, "logits_oof" in header.digests
        else:
            feature = comparison.vectors.features[name]
            width, told = feature.width, feature.logits_oof is not None
        alone = honest(comparison, name) and not told
        speaking |= told or alone
        cost += len(study.products.ids) * width / READ
        cost += FOLDS * products * width * len(study.products.classes) / REGRESSED if alone else 0
    return cost if speaking else None


def _fits(comparison: "Comparison", row: "Row", fits: int, whole: float) -> float:
    """Seconds for so many fits that are together as much work as `whole` of the strategy's own."""
    from fusecat.stages.fusion.fit_settings import FitSettings

    run = row.candidate.runs[0]
    products = sum(len(comparison.study.products.rows(part)) for part in run.fitted_on)
    return PER_FIT * fits + whole * products * FitSettings.of(run.settings).passes(products) * row.parameters / RATE
