"""Late fusion over runs instead of networks: greedy ensemble selection and the vote of all fused heads.

Members are read block by block, side by side. Shapes: M members, n products, C classes, K candidates for the largest.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.late.crossfit import folds
from fusecat.stages.fusion.predictions import FLOOR, Parts, Probabilities, blocks, keep, outcome_of
from fusecat.stages.metrics import LOG_LOSS, Metric
from fusecat.stages.scores import Outcome
from fusecat.stages.vocabulary import Part

ROUNDS = 30
"""Draws of the greedy selection; a member may be drawn often, which is its weight."""

Library = Mapping[str, Sequence[Probabilities]]
"""Part -> the probabilities (n, C) of each member."""


def vote(members: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(n, C): each member has one vote; ties go to the larger mean probability."""
    stack = np.stack(members)
    votes = np.zeros(stack.shape[1:])
    for member in stack:
        votes[np.arange(len(member)), member.argmax(1)] += 1
    # the mean adds less than one vote to any class: it breaks ties and nothing else
    return np.asarray((votes + stack.mean(0)) / (len(stack) + 1), np.float32)


class _Contest:
    """All that scores of a weighted sum of members need: of each row the few classes that can be among its `depth` largest.

    Such a class is liked better by some member than the least of the `depth` classes of the largest mean, or as much. And some
    member of M gives it at least 1/M of what its own class at `depth` gets: else the member that weighs most has others in
    front. What a member likes less than `FLOOR` of its own first ties nothing. `values` (M, K), `columns` (K,) their classes,
    `counts` (n,) how many each row has; `truth` (M, n).
    """

    def __init__(self, members: Sequence[Probabilities], labels: NDArray[np.integer], depth: int) -> None:
        self.truth = np.stack([outcome_of(member, labels).truth for member in members]).astype(np.float64)
        self.labels = labels
        depth, share = min(depth, members[0].shape[1]), 1 / min(len(members), ROUNDS)
        counts, columns, values = [], [], []
        for rows in blocks(members[0].shape, len(members)):
            stack = np.stack([member[rows] for member in members])
            best = np.argsort(-stack.mean(0), 1, "stable")[:, :depth]
            least = np.take_along_axis(stack, best[None], 2).min(2, keepdims=True)
            ties = (stack == least) & (least >= FLOOR * stack.max(2, keepdims=True))
            # a little less than the share, for what sums round
            near = stack >= 0.999 * share * np.partition(stack, -depth, axis=2)[:, :, -depth, None]
            chosen = ((stack > least) | ties).any(0) & near.any(0)
            np.put_along_axis(chosen, best, values=True, axis=1)
            places, found = np.nonzero(chosen)
            counts.append(chosen.sum(1))
            columns.append(found)
            values.append(stack[:, places, found])
        self.counts, self.columns = np.concatenate(counts), np.concatenate(columns)
        self.values = np.concatenate(values, axis=1).astype(np.float64)

    def rows(self, chosen: NDArray[np.bool_]) -> "_Contest":
        """The same of some of the products."""
        some, candidates = object.__new__(_Contest), np.repeat(chosen, self.counts)
        some.labels, some.truth, some.counts = self.labels[chosen], self.truth[:, chosen], self.counts[chosen]
        some.columns, some.values = self.columns[candidates], self.values[:, candidates]
        return some

    def outcome(self, values: NDArray[np.float64], truth: NDArray[np.float64]) -> Outcome:
        """What a sum says, given that of the candidates (K,) and of the truths (n,); a rank is exact if below `depth`."""
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        largest = np.maximum.reduceat(values, starts)
        # of what is no number the first leads, as in `argmax`
        first = np.where(values < np.repeat(largest, self.counts), np.iinfo(np.int32).max, self.columns)
        own, label = np.repeat(truth, self.counts), np.repeat(self.labels, self.counts)
        before = (~(values <= own) | ((values == own) & (self.columns < label))) & (self.columns != label)
        rank = np.add.reduceat(before.astype(np.int32), starts)
        predicted = np.minimum.reduceat(first, starts).astype(np.int32)
        return Outcome(self.labels, predicted, rank, truth.astype(np.float32), largest.astype(np.float32))


def select(members: Sequence[Probabilities], labels: NDArray[np.integer], metric: Metric) -> NDArray[np.float64]:
    """Weights (M,) by greedy forward selection with replacement.

    Source: Caruana et al. 2004, "Ensemble selection from libraries of models", sections 2 and 2.1: begin with the best member,
    then always add the one with which the average is best. The best average on the way is kept; ties go to the lower log loss.
    """
    return _select(_Contest(members, labels, metric.depth), metric)


def _select(contest: _Contest, metric: Metric) -> NDArray[np.float64]:
    counts = np.zeros(len(contest.values))
    candidates, truth = np.zeros(contest.values.shape[1]), np.zeros(len(contest.labels))
    best, kept = (-np.inf, -np.inf), counts
    for drawn in range(1, ROUNDS + 1):
        marks = []
        for value, own in zip(contest.values, contest.truth, strict=True):
            outcome = contest.outcome((candidates + value) / drawn, (truth + own) / drawn)
            marks.append((metric.sign * float(metric.of(outcome)), -float(LOG_LOSS.of(outcome))))
        chosen = max(range(len(marks)), key=lambda place: marks[place])
        counts = counts.copy()
        counts[chosen] += 1
        candidates, truth = candidates + contest.values[chosen], truth + contest.truth[chosen]
        if marks[chosen] > best:
            best, kept = marks[chosen], counts
    return np.asarray(kept / kept.sum())


def mix(members: Sequence[NDArray[np.float32]], weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, C): the weighted mean."""
    mixed = sum(weight * member for weight, member in zip(weights, members, strict=True) if weight)
    return np.asarray(mixed, np.float32)


def voted(library: Library, labels: Mapping[str, NDArray[np.integer]]) -> Parts:
    """The vote of all members in each part."""
    found = {}
    for part, members in library.items():
        outcomes = [outcome_of(member, labels[part]) for member in members]
        votes = sum((outcome.predicted == labels[part]).astype(np.float64) for outcome in outcomes)
        truth = (votes + np.stack([outcome.truth for outcome in outcomes]).mean(0)) / (len(members) + 1)
        each = (vote([member[rows] for member in members]) for rows in blocks(members[0].shape, len(members)))
        found[part] = keep(each, labels[part], members[0].shape[1], truth)
    return found


def mean_of_present(members: Sequence[NDArray[np.float32]], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, C): the mean over those members whose feature a product has, `present` (n, M); over all where it has none."""
    return np.asarray(sum(share[:, None] * member for share, member in zip(_shares(present), members, strict=True)), np.float32)


def _shares(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(M, n) equal shares of what each product has, (n, M)."""
    shares = (present | ~present.any(axis=1, keepdims=True)).astype(np.float64)
    return np.asarray((shares / shares.sum(axis=1, keepdims=True)).T)


def means_of_present(
    library: Library, labels: Mapping[str, NDArray[np.integer]], present: Mapping[str, NDArray[np.bool_]]
) -> Parts:
    """`mean_of_present` in each part."""
    found = {}
    for part, members in library.items():
        known = np.stack([outcome_of(member, labels[part]).truth for member in members])
        truth = (_shares(present[part]) * known).sum(axis=0)
        each = (
            mean_of_present([member[rows] for member in members], present[part][rows])
            for rows in blocks(members[0].shape, len(members))
        )
        found[part] = keep(each, labels[part], members[0].shape[1], truth)
    return found


def cross_fitted_selection(
    library: Library, labels: Mapping[str, NDArray[np.integer]], metric: Metric, groups: NDArray[np.intp] | None = None
) -> tuple[NDArray[np.float64], Parts]:
    """Weights from all of validation, and predictions: of validation by weights from the other folds, of the rest by these.

    `groups`: copies among the validation products share a number, and a fold.
    """
    members, truth = library[Part.VALIDATION], labels[Part.VALIDATION]
    contest, fold = _Contest(members, truth, metric.depth), folds(truth, groups)
    by_fold = {number: _select(contest.rows(fold != number), metric) for number in np.unique(fold).tolist()}
    weights = _select(contest, metric)
    found = {}
    for part, held in library.items():
        own, chosen = (fold, by_fold) if part == Part.VALIDATION else (np.zeros(len(labels[part]), np.intp), {0: weights})
        sure = np.concatenate(list(_mixed([outcome_of(member, labels[part]).truth[:, None] for member in held], own, chosen)))
        found[part] = keep(_mixed(held, own, chosen), labels[part], held[0].shape[1], sure[:, 0])
    return weights, found


def _mixed(
    members: Sequence[Probabilities], fold: NDArray[np.intp], weights: Mapping[int, NDArray[np.float64]]
) -> Iterator[NDArray[np.float32]]:
    """The weighted mean, block after block, each row by the weights of its fold."""
    for rows in blocks(members[0].shape, len(members)):
        several, own = [member[rows] for member in members], fold[rows]
        found = np.empty_like(several[0])
        for number in np.unique(own).tolist():
            found[own == number] = mix([member[own == number] for member in several], weights[number])
        yield found
