"""Where a strategy is good and where it fails: by class, by category, by kind of product.

Shapes: n products, K seeds, C classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import CacheError
from fusecat.pipeline.report.results import Candidate, Study
from fusecat.stages.catalogue.label_doubts import levels
from fusecat.stages.fields import ATTRIBUTES, KNOWN, Field, parts_of
from fusecat.stages.fusion.wiring import field_of, network_of
from fusecat.stages.metrics import Metric

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Row

MANY_CLASSES = 120
"""Above this number the page shows categories and the extremes instead of every class."""


@dataclass(frozen=True)
class ClassLine:
    """One type code or category: `f1` (mean over seeds, and over classes) of the compared strategies, in their order."""

    code: str
    name: str
    category: str
    products: int
    f1: tuple[float, ...]


@dataclass(frozen=True)
class Slice:
    """Products of one kind (`with description`): their number, and the workspace's metric of the compared strategies."""

    name: str
    products: int
    scores: tuple[float, ...]


CHOSEN, FUSION = "chosen", "best fusion"


def compared_rows(comparison: "Comparison") -> dict[str, "Row"]:
    """Side -> row: the chosen strategy, and what validation prefers of each kind that it is held against.

    These are single features on text, on the image, on attributes, and of which nobody knows on what; where a single feature is
    chosen, the best fusion stands in the place of its own kind.
    """
    chosen = comparison.chosen
    found = {CHOSEN: chosen}
    for row in comparison.rows[1:]:
        side = side_of(row.candidate) if row.candidate.single else FUSION if chosen.candidate.single else None
        if side is not None and not (chosen.candidate.single and side == side_of(chosen.candidate)):
            found.setdefault(side, row)
    return found


def side_of(candidate: Candidate) -> str:
    """What a single feature looks at, in words: `text alone`."""
    feature = candidate.features[0]
    if field_of(feature) in (Field.IMAGE, ATTRIBUTES):
        return f"{field_of(feature)} alone"
    return "text alone" if network_of(feature) else "one feature alone"


def repairing(compared: Iterable[str]) -> tuple[str, str] | None:
    """Of the sides that are compared, the fusion and the feature that it is held against; None without one of them."""
    others = [side for side in compared if side != CHOSEN]
    if FUSION in others:
        return FUSION, CHOSEN
    alone = "text alone" if "text alone" in others else next(iter(others), None)
    return None if alone is None else (CHOSEN, alone)


def class_f1(candidate: Candidate, part: str, labels: NDArray[np.integer], classes: int) -> NDArray[np.float64]:
    """(C,) F1 of each class, the mean over seeds; NaN for a class that does not occur in `labels`."""
    sizes, each = np.bincount(labels, minlength=classes), []
    for outcome in candidate.outcomes[part]:
        hits = np.bincount(labels[outcome.predicted == labels], minlength=classes)
        claims = np.bincount(outcome.predicted, minlength=classes)
        each.append(np.where(sizes > 0, 2 * hits / np.maximum(sizes + claims, 1), np.nan))
    return np.asarray(np.mean(each, axis=0), np.float64)


def class_lines(comparison: "Comparison", rows: Sequence["Row"]) -> list[ClassLine]:
    """One line per class that occurs, in the order of the type codes."""
    study = comparison.study
    labels, codes = study.labels(comparison.report_part), study.products.classes
    names, categories = study.info.class_names, study.info.top_level
    columns = [class_f1(row.candidate, comparison.report_part, labels, len(codes)) for row in rows]
    sizes = np.bincount(labels, minlength=len(codes))
    lines = []
    for at, code in enumerate(codes):
        f1 = tuple(float(column[at]) for column in columns)
        lines.append(ClassLine(code, names.get(code, ""), categories.get(code, ""), int(sizes[at]), f1))
    return [line for line in lines if line.products]


def category_lines(lines: Sequence[ClassLine]) -> list[ClassLine]:
    """Classes gathered by top-level category: products are summed, F1 is averaged over classes. Empty without categories."""
    found: dict[str, list[ClassLine]] = {}
    for line in lines:
        found.setdefault(line.category, []).append(line)
    if set(found) == {""}:
        return []
    return [
        ClassLine(
            f"{len(of)} type codes" if len(of) > 1 else of[0].code,
            name or "(no category)",
            name,
            sum(line.products for line in of),
            tuple(float(np.mean(values)) for values in zip(*(line.f1 for line in of), strict=True)),
        )
        for name, of in sorted(found.items())
    ]


def path_f1(comparison: "Comparison", rows: Sequence["Row"]) -> tuple[float, ...]:
    """Hierarchical F1 of each row, the mean over seeds; () unless most type codes are category paths (`A > B > C`).

    A code stands for itself and the levels above it; precision and recall count levels that prediction and truth share, over
    all products. A wrong leaf of the right branch is half right. Source: Kiritchenko et al. 2006, "Learning and evaluation in
    the presence of class hierarchies", section 4.
    """
    codes = comparison.study.products.classes
    paths = [[level.strip() for level in levels(code)] for code in codes]
    if sum(len(path) > 1 for path in paths) <= len(paths) / 2 or not any(comparison.study.info.top_level.values()):
        return ()
    depth = np.array([len(path) for path in paths])
    labels = comparison.study.labels(comparison.report_part)

    def score(predicted: NDArray[np.integer]) -> float:
        pairs, counts = np.unique(np.stack([predicted, labels]), axis=1, return_counts=True)
        shared = [_common(paths[one], paths[other]) for one, other in pairs.T.tolist()]
        return 2 * float(counts @ shared) / float(depth[predicted].sum() + depth[labels].sum())

    return tuple(
        float(np.mean([score(outcome.predicted) for outcome in row.candidate.outcomes[comparison.report_part]])) for row in rows
    )


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Levels from the top that two paths share."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def product_slices(comparison: "Comparison", rows: Sequence["Row"]) -> list[Slice]:
    """Products with and without a description, each further text, and an image, as the features of the workspace know them.

    Empty where no feature file tells (imported vectors, or features removed since).
    """
    study, part = comparison.study, comparison.report_part
    found = []
    features = [name for row in comparison.rows for name in row.candidate.features if network_of(name)]
    further = [field for field in map(field_of, features) if field not in KNOWN and len(parts_of(field)) == 1]
    for field in (Field.DESCRIPTION, *dict.fromkeys(further), Field.IMAGE):
        present = _present(study, field)
        if present is None:
            continue
        present = present[study.products.rows(part)]
        for name, chosen in ((f"with {field}", present), (f"without {field}", ~present)):
            if 0 < chosen.sum() < len(chosen):
                scores = tuple(_score(row.candidate, part, chosen, comparison.metric) for row in rows)
                found.append(Slice(name, int(chosen.sum()), scores))
    return found


def _present(study: Study, field: str) -> NDArray[np.bool_] | None:
    """(N,) whether each product has the field; None where no feature of these very products tells."""
    from fusecat.cache.layout import decode
    from fusecat.cache.store import FeatureCache

    cache = FeatureCache(study.workspace.features)
    for name in cache.names() if study.workspace.features.is_dir() else ():
        if not name.endswith(f".{field}"):
            continue
        try:
            with cache.open(name) as file:
                columns = file.columns()
        except (CacheError, OSError):
            continue  # the report does not need it: the slice is left out, and `cache verify` is where damage is told
        if np.array_equal(decode(columns["product_id"]), study.products.ids.astype(str)):
            return columns["present"]
    return None


def _score(candidate: Candidate, part: str, rows: NDArray[np.bool_], metric: Metric) -> float:
    return float(np.mean([metric.of(outcome.take(rows)) for outcome in candidate.outcomes[part]]))
