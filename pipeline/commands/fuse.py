"""`fusecat fuse`: stage two on the features of a workspace, then the report."""

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from fusecat.pipeline.console import command_line, console, json_option, metric_option, print_json, warn, workspace_option
from fusecat.stages.fusion.fit_settings import NAMED
from fusecat.stages.fusion.strategy import ALL, FUSED, THESIS
from fusecat.stages.metrics import Metric
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.vocabulary import Architecture, Merge, Variant
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fusecat.cache.store import FeatureCache
    from fusecat.cache.table import FeatureTable
    from fusecat.stages.fusion.fit_settings import FitSettings
    from fusecat.stages.fusion.runs import Run
    from fusecat.stages.fusion.strategy import StrategyPlan

FITS = {"train": ("train",), "head": ("head",), "train+head": ("train", "head")}
MERGES = [merge.value for merge in Merge]


def strategy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose strategies and how their heads are fitted, the same for `fuse` and `tune`."""
    options = (
        click.option(
            "--fusion", type=click.Choice([*MERGES, THESIS, ALL]), default="average", show_default=True, help="The final merge."
        ),
        click.option("--merge", "own", metavar="MODULE:CLASS", help="A final merge of your own instead, package.module:Class."),
        click.option(
            "--variant", type=click.Choice([each.value for each in Variant]), help="What stands before the last layer."
        ),
        click.option("--architecture", type=click.Choice([kind.value for kind in FUSED]), help="Only this architecture."),
        click.option("--first-merge", "first", metavar="MERGE", help="Only this first merge of hierarchical strategies."),
        click.option(
            "--fit-on", type=click.Choice(list(FITS)), default="train+head", show_default=True, help="Rows for heads."
        ),
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
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@strategy_options
@click.option(
    "--seeds", type=click.IntRange(1), default=5, show_default=True, help="Heads per strategy, each with its own seed."
)
@click.option(
    "--tuned", is_flag=True, help="Use the settings that 'fusecat tune' found, where it found some; marks those runs."
)
@click.option(
    "--processes", type=click.IntRange(0), default=0, help="How many share the work [one per core]; changes no figure."
)
@metric_option("What chooses epochs of heads and strategies; kept for later commands [that of the last one, or of 'extract'].")
@workspace_option
@json_option
def command(
    *, seeds: int, tuned: bool, processes: int, metric: Metric | None, workspace: Path, as_json: bool, **choice: Any
) -> None:
    """Fit a head for every strategy with that merge, and compare them.

    One merge M runs baseline/M, flat/M and hierarchical/F/M for each first merge F of concatenation, addition and average;
    uni-modal rows, probes and late fusion stand beside them. Runs that are there already are not repeated.
    """
    from fusecat.pipeline.study import remember_command
    from fusecat.stages.fusion.fuse import fuse
    from fusecat.stages.fusion.runs import Runs
    from fusecat.stages.fusion.tune import read_tuned

    place = Workspace(workspace)
    table, chosen, settings, rows = prepare(place, **choice)
    remember_command(place, command_line(), metric)
    metric = metric_of(place)
    better = read_tuned(place.root / "tuning") if tuned else {}
    jobs = sum(seeds if strategy.seeded else 1 for strategy in chosen.strategies)
    say = None if as_json else console()
    if say:
        fitted = "+".join(part for part in rows if len(table.rows(part)))
        say.print(
            f"{len(chosen.strategies)} strategies, {jobs} runs; heads fitted on {fitted}, chosen by {metric} on validation"
        )
        if networks := epochs_chosen_by(place, metric):
            say.print(networks)
        for line in chosen.left_out_lines:
            say.print(line, style="yellow", markup=False)
    with Ticker(say, metric) as ticker:
        found = fuse(
            table,
            chosen.strategies,
            Runs(place.runs),
            settings,
            seeds=seeds,
            metric=metric,
            fit_on=rows,
            tuned=better,
            processes=processes,
            progress=ticker,
            waiting=lambda: click.echo(f"waiting for another process that writes {place.runs}", err=True),
            damaged=warn,
        )
    if as_json:
        print_json({"runs": [summary(run) for run in found], "left_out": dict(chosen.left_out)})
        return
    from fusecat.pipeline.report.terminal import print_report

    print_report(workspace)


def prepare(
    place: Workspace,
    *,
    fusion: str,
    own: str | None,
    variant: str | None,
    architecture: str | None,
    first: str | None,
    fit_on: str,
    streamed: bool | None,
    named: str | None,
) -> tuple["FeatureTable", "StrategyPlan", "FitSettings", tuple[str, ...]]:
    """From the options that `fuse` and `tune` share to features, strategies, settings and the parts for heads."""
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.errors import UsageError
    from fusecat.stages.fusion.build_head import find_merge
    from fusecat.stages.fusion.fuse import feasible
    from fusecat.stages.fusion.strategy import plan

    for name in (own, first):
        if name:
            find_merge(name)
    if first and architecture not in (None, Architecture.HIERARCHICAL):
        message = f"--first-merge {first} is for hierarchical strategies; --architecture {architecture} has no first merge"
        raise UsageError(message)
    table = table_of(FeatureCache(place.features), streamed=streamed)
    final = f"{own or fusion}+{variant}" if variant else own or fusion
    chosen = plan(final, table.features, architecture=Architecture(architecture) if architecture else None, first=first)
    return table, feasible(table, chosen), settings_named(place, named), FITS[fit_on]


def settings_named(place: Workspace, named: str | None) -> "FitSettings":
    """`--settings`, or what the study's preset said. Raises UsageError, DamagedFile."""
    from fusecat.cache.records import damaged
    from fusecat.pipeline.presets.preset import load_preset
    from fusecat.stages.fusion.fit_settings import settings_of
    from fusecat.stages.study_record import WAY_OUT

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


def table_of(cache: "FeatureCache", *, streamed: bool | None) -> "FeatureTable":
    """All features of a workspace, in memory where `streamed` is false, or None and they and their standardised copy fit."""
    if streamed is None:
        from psutil import virtual_memory

        size = sum(cache.path(name).stat().st_size for name in cache.names())
        streamed = 2 * size > virtual_memory().available / 2
    if not streamed:
        return cache.table()
    stream = cache.stream()
    click.get_current_context().call_on_close(stream.close)
    return stream.table()


def metric_of(place: Workspace) -> Metric:
    """Return the metric that chooses heads and strategies in this workspace."""
    return (read_study(place) or StudyRecord()).selects


def epochs_chosen_by(place: Workspace, metric: Metric) -> str:
    """What is to be said where another metric than `metric` chose the networks' epochs; '' where it is the same."""
    study = read_study(place)
    if study is None or not study.features or study.metric == metric.name:
        return ""
    return f"the networks stay as they are: {study.metric} chose their epochs, which only 'fusecat extract --metric' changes"


def summary(run: "Run") -> dict[str, Any]:
    """One run as a line of JSON."""
    names = (
        "strategy",
        "architecture",
        "first",
        "final",
        "features",
        "seed",
        "fitted_on",
        "parameters",
        "fit_seconds",
        "scores",
        "tuned",
    )
    return {name: getattr(run, name) for name in names}


class Ticker(AbstractContextManager["Ticker"]):
    """Progress of many runs: a live table where there is a terminal, a plain line per finished strategy where there is none."""

    def __init__(self, say: "Console | None", metric: Metric) -> None:
        self.say, self.metric = say, metric
        self.values: dict[str, list[float]] = {}
        self.start = time.monotonic()
        self.live: Any = None
        self.state = ""

    def __enter__(self) -> "Ticker":
        if self.say is not None and self.say.is_terminal:
            from rich.live import Live

            self.live = Live(console=self.say, auto_refresh=False, transient=True)
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()
        if self.say is not None and self.state:
            self.say.print(self.state)

    def __call__(self, run: "Run", done: int, total: int) -> None:
        """Take note of one finished run."""
        fresh = run.strategy not in self.values
        self.values.setdefault(run.strategy, []).append(run.scores["validation"][self.metric.key])
        self.state = f"{done} of {total} runs done after {time.monotonic() - self.start:.0f} s"
        if self.live is not None:
            self.live.update(self.table(), refresh=True)
        elif self.say is not None and fresh:
            value = f"{self.metric} {self.values[run.strategy][0]:.4f} on validation"
            self.say.print(f"{done}/{total} {run.strategy}, seed {run.seed}: {value}")

    def table(self) -> "Table":
        """The strategies seen so far, the best validation first, as many as fit the terminal."""
        from rich.table import Table

        table = Table("strategy", "runs", f"{self.metric} on validation", caption=self.state)
        ranked = sorted(self.values.items(), key=lambda item: -self.metric.sign * statistics.fmean(item[1]))
        rows = max(5, (self.say.height if self.say else 25) - 6)
        for name, values in ranked[:rows]:
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            table.add_row(name, str(len(values)), f"{statistics.fmean(values):.4f}{spread}")
        return table
