"""How sure is a difference? Products by a stratified bootstrap, seeds by Student's t, both in one interval.

Shapes: n products, C classes that occur, B resamples, M models (one strategy with one seed), S strategies.

The figure of a strategy is the mean of K seeds on n products. Its variance is that of products plus that of seeds:

    V = Var_boot(mean over seeds) + s^2 / K

`s^2` is the variance between seeds on the one test set. It holds the seed-by-product interaction, which the bootstrap of
the mean holds too: counted twice on purpose, which widens an interval by a few per cent and makes up for what
Satterthwaite's degrees of freedom promise too much with five seeds (benchmarks/report.py measures the coverage). Five
seeds bootstrap badly, but Student's t knows them.

Stratified by true class, resampled as Rao and Wu (1988) do: n_c - 1 products of each class, weighted n_c / (n_c - 1), whose
variance is unbiased in small classes; the class sizes stay what they are, as in a stratified split. A class with one
product adds no variance: nothing can be learnt from one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.scores import Outcome, scores_of

RESAMPLES = 1000
"""The relative error of a bootstrapped standard error is 1 / sqrt(2 B): 2.2 %."""

LEVEL = 0.95
SEED = 2020
_BLOCK = 16_000_000  # weights held at once: 64 MB of float32
_PIECE = 250_000  # weights drawn at once: what they pass through fits the processor's cache
_UNIT = 1e-12  # a variance below this is none: scores are of order 1


def resampling_weights(labels: NDArray[np.integer], resamples: int, seed: int = SEED) -> Iterator[NDArray[np.float32]]:
    """Blocks (b, n) of weights, `resamples` rows in all, each class keeping its total; the same for the same seed."""
    random = np.random.default_rng(seed)
    n = len(labels)
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    drawn = np.maximum(sizes - 1, 1)
    start, size = np.repeat(starts, drawn), np.repeat(sizes, drawn)
    scale = np.empty(n, np.float32)
    scale[order] = np.repeat(np.where(sizes > 1, sizes / drawn, 1), sizes)
    step, piece = max(1, _BLOCK // n), max(1, _PIECE // n)
    for first in range(0, resamples, step):
        weights = np.empty((min(step, resamples - first), n), np.float32)
        for top in range(0, len(weights), piece):
            rows = min(piece, len(weights) - top)
            picks = start + (random.random((rows, len(start)), dtype=np.float32) * size).astype(np.intp)
            picks = np.minimum(picks, start + size - 1)  # float32 rounding may reach the next class
            flat = order[picks] + np.arange(rows)[:, None] * n
            np.multiply(np.bincount(flat.ravel(), minlength=rows * n).reshape(rows, n), scale, out=weights[top : top + rows],
                        casting="same_kind")  # fmt: skip
        yield weights


def score(outcomes: Sequence[Outcome]) -> dict[str, NDArray[np.float64]]:
    """Key of each metric -> (M,), of every model."""
    found = [scores_of(outcome) for outcome in outcomes]
    return {key: np.array([scores[key] for scores in found]) for key in found[0]}


def bootstrap(
    outcomes: Sequence[Outcome], resamples: int = RESAMPLES, seed: int = SEED, metrics: Iterable[Metric] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Key of each metric -> (M, B), of every model in every resample.

    Models answer the same products and share the resamples, so differences are paired.
    """
    metrics = tuple(metrics or METRICS.values())
    found: dict[str, list[NDArray[np.float64]]] = {metric.key: [] for metric in metrics}
    for weights in resampling_weights(outcomes[0].labels, resamples, seed):
        across = np.ascontiguousarray(weights.T)
        seen = [outcome.weighted(across) for outcome in outcomes]
        for metric in metrics:
            found[metric.key].append(np.stack([metric.of(outcome) for outcome in seen]))
    return {key: np.concatenate(blocks, axis=1) for key, blocks in found.items()}


@dataclass(frozen=True)
class Estimates:
    """What is known of S strategies in one metric.

    `mean` (S,); `covariance` (S, S) over products of the means over seeds; `between` (S,) s^2 / K, the variance of the mean
    from seeds, 0 for a single run; `seeds` (S,) K.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    between: NDArray[np.float64]
    seeds: NDArray[np.intp]

    @classmethod
    def of(cls, values: Sequence[NDArray[np.float64]], resampled: Sequence[NDArray[np.float64]]) -> "Estimates":
        """`values`: per strategy (K,) scores of its seeds; `resampled`: per strategy (K, B) scores in the same resamples."""
        means = np.stack([draws.mean(axis=0) for draws in resampled])
        covariance = np.atleast_2d(np.cov(means)) if means.shape[1] > 1 else np.zeros((len(means), len(means)))
        between = [scores.var(ddof=1) / len(scores) if len(scores) > 1 else 0.0 for scores in values]
        seeds = np.array([len(scores) for scores in values])
        return cls(np.array([scores.mean() for scores in values]), covariance, np.array(between), seeds)

    def take(self, order: Sequence[int]) -> "Estimates":
        """The same of these strategies, in this order."""
        at = np.asarray(order)
        return Estimates(self.mean[at], self.covariance[np.ix_(at, at)], self.between[at], self.seeds[at])

    def interval(self, at: int) -> tuple[float, float]:
        """95 % interval of one strategy's expected score."""
        variance = self.covariance[at, at] + self.between[at]
        half = _quantile(_freedom(variance, self.between[[at]], self.seeds[[at]])) * np.sqrt(variance)
        return float(self.mean[at] - half), float(self.mean[at] + half)

    def difference(self, one: int, other: int) -> "Difference":
        """Strategy `one` less strategy `other`, on the same products; seeds of different strategies are independent."""
        at = [one, other]
        variance = float(self.covariance[one, one] + self.covariance[other, other] - 2 * self.covariance[one, other])
        variance = max(variance, 0.0) + float(self.between[at].sum())
        gap = float(self.mean[one] - self.mean[other])
        error = float(np.sqrt(variance))
        freedom = _freedom(variance, self.between[at], self.seeds[at])
        if variance < _UNIT:
            return Difference(gap, gap, gap, error, freedom, 1.0 if abs(gap) < _UNIT else 0.0)
        from scipy.special import stdtr

        half = _quantile(freedom) * error
        return Difference(gap, gap - half, gap + half, error, freedom, 2 * float(stdtr(freedom, -abs(gap / error))))


@dataclass(frozen=True)
class Difference:
    """A paired difference, its 95 % interval, standard error, degrees of freedom and two-sided p (uncorrected)."""

    value: float
    low: float
    high: float
    error: float
    freedom: float
    p: float

    def interval(self, alpha: float) -> tuple[float, float]:
        """Its two-sided interval at the level 1 - `alpha`: without 0 exactly where `p` is below `alpha`."""
        half = _quantile(self.freedom, 1 - alpha / 2) * self.error if self.high > self.low else 0.0
        return self.value - half, self.value + half

    def detectable(self, alpha: float) -> float:
        """The smallest true difference that a two-sided test at the level `alpha` would find four times in five."""
        return (_quantile(self.freedom, 1 - alpha / 2) + _quantile(self.freedom, 0.8)) * self.error


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: the smallest times their number, the next times one less, and so on."""
    given = np.asarray(p_values, float)
    order = np.argsort(given, kind="stable")
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)), 1)
    return [float(p) for p in adjusted]


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's procedure decided on each: alpha over those left, and where it stopped for all the rest."""
    given, left = np.asarray(p_values, float), np.arange(len(p_values), 0, -1)
    order = np.argsort(given, kind="stable")
    stopped = np.flatnonzero(given[order] * left >= alpha)
    if len(stopped):
        left[stopped[0] :] = left[stopped[0]]
    levels = np.empty(len(given))
    levels[order] = alpha / left
    return [float(level) for level in levels]


def mcnemar(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Products that only `one` has right, that only `other` has right, and the p of McNemar's test.

    It is exact for fewer than 1,000 products, else that of chi-square with Edwards's correction.
    """
    from scipy.special import bdtr, chdtrc

    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    count = only_one + only_other
    if count == 0:
        return 0, 0, 1.0
    if count < 1000:
        return only_one, only_other, min(1.0, 2 * float(bdtr(min(only_one, only_other), count, 0.5)))
    return only_one, only_other, float(chdtrc(1, (abs(only_one - only_other) - 1) ** 2 / count))


def vote(predicted: NDArray[np.integer], ensemble: NDArray[np.integer]) -> NDArray[np.integer]:
    """(n,) majority of `predicted` (K, n) over seeds; a tie goes to the class that the averaged probabilities name."""
    votes = sum((predicted == other).astype(np.float32) for other in predicted)
    votes = votes + 0.5 * (predicted == ensemble)
    winner: NDArray[np.integer] = np.take_along_axis(predicted, votes.argmax(axis=0)[None], axis=0)[0]
    return winner


def letters(apart: NDArray[np.bool_]) -> list[str]:
    """Groups that are not shown to differ, as letters (Piepho 2004): strategies share a letter unless `apart` (S, S) says so.

    Strategies must come best first; the first group is `a`.
    """
    count = len(apart)
    groups: list[set[int]] = [set(range(count))]
    for one in range(count):
        for other in range(one + 1, count):
            if apart[one, other]:
                split = [group - {gone} for group in groups for gone in (one, other) if {one, other} <= group]
                groups = [group for group in groups if not {one, other} <= group] + split
                groups = [
                    g for at, g in enumerate(groups) if not any(g < h or (g == h and at > b) for b, h in enumerate(groups))
                ]
    ordered = sorted(groups, key=lambda group: (min(group), sorted(group)))
    names = [ascii_lowercase[at] if at < 26 else f"({at + 1})" for at in range(len(ordered))]
    return ["".join(name for name, group in zip(names, ordered, strict=True) if strategy in group) for strategy in range(count)]


def _freedom(variance: float, between: NDArray[np.float64], seeds: NDArray[np.intp]) -> float:
    """Satterthwaite: only the seeds' share of the variance is known from few draws."""
    doubt = float(sum(r**2 / (k - 1) for r, k in zip(between, seeds, strict=True) if k > 1))
    return float(min(variance**2 / doubt, 1e6)) if doubt > 0 and variance > 0 else 1e6


def _quantile(freedom: float, share: float = 0.5 + LEVEL / 2) -> float:
    """Of Student's t. From scipy.special: scipy.stats takes half a second to import."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
