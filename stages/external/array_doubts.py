"""What is odd about arrays that are compared, though they can be: what a feature cannot tell, and what it tells too well.

Shapes: n rows, D columns.
"""

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.catalogue.data_model import Findings
from fusecat.stages.vocabulary import Part

SAMPLE = 1000
"""Rows that are looked at first: a column that varies in them needs no further look."""
FEWEST = 20
"""Rows below which chance separates classes."""


def doubt(table: FeatureTable, findings: Findings) -> None:
    """Count features alike in all rows or absent from a part, columns that say the class, and rows without a vector."""
    for name, feature in table.features.items():
        if _is_flat(feature):
            treatment = "no column varies by more than 1/10,000 of its size, or by more than 1e-12: nothing is learnt of it"
            findings.add("flat_features", f"'{name}'", f"{treatment}; take off what is common, scale it, or leave it out")
        for part in (Part.TRAIN, Part.VALIDATION, Part.TEST):
            rows = table.rows(part)
            if len(rows) and not feature.present[rows].any():
                treatment = "absent in every row of it: its figures say little"
                findings.add("features_absent_from_a_part", f"'{name}' in {part.value}", treatment)
        if len(columns := _telling(feature, table.labels)):
            treatment = "alike in all rows of a class, and in no others: is it the label? New rows lack it, so leave it out"
            findings.add("columns_that_say_the_class", f"column {columns[0]} of '{name}'", treatment, len(columns))
    nothing = np.flatnonzero(~np.any([feature.present for feature in table.features.values()], axis=0))
    if len(nothing):
        treatment = "no feature is present: counted as every strategy guesses without one"
        findings.add("rows_without_vectors", f"row {nothing[0]}", treatment, len(nothing))


def _is_flat(feature: Feature) -> bool:
    """Whether the fit takes every column for constant (see `in_memory.Moments.scaling`)."""
    rows = np.flatnonzero(feature.present)
    for some in (rows[:SAMPLE], rows):
        vectors = feature.embedding[some].astype(np.float64)
        if len(some) < 2 or (vectors.std(axis=0) > np.abs(vectors.mean(axis=0)) * 1e-4 + 1e-12).any():
            return False
    return True


def _telling(feature: Feature, labels: NDArray[np.int32]) -> NDArray[np.intp]:
    """The columns with one value per class, another for each."""
    rows = np.flatnonzero(feature.present & (labels >= 0))
    columns = np.arange(feature.width)
    for some in (rows[:SAMPLE], rows):
        order = some[np.argsort(labels[some], kind="stable")]
        known, starts = np.unique(labels[order], return_index=True)
        if len(known) < 2 or len(order) < max(FEWEST, 4 * len(known)):
            return columns[:0]
        vectors = feature.embedding[np.ix_(order, columns)]
        lowest, highest = np.minimum.reduceat(vectors, starts), np.maximum.reduceat(vectors, starts)
        ranked = np.sort(lowest, axis=0)
        columns = columns[(lowest == highest).all(axis=0) & (np.diff(ranked, axis=0) > 0).all(axis=0)]
    return columns
