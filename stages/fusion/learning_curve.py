"""How much more would labels bring? A strategy's head fitted again on a part of the labelled products.

Shapes: n products of the judged part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.fit_data import FitData
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import Metric
from fusecat.stages.scores import Outcome

SHARES = (0.1, 0.2, 0.5, 1.0)
REPETITIONS = 3

Told = Callable[[int, int], None]
"""Called after each fit with how many are done and how many there are."""


@dataclass(frozen=True)
class Point:
    """`labels` products that a head was fitted on, and what it says of the judged part, one outcome per repetition."""

    share: float
    labels: int
    outcomes: tuple[Outcome, ...]


def learning_curve(
    fit_data: FitData,
    strategy: Strategy,
    settings: FitSettings,
    metric: Metric,
    judged: str,
    progress: Told,
    held: Mapping[int, Outcome],
) -> tuple[Point, ...]:
    """Fit the strategy on `SHARES` of the fit rows, each class in its share (at least one product of it).

    Each repetition has its own seed and its own draw; within one, a smaller set lies inside the larger. Validation chooses the
    epoch, as in every run. Columns are standardised as over all fit rows, which asks for no label. `held`: seed -> what a head
    that was fitted on all of them says, which is not fitted again.
    """
    rows, done = fit_data.rows["fit"], 0
    points = []
    for share in SHARES:
        outcomes, size = [], 0
        for seed in range(1, REPETITIONS + 1):
            kept = part_of(rows, fit_data.labels[rows], share, seed)
            if len(kept) == len(rows) and seed in held:
                outcomes.append(held[seed])
            else:
                some = FitData(**{**vars(fit_data), "rows": {**fit_data.rows, "fit": kept}})
                head = some.fit(strategy, settings, seed=seed, metric=metric).head
                outcomes.append(fit_data.said(head, fit_data.rows[judged]))
            size, done = len(kept), done + 1
            progress(done, len(SHARES) * REPETITIONS)
        points.append(Point(share, size, tuple(outcomes)))
    return tuple(points)


def part_of(rows: NDArray[np.intp], labels: NDArray[np.integer], share: float, seed: int) -> NDArray[np.intp]:
    """Such a share of each class's rows, at least one, in order; of one seed, a smaller share lies inside a larger one."""
    if share >= 1:
        return rows
    random, kept = np.random.default_rng(seed), []
    for label in np.unique(labels):
        own = random.permutation(rows[labels == label])
        kept.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(kept))


def doubled(labels: Sequence[int], errors: NDArray[np.floating]) -> NDArray[np.float64]:
    """The error at twice the most labels, if it goes on falling as a power of their number (Hestness et al. 2017).

    `errors` (P,) or (P, B), at `labels` (P,) products: a line through the logarithms of all but the first point, where
    curves are not yet straight. An error of 0 stays 0.
    """
    x = np.log(np.asarray(labels[1:], float))
    y = np.log(np.maximum(np.asarray(errors, float)[1:], 1e-9))
    centred = x - x.mean()
    slope = np.tensordot(centred, y - y.mean(axis=0), 1) / (centred**2).sum()
    # from the last point on: what was measured there is better known than the line
    return np.asarray(np.exp(y[-1] + np.minimum(slope, 0.0) * np.log(2)))
