"""What classifies new products: the heads of one strategy, the networks that they need, and the names of the classes.

Shapes: n products, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.table import Feature
from stages.errors import ModelError
from stages.heads.saved import Predictor, load
from stages.heads.unimodal import prior
from stages.prediction.taught import Taught
from stages.runs import Products, Runs
from stages.workspace import Workspace


@dataclass(frozen=True)
class Model:
    """One strategy, ready to use.

    `predictors`: seed -> head; their probabilities are averaged. `prior` (C,): share of each class among the products that the
    heads were fitted on, which is all that can be said of a product with nothing in it. `fitted_on`: parts of the study.
    `card`: what is worth telling of it (scores, data), as JSON.
    """

    strategy: str
    classes: tuple[str, ...]
    predictors: Mapping[int, Predictor]
    taught: Mapping[str, Taught]
    prior: NDArray[np.float32]
    fitted_on: tuple[str, ...]
    class_names: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

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
    ) -> "Model":
        """The heads of these runs of a workspace, and its networks.

        `heads`: the folder of the seeds' heads where it is not that of the runs (`refit`), then `fitted_on` says on what.
        Raises: ModelError where a head, a network or a run is missing.
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
        classes = products.classes
        return cls(
            strategy=strategy,
            classes=classes,
            predictors=predictors,
            taught={name: Taught.in_workspace(place, name, classes) for name in needed},
            prior=class_shares(products, fitted_on),
            fitted_on=tuple(fitted_on),
            class_names=dict(class_names),
        )

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """(n, C): the mean over the seeds, added up as the report does it."""
        found = [predictor.probabilities(features) for predictor in self.predictors.values()]
        total = found[0].astype(np.float32)
        for each in found[1:]:
            total = total + each
        return total / np.float32(len(found))


def class_shares(products: Products, parts: Sequence[str]) -> NDArray[np.float32]:
    """(C,) share of each class among the products of these parts, or of train where a strategy was fitted on nothing."""
    rows = np.concatenate([products.rows(part) for part in parts or ("train",) if part in products.parts])
    return prior(products.labels[rows], len(products.classes))
