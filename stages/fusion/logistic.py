"""Multinomial logistic regression on the vectors that heads get, tuned: what everybody would fit first, and heads have to beat.

Shapes: n fit rows, m rows of validation, D columns of all features together, C classes.
"""

import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from fusecat.stages.fusion.fit import Fitted
from fusecat.stages.fusion.fit_data import FitData
from fusecat.stages.fusion.fit_settings import DEFAULT, ClassWeights, Scaling
from fusecat.stages.fusion.in_memory import Vectors
from fusecat.stages.fusion.losses import weights_of
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import Metric
from fusecat.stages.scores import Outcome, scores_of
from fusecat.stages.vocabulary import Part

ITERATIONS = 300
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""scikit-learn's C where every feature has a mean square length of 1."""
UNKNOWN = -20.0
"""Below the least bias: the logit of a class that has no fit row, for which the likelihood would say minus infinity."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """What validation chooses; `strength` is one of `STRENGTHS`."""

    strength: float = 10.0
    class_weights: ClassWeights = ClassWeights.ROOT
    scaling: Scaling = Scaling.FEATURE

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """What `record` of a run says."""
        return cls(float(record["strength"]), ClassWeights(record["class_weights"]), Scaling(record["scaling"]))

    @property
    def record(self) -> dict[str, Any]:
        """As it is kept with a run."""
        return asdict(self)


@dataclass(frozen=True)
class Logistic:
    """A fitted regression as a head without a merge, what was chosen, and how many choices were tried."""

    fitted: Fitted
    choice: Choice
    tried: int


def fit_logistic(strategy: Strategy, fit_data: FitData, metric: Metric, *, choice: Choice | None = None) -> Logistic:
    """Fit on the fit rows; strength, class weights and scaling are those with the best `metric` on validation, or `choice`.

    Every strength with every kind of weights; then, with the best kind, a spread of 1 for each column in place of one for each
    feature.
    """
    start = time.perf_counter()
    from threadpoolctl import threadpool_limits

    build, vectors = fit_data.head_of(strategy, DEFAULT)
    assert isinstance(vectors, Vectors), "feasible() leaves out what is read from disk"
    head = build()
    problem = _Problem(fit_data, vectors, head.features, metric)
    with threadpool_limits(1):  # the same bytes however many processes share the work
        best = problem.of(choice) if choice else _search(problem)
    with torch.no_grad():
        head.classifier.weight.copy_(torch.from_numpy(best.weights))
        head.classifier.bias.copy_(torch.from_numpy(best.bias))
    fitted = Fitted(head.eval(), (), len(problem.found), time.perf_counter() - start)
    return Logistic(fitted, best.choice, len(problem.found))


@dataclass(frozen=True)
class _Solution:
    """`weights` (C, D) of the vectors as `FitData` has them, `bias` (C,), and what validation says: more is better."""

    choice: Choice
    weights: Array
    bias: Array
    value: tuple[float, float] = (0.0, 0.0)


class _Problem:
    """The rows, laid side by side, and every choice that was tried."""

    def __init__(self, fit_data: FitData, vectors: Vectors, names: tuple[str, ...], metric: Metric) -> None:
        self.metric, self.classes = metric, len(fit_data.classes)
        self.widths = {name: vectors.views[name].shape[1] for name in names}
        chooses = fit_data.rows.get(Part.VALIDATION, np.empty(0, np.intp))
        self.labels, self.truth = fit_data.labels[fit_data.rows["fit"]], fit_data.labels[chooses]
        views, _ = vectors.batch(torch.from_numpy(np.concatenate([fit_data.rows["fit"], chooses])))
        self.rows: Array = torch.cat([views[name] for name in names], dim=1).double().numpy()
        self.found: dict[Choice, _Solution] = {}
        self.bases: dict[Scaling, _Base] = {}

    def of(self, choice: Choice) -> _Solution:
        """Fit once per choice."""
        if choice not in self.found:
            if choice.scaling not in self.bases:
                self.bases[choice.scaling] = _Base.of(self.rows, len(self.labels), self.widths, choice.scaling)
            self.found[choice] = self._fit(choice, self.bases[choice.scaling])
        return self.found[choice]

    def _fit(self, choice: Choice, base: "_Base") -> _Solution:
        weights, bias = base.solve(self.labels, choice, self.classes)
        solution = _Solution(choice, base.back(weights), bias)
        if not len(self.truth):
            return solution
        chances = softmax(base.rows[len(self.labels) :] @ weights.T + bias, axis=1)
        scores = scores_of(Outcome.of(chances.astype(np.float32), self.truth))
        return replace(solution, value=(self.metric.sign * scores[self.metric.key], -scores["log_loss"]))


@dataclass(frozen=True)
class _Base:
    """The rows as scikit-learn gets them.

    `rows` (n + m, R): where there are fewer fit rows than columns, along the n directions of these, which a penalty on lengths
    cannot tell from all D; `factors` (D,) the scale of each column, `directions` (D, R) the way back.
    """

    rows: Array
    factors: Array
    directions: Array | None

    @classmethod
    def of(cls, rows: Array, fitted: int, widths: Mapping[str, int], scaling: Scaling) -> Self:
        columns = np.ones(rows.shape[1])
        if scaling is Scaling.COLUMN:
            spread = rows[:fitted].std(axis=0)
            columns = 1 / np.where(spread > 0, spread, 1)
        start = 0
        for width in widths.values():
            block = slice(start, start + width)
            length = np.square(rows[:fitted, block] * columns[block]).sum(axis=1)
            # products without the field are zeros, which say nothing of its length
            columns[block] /= np.sqrt(length[length > 0].mean()) if (length > 0).any() else 1.0
            start += width
        scaled = rows * columns
        if fitted >= scaled.shape[1]:
            return cls(scaled, columns, None)
        squares, vectors = np.linalg.eigh(scaled[:fitted] @ scaled[:fitted].T)
        kept = squares > 1e-10 * squares[-1]
        directions = scaled[:fitted].T @ (vectors[:, kept] / np.sqrt(squares[kept]))
        return cls(scaled @ directions, columns, directions)

    def solve(self, labels: NDArray[np.integer], choice: Choice, classes: int) -> tuple[Array, Array]:
        """Weights (C, R) and bias (C,)."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        held = np.unique(labels)
        weights, bias = np.zeros((classes, self.rows.shape[1])), np.full(classes, 0.0)
        counts = torch.from_numpy(np.bincount(labels, minlength=classes)).float()
        rarity = weights_of(choice.class_weights, counts)
        if len(held) > 1:
            model = LogisticRegression(C=choice.strength, max_iter=ITERATIONS)
            with warnings.catch_warnings():
                # what has not converged by then is a fit that was stopped early, and validation has seen it as it is
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(self.rows[: len(labels)], labels, sample_weight=None if rarity is None else rarity.numpy()[labels])
            signs = np.array([[-0.5], [0.5]]) if len(held) == 2 else 1.0  # of two classes it has one row
            weights[held], bias[held] = signs * model.coef_, np.ravel(signs * model.intercept_[:, None])
        bias[np.setdiff1d(np.arange(classes), held)] = bias.min() + UNKNOWN
        return weights, bias

    def back(self, weights: Array) -> Array:
        """(C, R) -> (C, D), for vectors as they came."""
        return (weights if self.directions is None else weights @ self.directions.T) * self.factors


def _search(problem: _Problem) -> _Solution:
    tried = [problem.of(Choice(strength, kind)) for kind in ClassWeights for strength in STRENGTHS]
    kind = max(tried, key=attrgetter("value")).choice.class_weights
    tried += [problem.of(Choice(strength, kind, Scaling.COLUMN)) for strength in STRENGTHS]
    return max(tried, key=attrgetter("value"))
