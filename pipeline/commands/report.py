"""`fusecat report`: compare all runs of the workspace, or several workspaces."""

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fusecat.pipeline.console import choice, console, json_option, print_json, quoted, select_metric_option, workspace_option
from fusecat.pipeline.places import may_write
from fusecat.stages.errors import UsageError
from fusecat.stages.metrics import Metric
from fusecat.stages.tracking import Tracker, Tracking, track_study
from fusecat.stages.workspace import Workspace


@click.command(name="report")
@click.argument("workspaces", metavar="[WORKSPACE]...", nargs=-1, type=click.Path(file_okay=False, path_type=Path))
@workspace_option
@select_metric_option
@click.option("--against", metavar="STRATEGY", help="Measure every strategy against this one, not the best single feature.")
@click.option("--shareable", is_flag=True, help="Leave out titles, pictures and ids; add a bundle of predictions.")
@click.option("--curve", is_flag=True, help="Fit the best head on 10, 20, 50 % of the labels: what would more labels bring?")
@click.option(
    "--contribution", is_flag=True, help="Fit on every subset of fields and networks: what does each bring, what can go?"
)
@click.option("--missing", is_flag=True, help="Predict with 25 to 100 % of a field missing: how much does the best head lose?")
@click.option("--labels", is_flag=True, help="List training products whose label may be wrong, in suspected-labels.csv.")
@click.option(
    "--pool",
    "pooled",
    is_flag=True,
    help="Several workspaces, or the splits of one: what carries over to the next network, split, catalogue?",
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the page and its files [WORKSPACE/report, or report-shareable; of a pool the first one's].",
)
@click.option(
    "--tracker", type=choice(Tracker), help="Send scores, verdict and page to mlflow or wandb; see 'extract --tracker'."
)
@json_option
def command(
    *,
    workspaces: tuple[Path, ...],
    workspace: Path,
    metric: Metric | None,
    against: str | None,
    shareable: bool,
    pooled: bool,
    output: Path | None,
    tracker: Tracker | None,
    as_json: bool,
    **questions: bool,
) -> None:
    """Compare all runs of the workspace: verdict and ranked table here, all of it in report/index.html.

    Of a workspace that 'fusecat fuse --splits' has compared on several splits, and on its own not, their pool.

    Where the workspace may not be written, the page is left out; with --output it is written elsewhere. What --curve,
    --contribution, --missing and --labels work out is kept, and shown again as long as the runs are the same.
    """
    from fusecat.pipeline.report.answers import Question

    asked = [question for question in Question if questions[question.value]]
    if output is not None and (output / "index.html").exists() and not (output / "report.json").exists():
        raise UsageError(f"--output {output}: there is an index.html that is no report; name another folder")
    if pooled and asked:
        raise UsageError(f"--{asked[0]} is asked of one workspace: leave out --pool")
    if tracker:
        if pooled:
            raise UsageError("--tracker takes the result of one study; leave out --pool")
        tracker.check()
    if len(workspaces) > 1 and not pooled:
        raise click.UsageError("several workspaces need --pool")
    workspace = workspaces[0] if workspaces else workspace
    splits = split_places(workspace)
    alone = not Workspace(workspace).runs.exists() and not (asked or against or shareable or tracker)
    if pooled and len(workspaces) > 1:
        each = [(root,) if Workspace(root).runs.exists() else split_places(root) or (root,) for root in workspaces]
        splits = tuple(itertools.chain(*each))
    if splits and (pooled or alone):
        own = Workspace(workspace).report
        _pool(splits, output or (own if may_write(own) else None), metric, as_json=as_json)
        return
    if pooled:
        raise UsageError(f"--pool: {workspace} was compared on one split only; name several workspaces, or fuse with --splits")
    if splits and not as_json:
        console().print(
            f"This is one split; the {len(splits)} splits that were compared: fusecat report --pool {quoted(workspace)}",
            markup=False,
        )
    if not as_json:
        from fusecat.pipeline.report.terminal import print_report

        page, report = print_report(workspace, metric=metric, against=against, shareable=shareable, output=output, asked=asked)
        _track(tracker, workspace, report, page)
        return
    from fusecat.pipeline.report.comparison import compare
    from fusecat.pipeline.report.output import write_if_allowed

    compared = compare(workspace, metric=metric, against=against)
    page, report = write_if_allowed(compared, output, shareable=shareable, asked=asked)
    _track(tracker, workspace, report, page)
    print_json(report)


def _track(tracker: Tracker | None, workspace: Path, report: dict[str, Any], page: Path | None) -> None:
    if tracker:
        track_study(Tracking(tracker, workspace / tracker, f"report of {workspace.resolve().name}"), report, page)


def split_places(root: Path) -> tuple[Path, ...]:
    """The splits of a workspace that were compared, in their order; none where there are fewer than two."""
    numbers = sorted(int(path.parent.name) for path in root.glob("splits/*/runs") if path.parent.name.isdecimal())
    return tuple(Workspace(root).on_split(number).root for number in numbers) if len(numbers) > 1 else ()


def _pool(workspaces: tuple[Path, ...], output: Path | None, metric: Metric | None, *, as_json: bool) -> None:
    from fusecat.pipeline.report.pooled import print_pool, write_pool

    if as_json:
        print_json(asdict(write_pool(workspaces, output, metric)[0]))
    else:
        print_pool(workspaces, output, metric)
