"""The comparison of a notebook: a dict of arrays in, the report's comparison out, no catalogue needed.

Shapes: n rows, C classes.
"""

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite, column_or_1d

from fusecat.cache.fingerprint import digest
from fusecat.cache.layout import is_file_name
from fusecat.cache.table import Feature, FeatureTable
from fusecat.pipeline.report.comparison import Comparison, compare_study
from fusecat.pipeline.report.results import Study
from fusecat.stages.fusion.build_head import find_merge
from fusecat.stages.fusion.fit_settings import NAMED, FitSettings
from fusecat.stages.fusion.fuse import feasible, fuse
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import ALL, THESIS, plan
from fusecat.stages.metrics import MACRO_F1, Metric, metric_named
from fusecat.stages.progress import heartbeat
from fusecat.stages.vocabulary import Part


def compare(
    features: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    present: Mapping[str, ArrayLike] | None = None,
    logits: Mapping[str, ArrayLike] | None = None,
    fusion: str = "all",
    seeds: int = 3,
    metric: Metric | str = MACRO_F1,
    settings: FitSettings | None = None,
    workspace: Path | None = None,
    random_state: int = 0,
    processes: int = 1,
) -> Comparison:
    """Compare fusion strategies on vectors of one's own: `compare({"words": W, "pixels": P}, labels)`.

    `features`: name -> (n, width); `present`: name -> (n,) bool, all present by default; `logits`: name -> (n, C), columns as
    the sorted labels, for uni-modal rows and late fusion; `fusion` as in `fusecat fuse`, or `package.module:Class`. 20 % of the
    rows become test, 15 % of the rest validation, stratified. With `workspace` the runs are kept there and `fusecat report
    --workspace` shows them. What takes longer than some seconds is told on stderr.

    Returns what `fusecat report` is made of: it prints as a table and a verdict; `.table` is one mapping per strategy,
    `.verdict` text, `.to_html()` the whole page.

    Raises: ValueError where the arrays do not agree, UsageError where no merge is called `fusion`.
    """
    if fusion not in (ALL, THESIS):
        find_merge(fusion)
    if seeds < 1:
        message = f"seeds={seeds}, but a comparison needs at least one"
        raise ValueError(message)
    answers = column_or_1d(labels)
    if answers.dtype.kind == "f":
        assert_all_finite(answers, input_name="labels")
    names, codes = np.unique(answers, return_inverse=True)
    table = _table(features, codes, tuple(str(name) for name in names), present or {}, logits or {}, random_state)
    chosen, metric = feasible(table, plan(fusion, table.features)), metric_named(metric) if isinstance(metric, str) else metric
    with tempfile.TemporaryDirectory() as temporary, heartbeat():
        root = workspace or Path(temporary)
        found = fuse(
            table,
            chosen.strategies,
            Runs(root / "runs"),
            settings or NAMED["default"],
            seeds=seeds,
            metric=metric,
            processes=processes,
        )
        study, strategies = Study.read(root, metric), {run.strategy for run in found}
    kept = tuple(candidate for candidate in study.candidates if candidate.strategy in strategies)
    return replace(compare_study(replace(study, candidates=kept)), left_out=tuple(chosen.left_out_lines))


def _table(
    features: Mapping[str, ArrayLike],
    codes: NDArray[np.intp],
    classes: tuple[str, ...],
    present: Mapping[str, ArrayLike],
    logits: Mapping[str, ArrayLike],
    random_state: int,
) -> FeatureTable:
    """The arrays as stage two knows them. Raises ValueError where they do not agree."""
    if not features:
        message = "there is no feature to compare; pass name -> (n, width)"
        raise ValueError(message)
    _refuse_unknown("present", present, features)
    _refuse_unknown("logits", logits, features)
    rows, made = len(codes), {}
    for name, vectors in features.items():
        array = np.array(vectors, dtype=np.float32)
        if not is_file_name(name):
            message = f"feature {name!r}: its runs get a folder of that name, so it must be a file's, such as camembert.title"
            raise ValueError(message)
        if array.ndim != 2 or len(array) != rows:
            message = f"feature '{name}' has shape {array.shape}; it must be ({rows}, width)"
            raise ValueError(message)
        if not np.isfinite(array).all():
            message = f"feature '{name}' holds NaN or infinity; say what is absent with present={{'{name}': mask}} and zeros"
            raise ValueError(message)
        mask = _shaped(f"present['{name}']", np.array(present.get(name, np.ones(rows, bool)), dtype=bool), (rows,))
        array[~mask] = 0
        own_logits = None
        if name in logits:
            given = _shaped(f"logits['{name}']", np.asarray(logits[name], np.float32), (rows, len(classes)))
            own_logits = np.where(mask[:, None], given, 0)
            assert_all_finite(own_logits, input_name=f"logits['{name}']")
        made[name] = Feature(name, array, mask, logits=own_logits, fitted_on=None)
    rest, test = train_test_split(np.arange(rows), test_size=0.2, random_state=random_state, stratify=codes)
    _, validation = train_test_split(rest, test_size=0.15, random_state=random_state, stratify=codes[rest])
    split = np.zeros(rows, np.uint8)
    parts = tuple(part.value for part in Part)
    split[validation], split[test] = parts.index(Part.VALIDATION), parts.index(Part.TEST)
    ids = np.array([str(number) for number in range(rows)])
    fingerprint = digest(
        {"classes": classes, "labels": digest(codes.astype("<i8").tobytes()), "split": digest(split.tobytes())}
    )
    return FeatureTable(ids, codes.astype(np.int32), split, classes, parts, made, fingerprint)


def _refuse_unknown(option: str, given: Collection[str], features: Collection[str]) -> None:
    for name in sorted(set(given) - set(features)):
        message = f"{option} names '{name}', which is no feature; the features are {', '.join(features)}"
        raise ValueError(message)


def _shaped(name: str, array: NDArray, shape: tuple[int, ...]) -> NDArray:  # type: ignore[type-arg]
    if array.shape != shape:
        message = f"{name} has shape {array.shape}; it must be {shape}"
        raise ValueError(message)
    return array
