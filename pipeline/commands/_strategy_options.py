"""Which strategies, on which features, with which settings and metric: what `fuse` and `tune` share."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from fusecat.cache.records import damaged
from fusecat.pipeline.console import together
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.fit_settings import NAMED, FitSettings, settings_of
from fusecat.stages.fusion.strategy import FUSED
from fusecat.stages.fusion.strategy_plan import ALL, THESIS, StrategyPlan, plan
from fusecat.stages.metrics import Metric
from fusecat.stages.progress import phase
from fusecat.stages.study_record import WAY_OUT, StudyRecord, read_study
from fusecat.stages.vocabulary import Architecture, Merge, Variant
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from fusecat.cache.table import FeatureTable

FITS = {"train": ("train",), "head": ("head",), "train+head": ("train", "head")}
ASKED = [kind.value for kind in (*FUSED, Architecture.LOGISTIC)]
MERGES = [merge.value for merge in Merge]


strategy_options = together(
    click.option("--fusion", type=click.Choice([*MERGES, THESIS, ALL]), default="average", help="The final merge."),
    click.option("--merge", "own", metavar="MODULE:CLASS", help="A final merge of your own instead, package.module:Class."),
    click.option("--variant", type=click.Choice([each.value for each in Variant]), help="What stands before the last layer."),
    click.option("--architecture", type=click.Choice(ASKED), help="Only this architecture."),
    click.option("--first-merge", "first", metavar="MERGE", help="Only this first merge of hierarchical strategies."),
    click.option("--features", "only", metavar="A,B", help="Look at these features alone; rows say so in their names [all]."),
    click.option("--fit-on", type=click.Choice(list(FITS)), default="train+head", help="Rows for heads."),
    click.option(
        "--stream/--no-stream",
        "streamed",
        default=None,
        help="Read the vectors from disk again in each pass [where they would fill half of the free memory].",
    ),
    click.option(
        "--settings",
        "named",
        metavar="NAME|PRESET",
        help=f"How heads are fitted: {', '.join(NAMED)}, or as the [fusion] of a preset says [the study's preset].",
    ),
)
"""Options that choose strategies and how their heads are fitted, the same for `fuse` and `tune`."""


def prepare(
    place: Workspace,
    *,
    fusion: str,
    own: str | None,
    variant: str | None,
    architecture: str | None,
    first: str | None,
    only: str | None,
    fit_on: str,
    streamed: bool | None,
    named: str | None,
) -> tuple["FeatureTable", StrategyPlan, FitSettings, tuple[str, ...]]:
    """From the options that `fuse` and `tune` share to features, strategies, settings and the parts for heads."""
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.catalogue.split import groups_in
    from fusecat.stages.fusion.feasible import feasible

    for name in (own, first):
        if name:
            from fusecat.stages.fusion.build_head import find_merge

            find_merge(name)
    if first and architecture not in (None, Architecture.HIERARCHICAL):
        raise UsageError(
            f"--first-merge {first} is for hierarchical strategies; --architecture {architecture} has no first merge"
        )
    with phase("reading the features"):
        table = click.get_current_context().with_resource(FeatureCache(place.features).opened(streamed=streamed))
        table = replace(table, groups=groups_in(place.split, table.ids.tolist()))
    final = f"{own or fusion}+{variant}" if variant else own or fusion
    kind = Architecture(architecture) if architecture else None
    names = None if only is None else [name.strip() for name in only.split(",")]
    chosen = plan(final, table.features, architecture=kind, first=first, only=names)
    patient = fusion == ALL or kind is Architecture.LOGISTIC
    return table, feasible(table, chosen, patient=patient), settings_named(place, named), FITS[fit_on]


def settings_named(place: Workspace, named: str | None) -> FitSettings:
    """`--settings`, or what the study's preset said. Raises UsageError, DamagedFile."""
    if named in NAMED:
        return NAMED[named]
    if named:
        preset = load_preset(named, "--settings")
        return settings_of(preset.fusion, preset.fusion_changes)
    study = read_study(place) or StudyRecord()
    try:
        return settings_of(study.fusion_settings or "default", study.fusion)
    except ValueError as error:
        raise damaged(place.study, str(error), WAY_OUT) from error


def metric_of(place: Workspace) -> Metric:
    """Return the metric that chooses heads and strategies in this workspace."""
    return (read_study(place) or StudyRecord()).selects


def epochs_chosen_by(place: Workspace, metric: Metric) -> str:
    """What is to be said where another metric than `metric` chose the networks' epochs; '' where it is the same."""
    study = read_study(place)
    if study is None or not study.features or study.metric == metric.name:
        return ""
    return f"the networks stay as they are: {study.metric} chose their epochs, which only 'fusecat extract --metric' changes"
