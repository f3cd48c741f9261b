"""What a fitted head does when a field is taken from it, or given to it from another product."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.heads.fit import Source, predict, quick_scores
from stages.heads.head import Head
from stages.strategy import field_of


def controls(
    head: Head, data: Source, labels: NDArray[np.integer], parts: Mapping[str, NDArray[np.intp]]
) -> dict[str, dict[str, dict[str, float]]]:
    """`without FIELD` (masked) and `shuffled FIELD` (vectors of another product of the part) -> part -> scores.

    Nothing is fitted again: this is what the head would lose if the field were missing, or nonsense, when it predicts. The
    permutation is the same for every head and seed.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for field in dict.fromkeys(field_of(name) for name in head.features):
        names = [name for name in head.features if field_of(name) == field]
        for part, rows in parts.items():
            if not len(rows):
                continue
            for label, changed in (("without", data.without(names)), ("shuffled", data.shuffled(names, rows))):
                found.setdefault(f"{label} {field}", {})[part] = quick_scores(labels[rows], predict(head, changed, rows))
    return found
