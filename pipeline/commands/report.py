"""`fusecat report`: compare all runs of the workspace, or several workspaces."""

from pathlib import Path

import click

from pipeline.console import json_option, print_json, workspace_option


@click.command(name="report")
@click.argument("workspaces", metavar="[WORKSPACE]...", nargs=-1, type=click.Path(file_okay=False, path_type=Path))
@workspace_option
@click.option("--against", metavar="STRATEGY", help="Measure every strategy against this one, not the best single feature.")
@click.option("--shareable", is_flag=True, help="Leave out titles, pictures and ids; add a bundle of predictions.")
@click.option(
    "--pool", "pooled", is_flag=True, help="Several workspaces: what carries over to the next network, split, catalogue?"
)
@json_option
def command(
    *, workspaces: tuple[Path, ...], workspace: Path, against: str | None, shareable: bool, pooled: bool, as_json: bool
) -> None:
    """Compare all runs of the workspace: verdict and ranked table here, all of it in report/index.html."""
    if pooled:
        _pool(workspaces, as_json=as_json)
        return
    if len(workspaces) > 1:
        message = "several workspaces need --pool"
        raise click.UsageError(message)
    workspace = workspaces[0] if workspaces else workspace
    if not as_json:
        from pipeline.report.terminal import print_report

        print_report(workspace, against=against, shareable=shareable)
        return
    from pipeline.report.comparison import compare
    from pipeline.report.writing import write_report

    print_json(write_report(compare(workspace, against=against), shareable=shareable)[1])


def _pool(workspaces: tuple[Path, ...], *, as_json: bool) -> None:
    from pipeline.report.pooled import print_pool, write_pool

    if as_json:
        from dataclasses import asdict

        print_json(asdict(write_pool(workspaces)[0]))
    else:
        print_pool(workspaces)
