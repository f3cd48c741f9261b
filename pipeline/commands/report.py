"""`fusecat report`: compare all runs of the workspace."""

from pathlib import Path

import click

from pipeline.console import json_option, print_json, workspace_option


@click.command(name="report")
@workspace_option
@click.option("--against", metavar="STRATEGY", help="Measure every strategy against this one, not the best single feature.")
@json_option
def command(*, workspace: Path, against: str | None, as_json: bool) -> None:
    """Compare all runs of the workspace: verdict and ranked table here, all of it in report/index.html."""
    if not as_json:
        from pipeline.report.terminal import print_report

        print_report(workspace, against=against)
        return
    from pipeline.report.comparison import compare
    from pipeline.report.record import record
    from pipeline.report.writing import write_report

    comparison = compare(workspace, against=against)
    write_report(comparison)
    print_json(record(comparison))
