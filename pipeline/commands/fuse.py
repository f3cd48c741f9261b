"""`fusecat fuse`: stage two on the features of a workspace, then the report."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.pipeline.commands._strategy_options import epochs_chosen_by, metric_of, prepare, strategy_options
from fusecat.pipeline.console import command_line, console, metric_option, print_json, study_options, warn
from fusecat.pipeline.study import remember_command, remember_split
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.strategy_plan import StrategyPlan
from fusecat.stages.metrics import Metric
from fusecat.stages.progress import doing, shown_otherwise
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fusecat.cache.table import FeatureTable
    from fusecat.stages.fusion.runs import Run


@click.command()
@strategy_options
@click.option("--seeds", type=click.IntRange(1), default=5, help="Heads per strategy, each with its own seed.")
@click.option(
    "--tuned", is_flag=True, help="Use the settings that 'fusecat tune' found, where it found some; marks those runs."
)
@click.option(
    "--splits",
    type=click.IntRange(1),
    default=1,
    show_default=False,
    help="Compare on so many splits, choose within each, and tell what carries over; draws them where no feature depends "
    "on the split, else takes those of 'fusecat extract --splits'.",
)
@click.option(
    "--processes",
    type=click.IntRange(0),
    default=0,
    show_default=False,
    help="How many share the work [one per core]; changes no figure.",
)
@click.option(
    "--no-questions",
    is_flag=True,
    help="Leave out what 'fusecat report' is asked for with --curve, --contribution, --missing and --labels, and what small "
    "studies are told unasked: each where it takes less than about 10 seconds.",
)
@metric_option("What chooses epochs of heads and strategies; kept for later commands [that of the last one, or of 'extract'].")
@study_options
def command(
    *,
    seeds: int,
    tuned: bool,
    splits: int,
    processes: int,
    no_questions: bool,
    metric: Metric | None,
    workspace: Path,
    as_json: bool,
    **choice: Any,
) -> None:
    """Fit a head for every strategy with that merge, and compare them.

    One merge M runs baseline/M, flat/M and hierarchical/F/M for each first merge F of concatenation, addition and average;
    uni-modal rows, probes and late fusion stand beside them. Runs that are there already are not repeated.
    """
    from fusecat.stages.fusion.fuse import fuse
    from fusecat.stages.fusion.runs import Runs

    place = Workspace(workspace)
    if tuned and splits > 1:
        raise UsageError(
            "--tuned: 'fusecat tune' chose by the validation of one split, whose products others test on; "
            "leave it out with --splits"
        )
    table, chosen, settings, rows = prepare(place, **choice)
    if splits > 1:
        from fusecat.stages.fusion.feasible import features_of
        from fusecat.stages.fusion.resplit import resplit

        names = {name for strategy in chosen.strategies for name in features_of(strategy, table)}
        tables = resplit(place, table, tuple(sorted(names)), splits)
    remember_command(place, command_line(), metric)
    metric = metric_of(place)
    better: dict[str, FitSettings] = {}
    if tuned:
        from fusecat.stages.fusion.tune import read_tuned

        better = read_tuned(place.root / "tuning")
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

    def run_all(table: "FeatureTable", place: Workspace, plan: StrategyPlan) -> list["Run"]:
        with Ticker(say, metric) as ticker:
            return fuse(
                table,
                plan.strategies,
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

    if splits > 1:
        _over_splits(place, tables, chosen, splits, run_all, metric, say)
        return
    found = run_all(table, place, chosen)
    if as_json:
        print_json({"runs": [summary(run) for run in found], "left_out": dict(chosen.left_out)})
        return
    from fusecat.pipeline.report.terminal import print_report

    print_report(workspace, unasked=not no_questions)


def _over_splits(
    place: Workspace,
    tables: "Iterator[tuple[int, FeatureTable]]",
    chosen: StrategyPlan,
    splits: int,
    run_all: "Callable[[FeatureTable, Workspace, StrategyPlan], list[Run]]",
    metric: Metric,
    say: "Console | None",
) -> None:
    """Every strategy on every split, each with runs of its own in `splits/`, then their pool."""
    from fusecat.pipeline.report.pooled import print_pool, write_pool
    from fusecat.stages.fusion.feasible import feasible

    places, plan = [], chosen
    for number, (seed, each) in enumerate(tables, 1):
        # what its network says where it has learnt from train: a row of one split only
        plan = feasible(each, chosen if number == 1 else plan, patient=True)
        own = place.on_split(number)
        if say:
            for line in plan.left_out_lines if number == 1 else ():
                if line not in chosen.left_out_lines:
                    say.print(line, style="yellow", markup=False)
            say.print(f"split {number} of {splits}, seed {seed}")
        remember_split(place, own, number, seed, each)
        run_all(each, own, plan)
        remember_command(own, command_line(), metric)
        places.append(own.root)
    output = place.report
    if say:
        print_pool(places, output, metric)
    else:
        print_json(asdict(write_pool(places, output, metric)[0]) | {"left_out": dict(plan.left_out)})


def summary(run: "Run") -> dict[str, Any]:
    """One run as a line of JSON."""
    names = ("strategy", "architecture", "first", "final", "features", "seed", "fitted_on", "parameters", "fit_seconds")
    return {name: getattr(run, name) for name in (*names, "scores", "tuned")}


class Ticker(AbstractContextManager["Ticker"]):
    """Progress of many runs: a live table where there is a terminal, a plain line per finished strategy where there is none."""

    def __init__(self, say: "Console | None", metric: Metric) -> None:
        self.say, self.metric = say, metric
        self.values: dict[str, list[float]] = {}
        self.start = time.monotonic()
        self.live: Any = None
        self.open = ExitStack()
        self.state = ""

    def __enter__(self) -> "Ticker":
        if self.say is not None and self.say.is_terminal:
            from rich.live import Live

            self.live = Live(console=self.say, get_renderable=self.table, refresh_per_second=1, transient=True)
            self.open.enter_context(self.live)
            self.open.enter_context(shown_otherwise())
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()
        if self.say is not None and self.state:
            self.say.print(self.state)

    def __call__(self, run: "Run", done: int, total: int) -> None:
        """Take note of one finished run."""
        fresh = run.strategy not in self.values
        self.values.setdefault(run.strategy, []).append(run.scores["validation"][self.metric.key])
        self.state = f"{done} of {total} runs done after {time.monotonic() - self.start:.0f} s"
        if self.live is not None:
            self.live.refresh()
        elif self.say is not None and fresh:
            value = f"{self.metric} {self.values[run.strategy][0]:.4f} on validation"
            self.say.print(f"{done}/{total} {run.strategy}, seed {run.seed}: {value}")

    def table(self) -> "Table":
        """The strategies seen so far, the best validation first, as many as fit the terminal."""
        from rich.table import Table

        table = Table("strategy", "runs", f"{self.metric} on validation", caption=f"{self.state}\n{doing()}".strip())
        ranked = sorted(self.values.items(), key=lambda item: -self.metric.sign * statistics.fmean(item[1]))
        rows = max(5, (self.say.height if self.say else 25) - 6)
        for name, values in ranked[:rows]:
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            table.add_row(name, str(len(values)), f"{statistics.fmean(values):.4f}{spread}")
        return table
