"""What each field and each network contributes: Shapley's shares over heads that are fitted again on every subset.

Leaving out one of two networks that know the same costs nothing, of either; their Shapley values (Shapley 1953; for models
Štrumbelj and Kononenko 2010) share what they know. Shapes: P players, n products.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.fit_data import FitData
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.predictions import outcome_of
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.wiring import canonical, field_of, network_of
from fusecat.stages.metrics import Metric
from fusecat.stages.scores import Outcome
from fusecat.stages.vocabulary import Architecture

MOST = 5
"""Players that are looked at together: 31 subsets, each fitted once per seed."""

SEEDS = 2


@dataclass(frozen=True)
class Game:
    """Players, each with its features, and what a strategy of some of them says: one outcome per seed and subset of players."""

    kind: str
    players: Mapping[str, tuple[str, ...]]
    said: Mapping[frozenset[str], tuple[Outcome, ...]]


def groups(features: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """`fields` and `networks` -> player -> its features, where there are two players to `MOST`."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for kind, of in (("fields", field_of), ("networks", network_of)):
        players: dict[str, tuple[str, ...]] = {}
        for name in canonical(features):
            players[of(name) or name] = (*players.get(of(name) or name, ()), name)
        if 2 <= len(players) <= MOST and list(players.values()) not in [list(each.values()) for each in found.values()]:
            found[kind] = players
    return found


def subsets(features: Sequence[str]) -> set[frozenset[str]]:
    """The sets of features that some of the players have together, in either game."""
    return {frozenset(_features(players, some)) for players in groups(features).values() for some in _subsets(players)}


def games(
    fit_data: FitData,
    features: Sequence[str],
    final: str,
    settings: FitSettings,
    metric: Metric,
    judged: Sequence[str],
    *,
    seeds: int = SEEDS,
    held: Mapping[tuple[str, int], Mapping[str, Outcome]] | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, tuple[Game, ...]]:
    """Part -> a game of fields and one of networks, on the same features.

    A subset is merged at once by `final` (flat), a single feature by a linear layer (probe); nobody at all names the commonest
    class. A set of features that both games ask for is fitted once, and none of which `held` says by strategy and seed what its
    head says of each part.
    """
    wanted, sets = groups(features), subsets(features)
    said: dict[frozenset[str], dict[str, list[Outcome]]] = {each: {part: [] for part in judged} for each in sets}
    order = sorted(sets, key=lambda each: (len(each), sorted(each)))
    for at, some in enumerate(order):
        names = canonical(some)
        strategy = (
            Strategy(Architecture.PROBE, feature=names[0])
            if len(names) == 1
            else Strategy(Architecture.FLAT, final=final, subset="+".join(names))
        )
        for seed in range(1, seeds + 1):
            found = (held or {}).get((strategy.name, seed))
            if found is None:
                head = fit_data.fit(strategy, settings, seed=seed, metric=metric).head
                assert set(head.features) == some, f"{strategy.name} takes {head.features}"
                found = {part: fit_data.said(head, fit_data.rows[part]) for part in judged}
            for part in judged:
                said[some][part].append(found[part])
        progress(at + 1, len(order))
    games = {}
    for part in judged:
        labels = fit_data.labels[fit_data.rows[part]]
        nobody = outcome_of(np.tile(fit_data.prior, (len(labels), 1)), labels)
        told = []
        for kind, players in wanted.items():
            by_subset = {some: tuple(said[frozenset(_features(players, some))][part]) for some in _subsets(players)}
            known = {frozenset(): (nobody,) * seeds, **{frozenset(some): each for some, each in by_subset.items()}}
            told.append(Game(kind, players, known))
        games[part] = tuple(told)
    return games


def shapley(players: Iterable[str], value: Mapping[frozenset[str], NDArray[np.floating]]) -> dict[str, NDArray[np.float64]]:
    """Player -> its share of what all have together beyond what nobody has; of arrays, element by element.

    Its gain by joining, averaged over the orders in which all may come. The shares of all add up to the whole gain.
    """
    names = list(players)
    count, found = len(names), {}
    for name in names:
        others = [other for other in names if other != name]
        total = np.zeros_like(np.asarray(value[frozenset()], float))
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - 1 - size) / math.factorial(count)
            for some in map(frozenset, combinations(others, size)):
                total = total + weight * (np.asarray(value[some | {name}], float) - np.asarray(value[some], float))
        found[name] = total
    return found


def _subsets(players: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    for size in range(1, len(players) + 1):
        yield from combinations(players, size)


def _features(players: Mapping[str, tuple[str, ...]], some: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for player in some for name in players[player])
