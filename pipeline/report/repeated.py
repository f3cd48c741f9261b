"""What is known of a mean over repeated studies: over networks on one test set, over splits, over catalogues.

Shapes: U units, W workspaces, n products, B resamples.

A unit is what is drawn anew: a catalogue, else a split of it. Workspaces of one unit are averaged first.

* Catalogues are independent: V = s^2 / U, Student's t with U - 1 degrees of freedom.
* Splits of one catalogue share most of their products, so their figures vary less than those of new products would:
  V = (1 / U + n_judged / n_fit) s^2 (Nadeau and Bengio 2003, "Inference for the generalization error", section 3).
* Networks of several seeds on one test set (U = 1) say nothing of other products between them. The products come from the
  bootstrap of the mean over networks, the networks from their spread: V = Var_boot + s^2 / W.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.comparison import Comparison
from fusecat.pipeline.report.results import Candidate
from fusecat.pipeline.report.statistics import RESAMPLES, Difference, Estimates, bootstrap
from fusecat.stages.vocabulary import Part

FITTED = (Part.TRAIN.value, Part.HEAD.value)


class Over(StrEnum):
    """What a pool's studies differ in."""

    NETWORKS = "networks"
    SPLITS = "splits"
    CATALOGUES = "catalogues"


@dataclass(frozen=True)
class Repeated:
    """`values` (S, W): the metric of each strategy in each workspace; `units`: the workspaces of each unit.

    `share`: judged products per fitted one (0 for catalogues); `draws` (S, W, B): resampled values where there is one unit.
    """

    over: Over
    values: NDArray[np.float64]
    units: tuple[tuple[int, ...], ...]
    share: float
    draws: NDArray[np.float64] | None

    @classmethod
    def of(cls, comparisons: Sequence[Comparison], strategies: Sequence[str], *, resamples: int = RESAMPLES) -> "Repeated":
        """What these comparisons say of these strategies, which all of them have."""
        values = np.array([[_mean(comparison, name) for comparison in comparisons] for name in strategies])
        units = _alike([frozenset(products(comparison).items()) for comparison in comparisons])
        if len(units) > 1:
            return cls(Over.CATALOGUES, values, units, 0.0, None)
        units = _alike([frozenset(_judged_ids(comparison)) for comparison in comparisons])
        share = float(np.mean([_share(comparison) for comparison in comparisons]))
        if len(units) > 1:
            return cls(Over.SPLITS, values, units, share, None)
        return cls(Over.NETWORKS, values, units, share, _draws(comparisons, strategies, resamples))

    @property
    def by_unit(self) -> NDArray[np.float64]:
        """(S, U): the mean of each unit's workspaces."""
        return np.stack([self.values[:, unit].mean(axis=1) for unit in map(list, self.units)], axis=1)

    def mean(self, strategy: int) -> Difference:
        """A strategy's expected score, with its interval (`p` is against 0)."""
        return self._known(self.values[strategy], None if self.draws is None else self.draws[strategy])

    def difference(self, one: int, other: int) -> Difference:
        """Strategy `one` less strategy `other`, paired by workspace."""
        draws = None if self.draws is None else self.draws[one] - self.draws[other]
        return self._known(self.values[one] - self.values[other], draws)

    def choosing(self, ones: Sequence[int], others: Sequence[int]) -> Difference:
        """In each workspace its own two strategies (W,): what it chose less what that was held against there."""
        at = np.arange(self.values.shape[1])
        draws = None if self.draws is None else self.draws[list(ones), at] - self.draws[list(others), at]
        return self._known(self.values[list(ones), at] - self.values[list(others), at], draws)

    def of_seeds(self, strategy: int, deviations: Sequence[tuple[float, int]]) -> float | None:
        """Share of a strategy's variance between units that its seeds explain, given each workspace's (sd, seeds)."""
        # of two units a variance says next to nothing
        spread = self.by_unit[strategy].var(ddof=1) if len(self.units) > 2 else 0.0
        if not spread or not all(seeds > 1 for _, seeds in deviations):
            return None
        within = [np.mean([deviations[at][0] ** 2 / deviations[at][1] for at in unit]) / len(unit) for unit in self.units]
        return min(1.0, float(np.mean(within) / spread))

    def _known(self, values: NDArray[np.float64], draws: NDArray[np.float64] | None) -> Difference:
        """Of `values` (W,), paired by workspace and so one variable whose doubt is told whole."""
        if draws is not None:
            nothing = np.zeros_like(values), np.zeros_like(draws)
            return Estimates.of([values, nothing[0]], [draws, nothing[1]]).difference(0, 1)
        units = np.array([values[list(unit)].mean() for unit in self.units])
        between = units.var(ddof=1) * (1 / len(units) + self.share)
        # no products to resample: the whole variance is that between units, as that between seeds would be
        return Estimates(
            np.array([units.mean(), 0.0]), np.zeros((2, 2)), np.array([between, 0.0]), np.array([len(units)] * 2)
        ).difference(0, 1)


def products(comparison: Comparison) -> dict[str, str]:
    """Id -> type code of every product; '' where it has none."""
    known = comparison.study.products
    codes = [known.classes[label] if label >= 0 else "" for label in known.labels]
    return dict(zip(map(str, known.ids), codes, strict=True))


def _alike(things: Sequence[frozenset[object]]) -> tuple[tuple[int, ...], ...]:
    """Places of equal things, in the order in which they first occur."""
    found: dict[frozenset[object], list[int]] = {}
    for place, thing in enumerate(things):
        found.setdefault(thing, []).append(place)
    return tuple(tuple(places) for places in found.values())


def _mean(comparison: Comparison, strategy: str) -> float:
    return comparison.row(strategy).parts[comparison.report_part][comparison.metric.key].mean


def _judged_ids(comparison: Comparison) -> list[str]:
    known = comparison.study.products
    return [str(name) for name in known.ids[known.rows(comparison.report_part)]]


def _share(comparison: Comparison) -> float:
    known = comparison.study.products
    fitted = sum(len(known.rows(part)) for part in FITTED if part in known.parts)
    return len(known.rows(comparison.report_part)) / max(fitted, 1)


def _draws(comparisons: Sequence[Comparison], strategies: Sequence[str], resamples: int) -> NDArray[np.float64]:
    """(S, W, B): the mean over seeds under the same resamples of the one test set."""
    first = comparisons[0]
    number = {code: place for place, code in enumerate(first.study.products.classes)}
    labels, place = first.study.labels(first.report_part), np.argsort(np.argsort(_judged_ids(first)))
    found = np.empty((len(strategies), len(comparisons), resamples))
    for column, comparison in enumerate(comparisons):
        # the same products in the same order, whatever order and class numbers a workspace has
        own = np.argsort(_judged_ids(comparison))[place]
        classes = np.array([number[code] for code in comparison.study.products.classes])
        candidates: list[Candidate] = [comparison.row(name).candidate for name in strategies]
        outcomes = [outcome.take(own) for candidate in candidates for outcome in candidate.outcomes[comparison.report_part]]
        known = [replace(outcome, labels=labels, predicted=classes[outcome.predicted]) for outcome in outcomes]
        drawn = bootstrap(known, resamples, metrics=(first.metric,))[first.metric.key]
        cuts = np.cumsum([len(candidate.seeds) for candidate in candidates])[:-1]
        found[:, column] = [block.mean(axis=0) for block in np.split(drawn, cuts)]
    return found
