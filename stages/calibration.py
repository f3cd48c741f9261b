"""Probabilities that mean what they say: one temperature, and the error that a perfectly calibrated model would show.

Shapes: n products, C classes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.predictions import WHOLE, Probabilities, blocks

BINS = 15
LEAST = 20
"""Products below which nothing is fitted: the temperature stays 1."""

RANGE = (0.1, 10.0)
_SMALLEST = 1e-12  # of probabilities: what is 0 in float32 has no logarithm


def temperature(probabilities: Probabilities, labels: NDArray[np.integer]) -> float:
    """The T at which p^(1/T), normalised, has the lowest log loss on these products (Guo et al. 2017, section 4.2).

    One product of no known class counts beside them, so that T stays finite where a model is never wrong. `probabilities`
    (n, C); of more than 4 million, products from all over the table are taken, which may be sorted by class. Returns a number
    between 0.1 and 10, 1 for too few products.
    """
    from scipy.optimize import minimize_scalar

    count = min(len(labels), max(1, WHOLE // probabilities.shape[1]))
    if count < LEAST:
        return 1.0
    logs, truth = _spread(probabilities, labels, count)

    def loss(inverse: float) -> float:
        scaled = logs * inverse
        scaled -= np.log(np.exp(scaled - scaled.max(1, keepdims=True)).sum(1, keepdims=True)) + scaled.max(1, keepdims=True)
        return float(-scaled[np.arange(len(truth)), truth].sum() - scaled.mean())

    found = minimize_scalar(loss, bounds=(1 / RANGE[1], 1 / RANGE[0]), method="bounded", options={"xatol": 1e-4})
    return float(1 / found.x)


def _spread(
    probabilities: Probabilities, labels: NDArray[np.integer], count: int
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """The logarithms (m, C) of at most `count` rows and their labels: runs of neighbours, evenly far apart."""
    runs = 1 if count == len(labels) else min(64, count)
    length = count // runs
    cuts = [slice(start, start + length) for start in np.linspace(0, len(labels) - length, runs).astype(int)]
    return np.concatenate([_logs(probabilities[cut]) for cut in cuts]), np.concatenate([labels[cut] for cut in cuts])


def tempered(probabilities: NDArray[np.floating], heat: float) -> NDArray[np.float32]:
    """(n, C) with the temperature `heat`; the predicted class of every product stays what it was."""
    if heat == 1.0 or not len(probabilities):
        return np.asarray(probabilities, np.float32)
    scaled = _logs(probabilities) / heat
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    found = (scaled / scaled.sum(1, keepdims=True)).astype(np.float32)
    # rounding may make two equal, and the first of equals would be named
    best = probabilities.argmax(1)
    other = np.flatnonzero(found.argmax(1) != best)
    found[other, best[other]] = np.nextafter(found[other].max(1), np.float32(2))
    return np.asarray(found, np.float32)


def tempered_blocks(probabilities: Probabilities, heat: float) -> Iterator[NDArray[np.float32]]:
    """The same block after block."""
    yield from (tempered(probabilities[rows], heat) for rows in blocks(probabilities.shape, 3))


def binned(confidence: NDArray[Any], bins: int = BINS) -> NDArray[np.intp]:
    """(n,) bin of equal width over (0, 1]."""
    return np.asarray(np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1), np.intp)


def calibration_error(confidence: NDArray[np.floating], right: NDArray[Any], bins: int = BINS) -> float:
    """Expected calibration error: the mean over bins, by their sizes, of claimed probability less share of right answers."""
    gaps = np.bincount(binned(confidence, bins), confidence - right.astype(float), bins)
    return float(np.abs(gaps).sum() / len(confidence))


def noise_floor(confidence: NDArray[np.floating], samples: int = 500) -> tuple[float, float]:
    """What the expected calibration error would be if every product were right with exactly its claimed probability.

    Returns its mean over simulated sets of these confidences (n,), and the value that 95 % of them stay below.
    """
    # many products ask for fewer: their errors vary less
    samples = min(samples, max(50, 10_000_000 // max(len(confidence), 1)))
    random, errors = np.random.default_rng(2020), np.empty(samples)
    for at in range(samples):
        errors[at] = calibration_error(confidence, random.random(len(confidence)) < confidence)
    return float(errors.mean()), float(np.quantile(errors, 0.95))


def error_interval(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], level: float = 0.95, samples: int = 300, seed: int = 2020
) -> tuple[float, float, float]:
    """Low bound, debiased value and high bound of the expected calibration error that ever more products would show.

    Chance makes gaps where there are none, so the error of a finite part is too large, and in resamples of its products larger
    still. So sets are drawn for a true error of every size (a parametric bootstrap, inverted): the interval holds those under
    which the error of these n products is neither among the lowest nor among the highest 2.5 %, the debiased one makes it the
    median. Sizes of single gaps that do not add up to much are not known; the bounds are the widest of three guesses: as seen,
    only those seen beyond two standard errors, all alike. benchmarks/calibration_interval.py counts how often it is right.
    """
    place = binned(confidence)
    count = np.bincount(place, minlength=BINS)
    full = np.flatnonzero(count)
    count = count[full]
    claimed = np.bincount(place, confidence, BINS)[full] / count
    gap = claimed - np.bincount(place, right.astype(float), BINS)[full] / count
    weight, error = count / count.sum(), np.sqrt(np.maximum(claimed * (1 - claimed), 1e-4) / count)
    seen = float(weight @ np.abs(gap))
    guesses = [gap, np.where(np.abs(gap) > 2 * error, gap, 0.0), np.where(gap < 0, -1.0, 1.0)]
    # as far as chance may reach: 4 standard errors of a share, each half at most
    most = seen + 4 * float(weight @ np.sqrt(0.25 / count))
    tail, random, found = (1 - level) / 2, np.random.default_rng(seed), []
    for guess in (each for each in guesses if each.any()):
        sizes = np.linspace(0, most / float(weight @ np.abs(guess)), 50)
        share = np.clip(claimed - sizes[:, None] * guess, 0, 1)
        hits = random.binomial(count, share[:, None, :], (len(sizes), samples, len(count)))
        drawn, true = np.abs(claimed - hits / count) @ weight, np.abs(claimed - share) @ weight
        # ties count half: few products have few errors to show
        below = (drawn < seen).mean(axis=1) + np.isclose(drawn, seen).mean(axis=1) / 2
        falling = -np.minimum.accumulate(below)
        found.append([float(np.interp(-at, falling, true)) for at in (1 - tail, 0.5, tail)])
    return min(each[0] for each in found), found[0][1], max(each[2] for each in found)


def _logs(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST))
