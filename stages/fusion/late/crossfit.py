"""Where a late fusion method may learn, and how its validation predictions stay honest.

Shapes: N products of the table, n of a part, C classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature
from fusecat.stages.fusion.late.method import LateMethod
from fusecat.stages.fusion.late.modality_logits import Opinions, gather, together
from fusecat.stages.fusion.predictions import Parts, keep
from fusecat.stages.vocabulary import Part

FOLDS = 5
CROSS_FITTED = "cross-fitted on validation: its validation figures are out-of-fold"
ON_HEAD = "fitted on head rows, which no network has seen"
OUT_OF_FOLD = "fitted on out-of-fold logits of train"


@dataclass(frozen=True)
class LateFit:
    """A fitted method, its predictions of each part, the parts it was fitted on, and one sentence about it."""

    method: LateMethod
    probabilities: Parts
    fitted_on: tuple[str, ...]
    note: str


def folds(labels: NDArray[np.integer], groups: NDArray[np.intp] | None = None, *, seed: int = 0) -> NDArray[np.intp]:
    """(n,) fold of each row: each class is dealt out evenly at random; one smaller than their number misses some folds.

    `groups` (n,): rows of one number are copies of each other and go where the first of them goes.
    """
    random = np.random.default_rng(seed)
    found = np.empty(len(labels), np.intp)
    start = 0
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        found[rows] = (start + np.arange(len(rows))) % FOLDS
        # the next class goes on where this one ended, so that folds stay equally large
        start += len(rows)
    if groups is not None:
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        found = found[first][group]
    return found


def learns_from(features: Mapping[str, Feature], names: Sequence[str], rows: Mapping[str, NDArray[np.intp]]) -> Part:
    """What a method learns from: head rows that no network has seen, else train by out-of-fold logits, else validation.

    `rows`: part -> row numbers, `train` and `head` where they exist.
    """
    # a network of unknown history (imported vectors) may have seen the head rows
    unseen = all(features[name].fitted_on is not None and Part.HEAD not in (features[name].fitted_on or ()) for name in names)
    if len(rows.get(Part.HEAD, ())) and unseen:
        return Part.HEAD
    if len(rows.get(Part.TRAIN, ())) and all(features[name].logits_oof is not None for name in names):
        return Part.TRAIN
    return Part.VALIDATION


def fit_late(
    make: Callable[[], LateMethod],
    features: Mapping[str, Feature],
    names: Sequence[str],
    labels: NDArray[np.integer],
    rows: Mapping[str, NDArray[np.intp]],
    groups: NDArray[np.intp] | None = None,
) -> LateFit:
    """Fit a method where it may (see `learns_from`).

    `groups` (N,): copies of a product share a number. On validation it is cross-fitted: what it says of a validation product
    was learnt from the other folds, which hold no copy of it; what it says of test, from all of validation.
    """
    parts = [part for part in (Part.VALIDATION.value, Part.TEST.value) if part in rows]
    seen = {part: gather(features, names, rows[part]) for part in parts}
    method = make()
    if not method.learns:
        return LateFit(method, _predictions(method, seen, labels, rows), (), "")
    part = learns_from(features, names, rows)
    if part is Part.VALIDATION:
        return _cross_fit(make, seen, labels, rows, groups)
    method.fit(gather(features, names, rows[part], oof=part is Part.TRAIN), labels[rows[part]])
    fitted_on, note = (part.value,), ON_HEAD if part is Part.HEAD else OUT_OF_FOLD
    return LateFit(method, _predictions(method, seen, labels, rows), fitted_on, note)


def _predictions(
    method: LateMethod, seen: Mapping[str, Opinions], labels: NDArray[np.integer], rows: Mapping[str, NDArray[np.intp]]
) -> Parts:
    return {
        part: keep(method.predict_blocks(opinions), labels[rows[part]], len(method.prior)) for part, opinions in seen.items()
    }


def fit_on_all(
    make: Callable[[], LateMethod],
    features: Mapping[str, Feature],
    names: Sequence[str],
    labels: NDArray[np.integer],
    rows: Mapping[str, NDArray[np.intp]],
) -> tuple[LateMethod, tuple[str, ...]]:
    """Fit a method on every row that tells how networks do on what they have not seen, validation and test included.

    Of a part that some network has seen, or may have seen, its out-of-fold logits serve where all have them. Returns the method
    and the parts that it learnt from, () for one that learns nothing.
    """
    method = make()
    if not method.learns:
        return method, ()
    complete = all(features[name].logits_oof is not None for name in names)
    found: dict[str, Opinions] = {}
    for part, held in rows.items():
        if all(_unseen(features[name], part) for name in names):
            found[part] = gather(features, names, held)
        elif part == Part.TRAIN and complete:
            found[part] = gather(features, names, held, oof=True)
    if found:
        method.fit(together(list(found.values())), np.concatenate([labels[rows[part]] for part in found]))
    return method, tuple(found)


def _unseen(feature: Feature, part: str) -> bool:
    """Whether the network was not fitted on a part; of unknown history, it is taken to have spared what scores are told on."""
    seen = (Part.TRAIN, Part.HEAD) if feature.fitted_on is None else feature.fitted_on
    return part not in seen


def _cross_fit(
    make: Callable[[], LateMethod],
    seen: Mapping[str, Opinions],
    labels: NDArray[np.integer],
    rows: Mapping[str, NDArray[np.intp]],
    groups: NDArray[np.intp] | None,
) -> LateFit:
    validation, truth = seen[Part.VALIDATION], labels[rows[Part.VALIDATION]]
    fold = folds(truth, None if groups is None else groups[rows[Part.VALIDATION]])
    methods: dict[int, LateMethod] = {}
    for number in np.unique(fold).tolist():
        inside = np.flatnonzero(fold != number)
        methods[number] = make()
        methods[number].fit(validation.rows(inside), truth[inside])
    final = make()
    final.fit(validation, truth)
    others = {part: opinions for part, opinions in seen.items() if part != Part.VALIDATION}
    found = keep(_out_of_fold(methods, fold, validation), truth, len(final.prior))
    probabilities = {Part.VALIDATION.value: found, **_predictions(final, others, labels, rows)}
    return LateFit(final, probabilities, (Part.VALIDATION.value,), CROSS_FITTED)


def _out_of_fold(
    methods: Mapping[int, LateMethod], fold: NDArray[np.intp], opinions: Opinions
) -> Iterator[NDArray[np.float32]]:
    """What the method that has not seen a product says of it, block after block."""
    start = 0
    for block in opinions.blocks():
        own = fold[start : start + len(block)]
        found = np.empty((len(block), block.logits.shape[2]), np.float32)
        for number in np.unique(own).tolist():
            outside = np.flatnonzero(own == number)
            found[outside] = methods[number].predict(block.rows(outside))
        yield found
        start += len(block)
