"""`fusecat cache`: what is remembered, whether every byte is as it was written, and a way out to other tools."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fusecat.cache.errors import DamagedFeature
from fusecat.pipeline.console import console, print_json, safe, study_options, workspace_option
from fusecat.stages.errors import UsageError
from fusecat.stages.study_record import read_study
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from fusecat.cache.listing import Entry


@click.group()
def command() -> None:
    """List, verify and export what is cached."""


@command.command("ls")
@study_options
def ls(workspace: Path, *, as_json: bool) -> None:
    """Show each feature's network, field, rows, width, size, fit parts and state."""
    from fusecat.cache.listing import entries

    folder = _features(workspace)
    found = entries(folder)
    if as_json:
        print_json([asdict(entry) for entry in found])
        return
    _show(found, folder)


@command.command()
@click.option("--reseal", is_flag=True, help="Write seals that are gone or differ anew, where the feature agrees with itself.")
@study_options
def verify(workspace: Path, *, reseal: bool, as_json: bool) -> None:
    """Check every byte of every feature; exit code 4 where something is not as it was written."""
    from fusecat.cache.verify import verify

    folder = _features(workspace)
    damages = list(verify(folder, _expected(workspace), reseal=reseal))
    if as_json:
        files = [{"file": str(damage.file), "problem": damage.problem} for damage in damages]
        print_json({"folder": str(folder), "damaged": files})
    else:
        for damage in damages:
            console().print(safe(f"{damage.file}: {damage.problem}"), markup=False)
    if damages:
        raise DamagedFeature(
            f"{folder}: {len(damages)} of the files are not as they were written, first {damages[0].file.name}; "
            "remove each and its .sha256, then run the 'fusecat extract' or 'fusecat import' that made it again"
        )
    if not as_json:
        console().print(f"{safe(str(folder))}: every byte is as it was written", markup=False)


@command.command()
@click.argument("feature")
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), required=True, help="FILE.npz or FILE.parquet")
@workspace_option
def export(feature: str, target: Path, workspace: Path) -> None:
    """Write FEATURE for other tools."""
    from fusecat.cache.exporting import export
    from fusecat.cache.store import FeatureCache

    with FeatureCache(_features(workspace)).open(feature) as file:
        export(file, target)
        console().print(f"{safe(str(target))}: {file.header.rows} products of {feature}", markup=False)


def _features(workspace: Path) -> Path:
    """The folder of the features, which must exist."""
    folder = Workspace(workspace).features
    if not folder.is_dir():
        raise UsageError(f"--workspace {workspace}: there is no {folder}; run 'fusecat extract' or 'fusecat import' first")
    return folder


def _expected(workspace: Path) -> list[str]:
    """The features that the study says it has, so that one that vanished without a trace is missed."""
    study = read_study(Workspace(workspace))
    return sorted(study.features) if study else []


def _show(found: "list[Entry]", folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    columns: dict[str, Callable[[Entry], Any]] = {
        "network": lambda entry: entry.network,
        "field": lambda entry: entry.field,
        "rows": lambda entry: f"{entry.rows:,}",
        "present": lambda entry: f"{entry.present:,}",
        "width": lambda entry: f"{entry.width} {entry.dtype.replace('float', 'f')}",
        "size": lambda entry: f"{entry.size / 1e6:,.1f} MB",
        "fitted on": lambda entry: "unknown" if entry.fitted_on is None else ", ".join(entry.fitted_on) or "nothing",
        "state": lambda entry: entry.state,
    }
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in columns:
        justify: Literal["left", "right"] = "right" if name in {"rows", "present", "width", "size"} else "left"
        table.add_column(name, justify=justify, overflow="fold")
    for entry in found:
        table.add_row(*(Text(safe(str(show(entry)))) for show in columns.values()))  # names of files hold no markup
    console().print(table)
    console().print(f"{len(found)} features in {safe(str(folder))}", markup=False)
