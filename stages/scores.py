"""Scores over products (never means over batches), from what little of each answer they need.

Shapes: n products, C classes, K classes that occur in the labels, b weightings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.metrics import METRICS


@dataclass(frozen=True)
class Outcome:
    """What one classifier says of n labelled products: all that any metric may look at.

    `labels` (n,) true class; `predicted` (n,) int32 class; `rank` (n,) int32 place of the true class among all, 0 for the most
    probable; `truth` (n,) float32 probability of the true class; `confidence` (n,) float32 probability of the predicted one.
    `weights`: None, or (n, b) weights of the products in b resamples, each of which keeps the total of every class: metrics are
    then (b,) instead of one number.
    """

    labels: NDArray[np.integer]
    predicted: NDArray[np.int32]
    rank: NDArray[np.int32]
    truth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    weights: NDArray[np.floating] | None = None

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> "Outcome":
        """Reduce `probabilities` (n, C) of products whose classes are `labels` (n,); of equal ones the first class leads."""
        rows = np.arange(len(labels))
        predicted = probabilities.argmax(axis=1)
        truth = probabilities[rows, labels]
        # `not <=` instead of `>`: where probabilities are no numbers, the truth is last and not first
        before = ~(probabilities <= truth[:, None])
        before |= (probabilities == truth[:, None]) & (np.arange(probabilities.shape[1]) < labels[:, None])
        return cls(
            labels,
            predicted.astype(np.int32),
            np.count_nonzero(before, axis=1).astype(np.int32),
            truth.astype(np.float32),
            probabilities[rows, predicted].astype(np.float32),
        )

    @classmethod
    def joined(cls, several: Sequence["Outcome"]) -> "Outcome":
        """The products of several outcomes one after the other."""
        names = ("labels", "predicted", "rank", "truth", "confidence")
        return cls(*(np.concatenate([getattr(each, name) for each in several]) for name in names))

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Outcome":
        """Only these products."""
        return Outcome(self.labels[rows], self.predicted[rows], self.rank[rows], self.truth[rows], self.confidence[rows])

    def weighted(self, weights: NDArray[np.floating]) -> "Outcome":
        """The same under (n, b) `weights`."""
        return replace(self, weights=weights)

    def mean(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """The mean of one value per product (n,)."""
        if self.weights is None:
            return np.asarray(values.mean(), np.float64)
        return np.asarray(values.astype(self.weights.dtype) @ self.weights, np.float64) / len(self.labels)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether the predicted class is the true one."""
        return np.asarray(self.predicted == self.labels)

    @property
    def loss(self) -> NDArray[np.float64]:
        """(n,) -log of the truth's probability, clipped at float32's machine epsilon."""
        return np.asarray(-np.log(np.clip(self.truth.astype(np.float64), np.finfo(np.float32).eps, 1)))

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """(K,) products of each class that occurs."""
        return self._all_sizes[self._all_sizes > 0]

    @cached_property
    def recall(self) -> NDArray[np.float64]:
        """(K,) or (K, b): the share of each class's products that is found."""
        return np.asarray(self._counts[0] / self._column)

    @cached_property
    def f1(self) -> NDArray[np.float64]:
        """(K,) or (K, b); over the classes that occur, so that all are averaged over the same ones; 0 if never predicted."""
        hits, claims = self._counts
        return np.asarray(2 * hits / (self._column + claims))

    @cached_property
    def _all_sizes(self) -> NDArray[np.intp]:
        return np.bincount(self.labels, minlength=int(self.predicted.max()) + 1)

    @property
    def _column(self) -> NDArray[np.intp]:
        return self.sizes if self.weights is None else self.sizes[:, None]

    @cached_property
    def _counts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How many products of each class that occurs are found, and how many are said to be of it."""
        known, count, n = self._all_sizes > 0, len(self._all_sizes), len(self.labels)
        hit = np.flatnonzero(self.right)
        if self.weights is None:
            found = np.bincount(self.labels[hit], minlength=count)[known]
            return found.astype(np.float64), np.bincount(self.predicted, minlength=count)[known].astype(np.float64)
        from scipy.sparse import csr_matrix

        column = np.cumsum(known) - 1
        seen = np.flatnonzero(known[self.predicted])
        rows = np.concatenate([column[self.predicted[seen]], column[self.labels[hit]] + len(self.sizes)])
        ones = np.ones(len(rows), self.weights.dtype)
        which = csr_matrix((ones, (rows, np.concatenate([seen, hit]))), shape=(2 * len(self.sizes), n))
        claims, hits = np.split(np.asarray(which @ self.weights, np.float64), 2)
        return hits, claims


def scores(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> dict[str, float]:
    """Score `probabilities` (n, C) against `labels` (n,), indices of classes: key of each metric -> value."""
    return scores_of(Outcome.of(probabilities, labels))


def scores_of(outcome: Outcome) -> dict[str, float]:
    """Key of each metric -> value."""
    return {metric.key: float(metric.of(outcome)) for metric in METRICS.values()}
