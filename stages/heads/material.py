"""Everything that a run reads, gathered once from the table and shared by all runs.

Shapes: N products, C classes, W a feature's own width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cache.table import Feature, FeatureTable
from stages.errors import DataError
from stages.heads.data import Statistics, Vectors, identity, statistics, vectors
from stages.heads.unimodal import prior
from stages.vocabulary import Part

EVALUATED = (Part.VALIDATION.value, Part.TEST.value)


@dataclass(frozen=True)
class Material:
    """What runs share.

    `vectors` are standardised by `scaling`; `rows`: `fit`, `validation`, `test` -> row numbers (a part that is not there is
    absent); `prior` (C,) is the share of each class among the fit rows.
    """

    features: Mapping[str, Feature]
    vectors: Vectors
    scaling: Statistics
    labels: NDArray[np.int32]
    rows: Mapping[str, NDArray[np.intp]]
    prior: NDArray[np.float32]
    classes: tuple[str, ...]
    fitted_on: tuple[str, ...]

    @property
    def parts(self) -> dict[str, NDArray[np.intp]]:
        """The rows of validation and test, as far as they exist."""
        return {part: self.rows[part] for part in EVALUATED if part in self.rows}


def gather(table: FeatureTable, features: Sequence[str], fit_on: Sequence[str], *, standardise: bool) -> Material:
    """Choose the rows and standardise the vectors of these features.

    Raises: DataError where no labelled product is left to fit on, or none to choose on.
    """
    held = [part for part in fit_on if part in table.parts and len(table.rows(part))]
    if not held:
        message = f"no labelled product is in {' or '.join(fit_on)}; extract with a head share, or fit on train"
        raise DataError(message)
    rows = {"fit": table.rows(*held)}
    for part in EVALUATED:
        if part in table.parts and len(table.rows(part)):
            rows[part] = table.rows(part)
    if Part.VALIDATION not in rows:
        message = "no labelled product is in validation, so nothing can choose an epoch or a strategy"
        raise DataError(message)
    widths = {name: table.features[name].width for name in features}
    scaling = statistics(table, features, rows["fit"]) if standardise else identity(widths)
    return Material(
        features=table.features,
        vectors=vectors(table, features, scaling),
        scaling=scaling,
        labels=table.labels,
        rows=rows,
        prior=prior(table.labels[rows["fit"]], len(table.classes)),
        classes=table.classes,
        fitted_on=tuple(held),
    )
