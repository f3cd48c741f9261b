"""Late fusion over runs instead of networks: greedy ensemble selection and the vote of all fused heads.

Shapes: M members, n products, C classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.late.crossfit import FOLDS, folds
from fusecat.stages.metrics import LOG_LOSS, Metric
from fusecat.stages.scores import Outcome
from fusecat.stages.vocabulary import Part

ROUNDS = 30
"""Draws of the greedy selection; a member may be drawn often, which is its weight."""

Library = Mapping[str, Sequence[NDArray[np.float32]]]
"""Part -> the probabilities (n, C) of each member."""


def vote(members: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(n, C): each member has one vote; ties go to the larger mean probability."""
    stack = np.stack(members)
    votes = np.zeros(stack.shape[1:])
    for member in stack:
        votes[np.arange(len(member)), member.argmax(1)] += 1
    # the mean adds less than one vote to any class: it breaks ties and nothing else
    return np.asarray((votes + stack.mean(0)) / (len(stack) + 1), np.float32)


def select(members: Sequence[NDArray[np.float32]], labels: NDArray[np.integer], metric: Metric) -> NDArray[np.float64]:
    """Weights (M,) by greedy forward selection with replacement.

    Source: Caruana et al. 2004, "Ensemble selection from libraries of models", sections 2 and 2.1: begin with the best member,
    then always add the one with which the average is best. The best average on the way is kept; ties go to the lower log loss.
    """
    counts = np.zeros(len(members))
    total = np.zeros_like(members[0], dtype=np.float64)
    best, kept = (-np.inf, -np.inf), counts
    for drawn in range(1, ROUNDS + 1):
        marks = [_value(labels, (total + member) / drawn, metric) for member in members]
        chosen = max(range(len(members)), key=lambda place: marks[place])
        counts = counts.copy()
        counts[chosen] += 1
        total = total + members[chosen]
        if marks[chosen] > best:
            best, kept = marks[chosen], counts
    return np.asarray(kept / kept.sum())


def mix(members: Sequence[NDArray[np.float32]], weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, C): the weighted mean."""
    mixed = sum(weight * member for weight, member in zip(weights, members, strict=True) if weight)
    return np.asarray(mixed, np.float32)


def cross_fitted_selection(
    library: Library, labels: NDArray[np.integer], metric: Metric
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float32]]]:
    """Weights from all of validation, and predictions: of validation by weights from the other folds, of the rest by these."""
    members = library[Part.VALIDATION]
    fold = folds(labels)
    found = np.zeros_like(members[0])
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(outside):
            weights = select([member[inside] for member in members], labels[inside], metric)
            found[outside] = mix([member[outside] for member in members], weights)
    weights = select(members, labels, metric)
    others = {part: mix(held, weights) for part, held in library.items() if part != Part.VALIDATION}
    return weights, {Part.VALIDATION.value: found, **others}


def _value(labels: NDArray[np.integer], probabilities: NDArray[np.floating], metric: Metric) -> tuple[float, float]:
    outcome = Outcome.of(probabilities, labels)
    return metric.sign * float(metric.of(outcome)), -float(LOG_LOSS.of(outcome))
