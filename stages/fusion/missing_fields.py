"""How much does a head lose as more and more products lack a field? It predicts again, nothing is fitted again.

Shapes: n products of a part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.fusion.wiring import field_of
from fusecat.stages.scores import Outcome

if TYPE_CHECKING:
    from fusecat.stages.fusion.predictor import Predictor

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def fields_of(features: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Field -> its features: a product lacks a field for all networks at once."""
    found: dict[str, tuple[str, ...]] = {}
    for name in features:
        found[field_of(name)] = (*found.get(field_of(name), ()), name)
    return found


def without(
    table: FeatureTable, predictors: Mapping[int, "Predictor"], part: str
) -> dict[str, tuple[tuple[Outcome, ...], ...]]:
    """Field -> per share of `SHARES` what each seed's head says where that share of those who have the field lack it.

    Each seed draws its own products; of one seed, who lacks it at a smaller share lacks it at a larger one.
    """
    rows = table.rows(part)
    names = next(iter(predictors.values())).features
    own = {name: _cut(table.features[name], rows) for name in names}
    found = {}
    for field, members in fields_of(names).items():
        having = np.flatnonzero(np.logical_or.reduce([own[name].present for name in members]))
        told = []
        for share in SHARES:
            outcomes = []
            for seed, predictor in predictors.items():
                gone = np.zeros(len(rows), bool)
                gone[np.random.default_rng(seed).permutation(having)[: round(share * len(having))]] = True
                cut = {name: replace(own[name], present=own[name].present & ~gone) for name in members}
                outcomes.append(Outcome.of(predictor.probabilities(own | cut), table.labels[rows]))
            told.append(tuple(outcomes))
        found[field] = tuple(told)
    return found


def _cut(feature: Feature, rows: NDArray[np.intp]) -> Feature:
    """The vectors of these rows alone."""
    return replace(feature, embedding=feature.embedding[rows], present=feature.present[rows], logits=None, logits_oof=None)
