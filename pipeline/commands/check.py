"""`fusecat check`: validation. Reads all that `extract` reads before it trains, and says what will be done with it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.pipeline.commands._catalogue_options import catalogue_options, reading_options
from fusecat.pipeline.console import catalogue_argument, console, print_json, protocol_option, safe, study_options, warn
from fusecat.pipeline.places import may_write, remembering
from fusecat.stages.vocabulary import SplitProtocol
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fusecat.stages.catalogue.validate import CatalogueReport

MOST_CLASSES = 12
"""Lines of the class table; of more classes the largest and the smallest are shown."""
BAR = 24
"""Characters of the longest bar."""


@click.command()
@catalogue_argument
@catalogue_options
@protocol_option("The split to try.")
@click.option("--split-seed", default=2020, help="Seed of the split.")
@study_options
def command(
    catalogue: Path, workspace: Path, protocol: SplitProtocol, split_seed: int, *, as_json: bool, **options: Any
) -> None:
    """Read and validate a catalogue: counts, classes, duplicates, unreadable pictures; trains nothing.

    What is learnt of the pictures is remembered in the workspace, if that may be written, so that 'extract' need not decode
    them again.
    """
    from fusecat.stages.catalogue.validate import validate

    place, screen = Workspace(workspace), console(quiet=as_json)
    unkept = not may_write(place.image_memory)
    with remembering(place, scratch=unkept) as memory, _Progress(screen) as progress:
        found = validate(
            catalogue,
            reading_options(options, memory.root),
            memory.image_memory,
            protocol=protocol,
            seed=split_seed,
            max_pixels=options["max_image_pixels"],
            progress=progress,
        )
    if unkept and progress.task is not None:
        warn(f"{place.image_memory} may not be written: what was learnt of the pictures is not remembered")
    if as_json:
        print_json(found.record)
    else:
        _show(screen, found)


class _Progress:
    """A live bar on a terminal, a plain line every tenth elsewhere; nothing where no picture has to be looked at."""

    def __init__(self, screen: "Console") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.screen, self.told = screen, 0
        columns = (TextColumn("looking at pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.live = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
        self.task: Any = None

    def __enter__(self) -> "_Progress":
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def __call__(self, done: int, total: int) -> None:
        if self.task is None:
            self.task = self.live.add_task("", total=total)
        self.live.update(self.task, completed=done)
        if not self.screen.is_terminal and done * 10 // total > self.told and total > 1000:
            self.told = done * 10 // total
            self.screen.print(f"looked at {done:,} of {total:,} pictures")


def _show(screen: "Console", found: "CatalogueReport") -> None:
    """Print what was found for a person."""
    record = found.record
    screen.print(f"[bold]{_text(record['catalogue'])}[/]  [dim]{record['layout']} layout[/]\n")
    screen.print(
        _table(("", "left"), ("", "right"), ("", "right"), ("what extract does with it", "left"), rows=_holdings(found))
    )
    screen.print()
    if found.split is None:
        screen.print("No product has a label: 'extract' needs some, 'predict' can classify these.\n")
    else:
        screen.print(_table(("class", "left"), ("name", "left"), ("products", "right"), ("", "left"), rows=_classes(found)))
        screen.print()
        parts = "   ".join(f"{part} [bold]{count:,}[/]" for part, count in found.split.counts.items())
        drawn = "given with the catalogue" if found.split.own else f"{found.split.protocol}, seed {found.split.seed}"
        screen.print(f"split ({drawn}):   {parts}\n")
    if not found.findings:
        screen.print("[bold green]Ready:[/] nothing to warn of.")
        return
    warnings = [
        (
            f"[yellow]{finding.kind.replace('_', ' ')}[/]",
            f"{finding.count:,}",
            f"{_text(finding.treatment)}\n[dim]{_text(finding.first)}[/]",
        )
        for finding in found.findings
    ]
    screen.print(_table(("warning", "left"), ("count", "right"), ("what extract does, and the first", "left"), rows=warnings))
    screen.print(
        f"\n[bold yellow]Ready, with {len(found.findings)} {'kinds' if len(found.findings) > 1 else 'kind'} of warning.[/]"
    )


def _holdings(found: "CatalogueReport") -> Iterator[tuple[str, ...]]:
    """What there is, how often, how much of all, and what becomes of it; lines of nothing are left out."""
    record, causes = found.record, found.images.causes
    products = record["products"]
    group = record["largest_group"]
    largest = f"{len(group):,}: {', '.join(group[:4])}{', ...' if len(group) > 4 else ''}"
    reasons = ", ".join(f"{cause} {count:,}" for cause, count in causes.items())
    lines = [
        ("products", products, "all of them get vectors"),
        ("with a label", record["labelled"], f"of {record['classes']} classes; the others are left out of training and scores"),
        ("without title", record["missing_titles"], "title masked in every merge"),
        ("without description", record["missing_descriptions"], "description masked in every merge; the title alone is joined"),
        *(
            (f"without {name}", count, f"{name} masked in every merge; of a joined text the rest is read")
            for name, count in record["missing_texts"].items()
        ),
        ("texts cut", record["cut_texts"], "longer than any network reads"),
        ("without picture", record["missing_images"], "picture masked in every merge"),
        ("unreadable pictures", record["unreadable_images"], f"picture masked: {reasons}"),
        ("flat pictures", record["flat_images"], "used; never taken for duplicates"),
        (
            "near duplicates" if found.catalogue.group_keys is None else "kept together",
            record["duplicates"],
            ("" if found.catalogue.group_keys is None else "near duplicates or one group of --group-by; ")
            + f"in {record['duplicate_groups']:,} groups, each on one side of the split; the largest of {largest}",
        ),
    ]
    for name, count, treatment in lines:
        if count or name == "with a label":
            whole = name == "with a label" and count == products
            treatment = f"of {record['classes']} classes" if whole else treatment
            yield name, f"{count:,}", f"{count / products:.1%}", _text(treatment)


def _classes(found: "CatalogueReport") -> Iterator[tuple[str, ...]]:
    """Type code, name, products and a bar, the largest first; the middle of a long list is left out."""
    names = found.catalogue.class_names
    ranked = sorted(found.balance.items(), key=lambda item: -item[1])
    half = MOST_CLASSES // 2
    shown = ranked if len(ranked) <= MOST_CLASSES else [*ranked[:half], None, *ranked[-half:]]
    for entry in shown:
        if entry is None:
            low, high = ranked[-half - 1][1], ranked[half][1]
            yield "...", f"[dim]{len(ranked) - 2 * half} more[/]", f"[dim]{low:,} to {high:,}[/]", ""
            continue
        code, count = entry
        bar = "━" * max(1, round(BAR * count / ranked[0][1]))
        yield _text(code[:30]), _text(names.get(code, "")[:40]), f"{count:,}", f"[cyan]{bar}[/]"


def _table(*columns: tuple[str, str], rows: Iterable[tuple[str, ...]]) -> "Table":
    """A table without lines."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row)
    return table


def _text(text: str) -> str:
    """Text from outside: no control characters, no markup."""
    from rich.markup import escape

    return escape(safe(text))
