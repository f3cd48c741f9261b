"""Rows that are on both sides of the split: vectors so near each other that they are of one product, or of its copy.

Shapes: n rows, D numbers of all features together.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from fusecat.cache.table import FeatureTable
from fusecat.stages.vocabulary import Part

NEAR = 0.01
"""Distance, in root mean squares of a row's distance from the mean. Two copies that were encoded in other batches, or stored in
half precision, differ by 0.001; of random rows of four numbers one pair in 10 ** 8 is as near."""
PROJECTED = 64
"""Random directions that distances are measured in: their squares are right within a third, which is enough here."""


@dataclass(frozen=True)
class Straddling:
    """How many of the rows that are scored are near one that heads are fitted on, and the first such pair (ids)."""

    count: int
    scored: int
    first: tuple[str, str]

    @property
    def warning(self) -> str:
        """The one line that a person reads."""
        one, other = self.first
        return (
            f"{self.count:,} of {self.scored:,} validation and test rows have the vectors of a row of train (such as {one} "
            f"those of {other}): scores flatter what remembers rows"
        )


def straddling(table: FeatureTable) -> Straddling | None:
    """Count rows of validation and test whose vectors, of all features, are those of a row of train or head; None for none."""
    fitted, scored = table.rows(Part.TRAIN, Part.HEAD), table.rows(*(part for part in (Part.VALIDATION, Part.TEST)))
    there = np.any([feature.present for feature in table.features.values()], axis=0)
    fitted, scored = fitted[there[fitted]], scored[there[scored]]
    if not len(fitted) or not len(scored):
        return None
    random, views = np.random.default_rng(0), []
    for feature in table.features.values():
        vectors = np.where(feature.present[:, None], feature.embedding, 0).astype(np.float32)
        vectors -= vectors[feature.present].mean(axis=0) if feature.present.any() else 0
        vectors[~feature.present] = 0
        vectors /= np.abs(vectors).max() or 1.0  # squares of large numbers leave float32 behind
        size = np.sqrt(np.square(vectors).sum(axis=1).mean()) or 1.0
        if vectors.shape[1] > PROJECTED:
            vectors = vectors @ random.normal(size=(vectors.shape[1], PROJECTED)).astype(np.float32) / np.sqrt(PROJECTED)
        # whether a field is there is part of what a row is
        views += [vectors / size, feature.present[:, None].astype(np.float32)]
    rows = np.concatenate(views, axis=1) / np.sqrt(np.float32(len(table.features)))
    # every row against every other would be hours for a million; so small a distance leaves a tree few places to look
    far, nearest = KDTree(rows[fitted], balanced_tree=False).query(rows[scored], distance_upper_bound=NEAR)
    near = np.flatnonzero(np.isfinite(far))
    if not len(near):
        return None
    return Straddling(len(near), len(scored), (str(table.ids[scored[near[0]]]), str(table.ids[fitted[nearest[near[0]]]])))
