"""Where a strategy is good and where it fails: by class and by kind of product.

Shapes: n products, K seeds, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.report.comparison import Comparison, Row
from pipeline.report.study import Candidate
from stages.vocabulary import Field


@dataclass(frozen=True)
class ClassLine:
    """One type code on the judged part: F1 (mean over seeds) of the chosen strategy, text alone and image alone."""

    code: str
    name: str
    products: int
    f1: tuple[float | None, ...]


def sides(comparison: Comparison) -> dict[str, Row]:
    """The chosen strategy, and the single features on text and on image that validation prefers (where there are any)."""
    found = {"chosen": comparison.chosen}
    for row in comparison.rows:
        if row.candidate.single:
            kind = "image alone" if row.candidate.runs[0].features[0].endswith(f".{Field.IMAGE}") else "text alone"
            found.setdefault(kind, row)
    return found


def class_f1(candidate: Candidate, part: str, labels: NDArray[np.integer], classes: int) -> NDArray[np.float64]:
    """(C,) F1 of each class, the mean over seeds; NaN for a class that does not occur in `labels`."""
    each = np.stack([_f1(outcome.predicted, labels, classes) for outcome in candidate.outcomes[part]])
    return np.asarray(each.mean(axis=0), np.float64)


def class_lines(comparison: Comparison, rows: Sequence[Row]) -> list[ClassLine]:
    """One line per class that occurs, in the order of the type codes."""
    study = comparison.study
    labels, codes = study.labels(comparison.judged), study.products.classes
    names = study.info.get("class_names") or {}
    columns = [class_f1(row.candidate, comparison.judged, labels, len(codes)) for row in rows]
    sizes = np.bincount(labels, minlength=len(codes))
    return [
        ClassLine(code, names.get(code, ""), int(sizes[at]), tuple(float(column[at]) for column in columns))
        for at, code in enumerate(codes)
        if sizes[at]
    ]


def _f1(predicted: NDArray[np.integer], labels: NDArray[np.integer], classes: int) -> NDArray[np.float64]:
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    sizes, claims = np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.where(sizes > 0, 2 * hits / np.maximum(sizes + claims, 1), np.nan)
