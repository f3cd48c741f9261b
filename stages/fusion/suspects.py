"""Labels that may be wrong: products whose out-of-fold predictions are sure of another class (Northcutt et al. 2021).

A model that has learnt a product's label only repeats it, so every prediction here comes from a model that has not: logits that
were computed out of fold, or a logistic regression fitted in folds on vectors that no label has shaped. Shapes: n products that
are examined, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.errors import DataError
from fusecat.stages.fusion.late.crossfit import FOLDS, folds
from fusecat.stages.progress import phase
from fusecat.stages.vocabulary import Part

WITHOUT = "no feature has out-of-fold logits, nor vectors that no label has shaped"


@dataclass(frozen=True)
class Suspects:
    """`rows`: of the table, the most suspect first; `suggested` class, `own` and `other`: probability of label and suggestion.

    `used`: features whose predictions were averaged; `examined`: products that one of them speaks of.
    """

    rows: NDArray[np.intp]
    suggested: NDArray[np.intp]
    own: NDArray[np.float64]
    other: NDArray[np.float64]
    used: tuple[str, ...]
    examined: int


def suspects(table: FeatureTable, honest: Sequence[str], *, seed: int = 0) -> Suspects:
    """The suspected labels of the products that heads and networks learn from.

    `honest`: features whose vectors no label of train has shaped (frozen networks, imported vectors of which somebody said so).

    Raises: DataError where no feature gives predictions out of fold.
    """
    rows = table.rows(*(part for part in (Part.TRAIN.value, Part.HEAD.value) if part in table.parts))
    labels = table.labels[rows]
    # copies of a product share a fold: one would tell the label of the other
    fold = folds(labels, None if table.groups is None else table.groups[rows], seed=seed)
    total, voices, used = np.zeros((len(rows), len(table.classes))), np.zeros(len(rows)), []
    for name, feature in table.features.items():
        with phase(f"{name}: predictions out of fold"):
            said = _said(feature, rows, labels, fold, len(table.classes), honest=name in honest)
        if said is None:
            continue
        there = feature.present[rows] & (said.sum(axis=1) > 0)
        total[there] += said[there]
        voices += there
        used.append(name)
    if not used:
        raise DataError(
            f"--labels: {WITHOUT}; extract with --folds or a frozen network, or import vectors and say what they were fitted on"
        )
    heard = np.flatnonzero(voices)
    found, suggested, own, other = confident(total[heard] / voices[heard, None], labels[heard])
    return Suspects(rows[heard[found]], suggested, own, other, tuple(used), len(heard))


def confident(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Confident learning's off-diagonal: products that reach another class's threshold, and which.

    A class's threshold is the mean probability that its own products get: a class that is hard to tell asks for less. Returns
    places, suggested class, probability of the label and of the suggestion, by the gap between them.
    """
    classes = probabilities.shape[1]
    sizes = np.bincount(labels, minlength=classes)
    own = probabilities[np.arange(len(labels)), labels]
    threshold = np.where(sizes > 0, np.bincount(labels, own, classes) / np.maximum(sizes, 1), np.inf)
    reaching = np.where(probabilities >= threshold, probabilities, -1.0)
    suggested = reaching.argmax(axis=1)
    other = reaching[np.arange(len(labels)), suggested]
    places = np.flatnonzero((suggested != labels) & (other > own))
    places = places[np.argsort(own[places] - other[places], kind="stable")]
    return places, suggested[places], own[places].astype(np.float64), other[places].astype(np.float64)


def _said(
    feature: Feature, rows: NDArray[np.intp], labels: NDArray[np.integer], fold: NDArray[np.intp], classes: int, *, honest: bool
) -> NDArray[np.float64] | None:
    """(n, C) probabilities out of fold, rows of zeros where there are none; None where this feature can give none."""
    if feature.logits_oof is not None:
        logits = np.asarray(feature.logits_oof[rows], np.float64)
        spoken = np.abs(logits).max(axis=1) > 0
        return np.where(spoken[:, None], softmax(logits, axis=1), 0.0)
    if not honest:
        return None
    from sklearn.linear_model import LogisticRegression

    present, found = feature.present[rows], np.zeros((len(rows), classes))
    vectors = np.asarray(feature.embedding[rows], np.float32)
    for number in range(FOLDS):
        seen, held = present & (fold != number), present & (fold == number)
        if not held.any() or len(set(labels[seen].tolist())) < 2:
            continue
        centre = vectors[seen].mean(axis=0)
        scale = float(np.sqrt(np.square(vectors[seen] - centre).mean())) or 1.0
        model = LogisticRegression(C=1.0, max_iter=500).fit((vectors[seen] - centre) / scale, labels[seen])
        found[np.ix_(np.flatnonzero(held), model.classes_)] = model.predict_proba((vectors[held] - centre) / scale)
    return found


def by_class(labels: NDArray[np.integer], found: Suspects, classes: Sequence[str]) -> Mapping[str, int]:
    """Type code -> how many of its labels are suspected, the most first; codes without any left out."""
    counts = np.bincount(labels[found.rows], minlength=len(classes))
    return {classes[at]: int(counts[at]) for at in np.argsort(-counts, kind="stable") if counts[at]}
