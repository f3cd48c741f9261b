"""The comparison of a notebook: a dict of arrays in, the report's comparison out, no catalogue needed.

Shapes: n rows, C classes.
"""

import tempfile
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from fusecat.pipeline.report.comparison import Comparison, compare_study
from fusecat.pipeline.report.over_splits import OverSplits
from fusecat.pipeline.report.pooling import pool
from fusecat.pipeline.report.results import Study
from fusecat.stages.errors import refusing
from fusecat.stages.external.arrays import table_of
from fusecat.stages.fusion.build_head import find_merge
from fusecat.stages.fusion.feasible import feasible
from fusecat.stages.fusion.fit_settings import NAMED, FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.near import straddling
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy_plan import ALL, THESIS, plan
from fusecat.stages.metrics import MACRO_F1, Metric, metric_named
from fusecat.stages.progress import heartbeat

SPLITS = 5
"""Splits that are drawn where vectors know nothing of labels: one decides more than its interval admits."""


@refusing
def compare(
    features: Mapping[str, Any],
    labels: Any,
    *,
    present: Mapping[str, ArrayLike] | None = None,
    logits: Mapping[str, ArrayLike] | None = None,
    groups: Any = None,
    split: Any = None,
    splits: int | None = None,
    fusion: str = "all",
    only: Collection[str] | None = None,
    seeds: int | None = None,
    metric: Metric | str = MACRO_F1,
    settings: FitSettings | str | None = None,
    workspace: Path | str | None = None,
    random_state: int = 0,
    processes: int = 1,
) -> Comparison | OverSplits:
    """Compare fusion strategies on vectors of one's own: `compare({"words": W, "pixels": P}, labels)`.

    `features`: name -> (n, width): an array, a data frame, a tensor, a sparse matrix, or n vectors, None for one that is
    absent. `present`: name -> (n,) bool, all present by default; `logits`: name -> (n, C), columns as the sorted labels, for
    uni-modal rows and late fusion; `fusion` as in `fusecat fuse`, or `package.module:Class`; `only`: the features that may be
    looked at, as in `fusecat fuse --features`.
    20 % of the rows become test, 15 % of the rest validation, stratified, a class of one row staying in train. `groups` (n,):
    rows of one group (copies and variants of a product, one shop's offers) stay in one part; rows with the vectors of a row of
    train are warned of. `split` (n,): a split of one's own, train, validation or test.
    `splits`: so many splits are drawn, by default 5, or 1 where there is a `split` or there are `logits`, whose network has
    learnt from rows that stay where they are. Vectors are taken for ones that know nothing of the labels: where the network
    that made them was fine-tuned on some of these rows, pass `split`. `seeds` per strategy, by default 3, of several splits 2.
    With `workspace` the runs are kept there and `fusecat report --workspace` shows them, those of several splits in
    `split-1` and so on for `fusecat report --pool`. What takes longer than some seconds is told on stderr.

    Returns what `fusecat report` is made of, of several splits what `fusecat report --pool` is made of: it prints as a table
    and a verdict; `.table` is one mapping per strategy, `.verdict` text, `.to_html()` the whole page; `.splits` each split's
    own comparison, with `.answers` to what users ask next (a learning curve, what each feature adds, what missing fields cost,
    doubted labels), worked out when they are looked at.

    Raises: ValueError where the arrays do not agree, naming the row, UsageError where no merge is called `fusion`.
    """
    if fusion not in (ALL, THESIS):
        find_merge(_of_type("fusion", fusion, str, "the name of one merge, 'all' or 'thesis'"))
    for option, value, least in (
        ("seeds", seeds, 1),
        ("splits", splits, 1),
        ("processes", processes, 1),
        ("random_state", random_state, 0),
    ):
        if value is None and least and option != "processes":
            continue
        if _of_type(option, value, Integral, "a whole number") < least:
            what = "a comparison needs at least one" if least else "a seed is 0 or more"
            raise ValueError(f"{option}={value}, but {what}")
    if isinstance(only, str):
        raise ValueError(f"only={only!r}: pass a list of features, [{only!r}]")
    metric = metric_named(metric) if isinstance(metric, str) else _of_type("metric", metric, Metric, "a name or a Metric")
    if isinstance(settings, str) and settings not in NAMED:
        raise ValueError(f"settings={settings!r} is not known; choose from {', '.join(NAMED)}, or pass a FitSettings")
    settings = NAMED[settings] if isinstance(settings, str) else settings or NAMED["default"]
    _of_type("settings", settings, FitSettings, f"one of {', '.join(NAMED)}, or a FitSettings")
    workspace = None if workspace is None else Path(workspace)
    if workspace is not None and workspace.exists() and not workspace.is_dir():
        raise ValueError(f"workspace={str(workspace)!r} is a file; pass a folder")
    fixed = "split" if split is not None else "logits" if logits is not None and len(logits) else ""
    drawn = splits or (1 if fixed else SPLITS)
    if drawn > 1 and fixed:
        raise ValueError(f"splits={splits}, but {fixed}= fixes where rows are; leave one of the two out")
    tables = []
    for seed in range(random_state, random_state + drawn):
        table, findings = table_of(features, labels, present=present, logits=logits, groups=groups, parts=split, seed=seed)
        odd = [f"{each.count:,} {each.kind.replace('_', ' ')}, first {each.first}: {each.treatment}" for each in findings]
        if copies := straddling(table):
            odd.append(f"{copies.warning}; pass groups=, a number or name per row that copies share")
        tables.append((table, odd))
    for line in tables[0][1]:
        warnings.warn(line, stacklevel=2)
    found = []
    with tempfile.TemporaryDirectory() as temporary, heartbeat():
        for number, (table, odd) in enumerate(tables, 1):
            chosen = feasible(table, plan(fusion, table.features, only=only), patient=fusion == ALL)
            root = (workspace or Path(temporary)) / (f"split-{number}" if drawn > 1 else "")
            runs = fuse(
                table,
                chosen.strategies,
                Runs(root / "runs"),
                settings,
                seeds=seeds or (2 if drawn > 1 else 3),
                metric=metric,
                processes=processes,
            )
            study, strategies = Study.read(root, metric), {run.strategy for run in runs}
            kept = tuple(candidate for candidate in study.candidates if strategies.intersection(candidate.names))
            compared = compare_study(replace(study, candidates=kept))
            untaught = {name: replace(feature, fitted_on=None if fixed else ()) for name, feature in table.features.items()}
            vectors = replace(table, features=untaught)
            found.append(replace(compared, left_out=(*odd, *chosen.left_out_lines), vectors=vectors))
        if drawn == 1:
            return found[0]
        return OverSplits(pool(found), tuple(found), tuple(dict.fromkeys(line for each in found for line in each.left_out)))


def _of_type(option: str, value: Any, kind: type, wanted: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{option}={value!r:.60}: {wanted} is needed")
    return value
