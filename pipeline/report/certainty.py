"""How far one answer can be trusted: calibration at the shipped temperature, selective prediction, conformal sets.

All is chosen on validation - the temperature, the thresholds - and measured on test. It speaks of what `fusecat predict`
gives: the chosen strategy's seeds averaged, at its temperature. Shapes: n products, C classes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.calibration import Reliability, reliability
from fusecat.stages.calibration import calibration_error, error_interval, noise_floor, temperature, tempered_blocks
from fusecat.stages.fusion.predictions import outcome_of, outcome_of_blocks
from fusecat.stages.metrics import LOG_LOSS
from fusecat.stages.scores import Outcome
from fusecat.stages.vocabulary import Part

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison

TARGETS = (0.9, 0.95, 0.99)
"""Accuracies for which a threshold is looked for."""

COVERED = 0.9
"""Share of products whose set of type codes shall hold the right one."""


@dataclass(frozen=True)
class Share:
    """A share of `of` products, with its exact 95 % interval (Clopper and Pearson 1934)."""

    value: float
    low: float
    high: float
    of: int


@dataclass(frozen=True)
class Answered:
    """Answer only where the probability reaches `threshold`: on validation that is right in `target` of the answers.

    `hoped`: the share answered on validation; `answered`, `right`: on test. `threshold` None: no answers are so good.
    """

    target: float
    threshold: float | None
    hoped: float
    answered: float
    right: Share | None


@dataclass(frozen=True)
class Sets:
    """Per product the type codes of at least `threshold`: the right one was among them in `target` of validation.

    `covered`: on test; `size`: mean number of codes; `single`, `empty`: share of products with one and with none.
    """

    target: float
    threshold: float
    covered: Share
    size: float
    single: float
    empty: float


@dataclass(frozen=True)
class Certainty:
    """`before`, `after`: expected calibration error and log loss on test without and with the temperature.

    `floor`: the error of a perfectly calibrated model with these probabilities on as many products, on average; 95 % of such
    sets stay below `floor_high`. `debiased`, `low`, `high`: the error with the temperature, without what so few products add to
    it, and its 95 % interval. `curve`: its reliability plot.
    """

    temperature: float
    validation: int
    products: int
    before: tuple[float, float]
    after: tuple[float, float]
    floor: float
    floor_high: float
    debiased: float
    low: float
    high: float
    selective: tuple[Answered, ...]
    sets: Sets
    curve: Reliability


def certainty(comparison: "Comparison") -> Certainty | None:
    """None where there is no test part to measure on, or the runs are not on disk (a comparison in a notebook)."""
    study, candidate = comparison.study, comparison.chosen.candidate
    if comparison.report_part != Part.TEST or not study.workspace.runs.is_dir():
        return None
    labels = {part: study.labels(part) for part in study.parts}
    told = {part: study.probabilities(candidate, part) for part in study.parts}
    heat = temperature(told[Part.VALIDATION], labels[Part.VALIDATION])
    validation = outcome_of_blocks(tempered_blocks(told[Part.VALIDATION], heat), labels[Part.VALIDATION])
    limit, counts = conformal_threshold(validation.truth, COVERED), list[NDArray[np.intp]]()

    def counted() -> Iterator[NDArray[np.float32]]:
        for block in tempered_blocks(told[Part.TEST], heat):
            counts.append((block >= limit).sum(axis=1))
            yield block

    test, raw = outcome_of_blocks(counted(), labels[Part.TEST]), outcome_of(told[Part.TEST], labels[Part.TEST])
    sizes, (floor, high) = np.concatenate(counts), noise_floor(test.confidence)
    low, debiased, most = error_interval(test.confidence, test.right)
    return Certainty(
        heat,
        len(labels[Part.VALIDATION]),
        len(labels[Part.TEST]),
        _errors(raw),
        _errors(test),
        floor,
        high,
        debiased,
        low,
        most,
        tuple(answered(validation, test, target) for target in TARGETS),
        Sets(
            COVERED,
            limit,
            share_of(test.truth >= limit),
            float(sizes.mean()),
            float((sizes == 1).mean()),
            float((sizes == 0).mean()),
        ),
        reliability([test], labels[Part.TEST]),
    )


def answered(validation: Outcome, test: Outcome, target: float) -> Answered:
    """The threshold with which most validation products are answered, `target` of them right; what it gives on test."""
    order = np.argsort(-validation.confidence, kind="stable")
    share = np.cumsum(validation.right[order]) / np.arange(1, len(order) + 1)
    confidence = validation.confidence[order]
    last = np.append(confidence[1:] < confidence[:-1], True)  # equal probabilities are answered together
    good = np.flatnonzero((share >= target) & last)
    if not len(good):
        return Answered(target, None, 0.0, 0.0, None)
    threshold = float(confidence[good[-1]])
    taken = test.confidence >= threshold
    right = share_of(test.right[taken]) if taken.any() else None
    return Answered(target, threshold, float((good[-1] + 1) / len(order)), float(taken.mean()), right)


def conformal_threshold(truth: NDArray[np.floating], target: float) -> float:
    """The probability that a code must reach to be in the set (split-conformal: Sadinle et al. 2019, Angelopoulos 2021).

    `truth` (n,): what the true classes get. For products drawn like these, sets hold the right code in at least `target`.
    0, every code, where there are too few products for that.
    """
    place = math.floor((len(truth) + 1) * (1 - target))
    return float(np.sort(truth)[place - 1]) if place >= 1 else 0.0


def share_of(hits: NDArray[np.bool_]) -> Share:
    """The share of hits among some products, with its interval."""
    from scipy.special import betaincinv

    count, found = len(hits), int(hits.sum())
    low = float(betaincinv(found, count - found + 1, 0.025)) if found else 0.0
    high = float(betaincinv(found + 1, count - found, 0.975)) if found < count else 1.0
    return Share(found / count, low, high, count)


def _errors(said: Outcome) -> tuple[float, float]:
    return calibration_error(said.confidence, said.right), float(LOG_LOSS.of(replace(said, weights=None)))
