"""`fusecat tune`: the same search for each strategy, on validation only."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fusecat.pipeline.commands._strategy_options import metric_of, prepare, strategy_options
from fusecat.pipeline.console import command_line, console, metric_option, print_json, quoted, safe, study_options, warn
from fusecat.pipeline.study import remember_command
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.fit_settings import SETTINGS, TUNED
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import Metric
from fusecat.stages.vocabulary import Architecture
from fusecat.stages.workspace import Workspace


@click.command()
@strategy_options
@click.option("--trials", type=click.IntRange(1), default=50, help="Settings tried for each strategy.")
@click.option(
    "--search",
    type=click.Choice(SETTINGS),
    metavar="SETTING",
    multiple=True,
    help=f"What is searched, any of {', '.join(SETTINGS)} [{', '.join(TUNED)}]. Repeat for more.",
)
@metric_option("What is searched for [that which chooses strategies].")
@study_options
def command(
    *, trials: int, search: tuple[str, ...], metric: Metric | None, workspace: Path, as_json: bool, **choice: Any
) -> None:
    """Search the settings of heads for each strategy, the same budget for all.

    Trials that were done before count. 'fusecat fuse --tuned' then uses what was found and marks those runs.
    """
    from fusecat.stages.fusion.tune import tune

    place = Workspace(workspace)
    table, chosen, base, rows = prepare(place, **choice)
    remember_command(place, command_line())
    if choice["architecture"] == Architecture.LOGISTIC:
        raise UsageError("--architecture logistic: the logistic regression is tuned whenever 'fusecat fuse' fits it")
    strategies = [strategy for strategy in chosen.strategies if strategy.learned]
    metric = metric or metric_of(place)
    say = None if as_json else console()
    if say:
        say.print(f"{len(strategies)} strategies, {trials} trials each, judged by {metric} on validation")

    def progress(strategy: Strategy, done: int, asked: int, best: float) -> None:
        if say and (done == asked or done % 10 == 0 or say.is_terminal):
            say.print(
                f"{strategy.name}: {done} of {asked} trials, best {metric} {best:.4f}", end="\r" if say.is_terminal else "\n"
            )

    found = tune(
        table,
        strategies,
        place.root / "tuning",
        trials=trials,
        metric=metric,
        fit_on=rows,
        base=base,
        search=search or TUNED,
        progress=progress,
        waiting=lambda: click.echo(f"waiting for another process that tunes in {place.root / 'tuning'}", err=True),
        damaged=warn,
    )
    if as_json:
        print_json({name: {field: asdict(settings)[field] for field in search or TUNED} for name, settings in found.items()})
        return
    if say:
        done = f"{safe(str(place.root / 'tuning'))}: settings of {len(found)} strategies"
        say.print(f"\n{done}; next: fusecat fuse --tuned --workspace {quoted(workspace)}", markup=False)
