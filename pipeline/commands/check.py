"""`fusecat check`: the doctor. Reads everything that `extract` would read before training, and trains nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands._catalogue_options import catalogue_options, reading_options
from pipeline.console import catalogue_argument, console, json_option, print_json, safe, workspace_option
from stages.vocabulary import Protocol

if TYPE_CHECKING:
    from rich.table import Table

    from stages.catalogue.examination import Examination


@click.command()
@catalogue_argument
@catalogue_options
@click.option("--protocol", type=click.Choice(Protocol), default=Protocol.TEST_20, show_default=True, help="The split to try.")
@workspace_option
@json_option
def command(catalogue: Path, workspace: Path, protocol: Protocol, *, as_json: bool, **options: Any) -> None:
    """Read and validate a catalogue: counts, classes, duplicates, unreadable pictures; trains nothing."""
    from stages.catalogue.examination import examine
    from stages.workspace import Workspace

    reading, pixels = reading_options(options), options["max_image_pixels"]
    found = examine(catalogue, reading, Workspace(workspace).image_memory, protocol=protocol, max_pixels=pixels)
    if as_json:
        print_json(found.record)
    else:
        _show(found)


def _show(found: "Examination") -> None:
    """Print the findings for a person."""
    screen = console()
    screen.print(_counts(found))
    if not found.findings:
        screen.print("Nothing to warn of.")
    for finding in found.findings:
        screen.print(
            f"[yellow]{finding.count} x {finding.kind.replace('_', ' ')}[/]: {safe(finding.treatment)}; first: ", end=""
        )
        screen.print(safe(finding.first), markup=False)


def _counts(found: "Examination") -> "Table":
    """What the catalogue holds."""
    from rich.table import Table

    record = found.record
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("catalogue", safe(record["catalogue"]), f"{record['layout']} layout")
    table.add_row("products", f"{record['products']:,}", f"{record['labelled']:,} with a label, {record['classes']} classes")
    table.add_row("no description", f"{record['missing_descriptions']:,}", "masked: the title is used")
    table.add_row("no picture", f"{record['missing_images']:,}", f"{record['unreadable_images']:,} unreadable")
    table.add_row(
        "duplicates", f"{record['duplicates']:,}", f"in {record['duplicate_groups']:,} groups, each on one side of the split"
    )
    if found.split:
        table.add_row(
            "split", found.split.protocol, ", ".join(f"{part} {count:,}" for part, count in found.split.counts.items())
        )
    return table
