"""The metrics, one entry each: scores, choices, bootstrap, report, export and prediction iterate over this table.

Imports nothing heavy: command-line choices come from here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusecat.stages.scores import Outcome


@dataclass(frozen=True)
class Metric:
    """What may choose the epoch, the strategy and the ensemble, and what every table shows.

    `name`: the word of the command line and of `study.json`. `shown`: as papers write it. `of`: an `Outcome` -> one number, or
    (b,) where products are weighted in b ways. `sign`: +1 where more is better, -1 where less is. `percent`: a share, shown in
    per cent. `least` and `most`: no score is beyond them (of a correlation, -1 and 1). `recomputed`: the same in scikit-learn's
    words, from arrays `labels` and `predicted` and the `classes` that occur; '' where it takes probabilities. `depth`: how many
    first places of the true class it tells apart.
    """

    name: str
    shown: str
    of: Callable[["Outcome"], Any]
    sign: int = 1
    percent: bool = True
    least: float = 0.0
    most: float = 1.0
    recomputed: str = ""
    depth: int = 1

    @property
    def key(self) -> str:
        """The metric's key in every JSON that is written: `macro_f1`."""
        return self.name.replace("-", "_")

    @property
    def scale(self) -> int:
        """What figures are multiplied by before they are shown."""
        return 100 if self.percent else 1

    @property
    def points(self) -> str:
        """What stands after a difference."""
        return " points" if self.percent else ""

    def figure(self, value: float | None) -> str:
        """A score as people read it: per cent with one decimal, others with three; a dash for what is not known."""
        if value is None:
            return "–"
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def gain(self, difference: float | None) -> str:
        """One score less another, positive where the one is better, whatever the metric; nothing where it is not known."""
        return self.signed(None if difference is None else self.sign * difference)

    def gains(self, low: float, high: float) -> str:
        """An interval of such a difference, `+0.9 to +9.8`, its worse end first."""
        return " to ".join(map(self.gain, (low, high)[:: self.sign]))

    def signed(self, value: float | None) -> str:
        """What is positive already where it is better, with its sign; never -0.0, which would look like a loss."""
        if value is None:
            return ""
        places = 1 if self.percent else 3
        return f"{round(self.scale * value, places) + 0.0:+.{places}f}"

    @property
    def convention(self) -> str:
        """How differences are to be read, where that has to be said."""
        return "" if self.sign > 0 else f"Less {self.shown} is better; differences are shown so that + is better."

    @property
    def ranks(self) -> str:
        """What stands where a table or a picture names it: `log loss, less is better`."""
        return self.shown if self.sign > 0 else f"{self.shown}, less is better"

    def bounded(self, low: float, high: float) -> tuple[float, float]:
        """An interval without what no score can be."""
        return max(low, self.least), min(high, self.most)

    def __str__(self) -> str:
        return self.name


def _macro_f1(outcome: "Outcome") -> Any:
    return outcome.f1.mean(0)


def _weighted_f1(outcome: "Outcome") -> Any:
    return outcome.sizes @ outcome.f1 / len(outcome.labels)


def _accuracy(outcome: "Outcome") -> Any:
    return outcome.mean(outcome.right)


def _balanced_accuracy(outcome: "Outcome") -> Any:
    return outcome.recall.mean(0)


def _top_3_accuracy(outcome: "Outcome") -> Any:
    return outcome.mean(outcome.rank < 3)


def _log_loss(outcome: "Outcome") -> Any:
    return outcome.mean(outcome.loss)


_F1 = 'f1_score(labels, predicted, labels=classes, average="{}", zero_division=0)'

MACRO_F1 = Metric("macro-f1", "macro-F1", _macro_f1, recomputed=_F1.format("macro"))
WEIGHTED_F1 = Metric("weighted-f1", "weighted F1", _weighted_f1, recomputed=_F1.format("weighted"))
ACCURACY = Metric("accuracy", "accuracy", _accuracy, recomputed="accuracy_score(labels, predicted)")
LOG_LOSS = Metric("log-loss", "log loss", _log_loss, sign=-1, percent=False, most=inf)

METRICS = {
    metric.name: metric
    for metric in (
        MACRO_F1,
        WEIGHTED_F1,
        ACCURACY,
        LOG_LOSS,
        Metric(
            "balanced-accuracy",
            "balanced accuracy",
            _balanced_accuracy,
            recomputed='recall_score(labels, predicted, labels=classes, average="macro", zero_division=0)',
        ),
        Metric("top-3-accuracy", "top-3 accuracy", _top_3_accuracy, depth=3),
    )
}
"""Name -> metric, in the order of tables. One more entry is one more metric everywhere."""


def metric_named(name: str) -> Metric:
    """Raises ValueError that lists the names."""
    if name not in METRICS:
        raise ValueError(f"'{name}' is no metric; there are {', '.join(METRICS)}")
    return METRICS[name]
