"""What classifies new products: the heads of one strategy, the networks that they need, and the names of the classes.

Shapes: n products, C classes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.store import FeatureCache
from cache.table import Feature
from stages.errors import ModelError
from stages.heads.late.saved import TrainedEnsemble
from stages.heads.saved import Predictor, Shared, TrainedHead, load
from stages.heads.unimodal import prior
from stages.prediction.taught import Taught
from stages.runs import Products, Runs
from stages.workspace import Workspace


@dataclass(frozen=True)
class Shape:
    """What the heads take of a feature: vectors of `width` D, kept as `storage` (float16, float32); class logits, if wanted."""

    width: int
    storage: str
    logits: bool


@dataclass(frozen=True)
class Model:
    """One strategy, ready to use.

    `predictors`: seed -> head; their probabilities are averaged. `shapes`: every feature that they need; `taught`: those of
    them that a network here computes, the vectors of the others have to be brought. `prior` (C,): share of each class among the
    products that the heads were fitted on, which is all that can be said of a product with nothing in it. `fitted_on`: parts of
    the study. `card`: what is worth telling of it (scores, data), as JSON. `reading`: how the study's catalogue was read.
    """

    strategy: str
    classes: tuple[str, ...]
    predictors: Mapping[int, Predictor]
    shapes: Mapping[str, Shape]
    taught: Mapping[str, Taught]
    prior: NDArray[np.float32]
    fitted_on: tuple[str, ...]
    class_names: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_runs(
        cls,
        place: Workspace,
        strategy: str,
        seeds: Sequence[int],
        *,
        class_names: Mapping[str, str],
        heads: Path | None = None,
        fitted_on: Sequence[str] = (),
        brought: Collection[str] = (),
    ) -> "Model":
        """The heads of these runs of a workspace, and its networks.

        `heads`: the folder of the seeds' heads where it is not that of the runs (`refit`), then `fitted_on` says on what.
        `brought`: features whose vectors will be brought, so that no network is looked for.
        Raises: ModelError where a head or a run is missing, or a network was taught again since.
        """
        runs = Runs(place.runs)
        products = runs.products()
        predictors = {}
        for seed in seeds:
            run = runs.read(strategy, seed)
            if run is None:
                message = f"{runs.path(strategy, seed)}: there is no such run; 'fusecat report' lists what there is"
                raise ModelError(message)
            predictors[seed] = load(heads / f"seed-{seed}" if heads else runs.path(strategy, seed))
            fitted_on = fitted_on or run.fitted_on
        needed = sorted({name for predictor in predictors.values() for name in predictor.features})
        opinions = {name for predictor in predictors.values() for name in _opinions(predictor)}
        classes = products.classes
        found = {name: Taught.in_workspace(place, name, classes) for name in needed if name not in brought}
        return cls(
            strategy=strategy,
            classes=classes,
            predictors=predictors,
            shapes={name: _shape(place, name, logits=name in opinions) for name in needed},
            taught={name: taught for name, taught in found.items() if taught is not None},
            prior=class_shares(products, fitted_on),
            fitted_on=tuple(fitted_on),
            class_names=dict(class_names),
        )

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """(n, C): the mean over the seeds, added up as the report does it."""
        features = Shared(features)
        found = [predictor.probabilities(features) for predictor in self.predictors.values()]
        total = found[0].astype(np.float32)
        for each in found[1:]:
            total = total + each
        return total / np.float32(len(found))


def _shape(place: Workspace, feature: str, *, logits: bool) -> Shape:
    """As the feature of the workspace is."""
    with FeatureCache(place.features).open(feature) as file:
        embedding = file.header.digests["embedding"]
    return Shape(int(embedding["shape"][1]), "float16" if embedding["dtype"] == "<f2" else "float32", logits)


def _opinions(predictor: Predictor) -> set[str]:
    """The features whose logits a predictor looks at."""
    if isinstance(predictor, TrainedEnsemble):
        return {name for member in predictor.members.values() for name in _opinions(member)}
    return set() if isinstance(predictor, TrainedHead) else set(predictor.features)


def class_shares(products: Products, parts: Sequence[str]) -> NDArray[np.float32]:
    """(C,) share of each class among the products of these parts, or of train where a strategy was fitted on nothing."""
    rows = np.concatenate([products.rows(part) for part in parts or ("train",) if part in products.parts])
    return prior(products.labels[rows], len(products.classes))
