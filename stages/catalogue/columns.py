"""Which column is what: `id=sku,title=name,description="{brand} {bullets}"`, as a flag or in catalogue.toml."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence

from fusecat.stages.catalogue.messages import fail
from fusecat.stages.errors import UsageError

FIELDS = ("id", "title", "description", "label", "image")
REQUIRED = ("id", "title")

Cell = str | tuple[str, ...]
"""Text, or the items of a list column (Parquet)."""

_PAIR = re.compile(r"""\s*([^=,]+?)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,]*))\s*(?:,|$)""")
_HOLE = re.compile(r"\{([^{}]*)\}")


def parse_columns(text: str) -> dict[str, str]:
    """Field -> column or template. Raises UsageError naming the piece that is not understood, and the nearest known field."""
    columns: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:
            message = (
                f'--columns: {text[place:]!r} is not FIELD=COLUMN (as in id=sku,title=name,description="{{brand}} {{bullets}}")'
            )
            raise UsageError(message)
        name, value = match[1], next(group for group in match.groups()[1:] if group is not None)
        check_field(name, "--columns")
        if name in columns:
            message = f"--columns: {name} stands twice"
            raise UsageError(message)
        columns[name] = value.strip()
        place = match.end()
    return columns


def check_field(name: str, where: str) -> None:
    """Raise UsageError for a field that does not exist, with the nearest that does."""
    if name not in FIELDS:
        nearest = difflib.get_close_matches(name, FIELDS, 1, 0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(FIELDS)}"
        message = f"{where}: unknown field {name!r}: {hint}"
        raise UsageError(message)


def holes(template: str) -> list[str]:
    """The columns that a template names; a plain column name is not a template."""
    return _HOLE.findall(template)


def filler(
    template: str, columns: Sequence[str], where: str, guard: Callable[[str], str] | None = None
) -> Callable[[Sequence[Cell]], Cell]:
    """How to get a field from the cells of a row: one cell as it is, or a template with its holes filled.

    `guard` sees what fills a hole, and raises where it must not.

    Raises: DataError where a column does not exist, with those that do.
    """
    number = {name: index for index, name in enumerate(columns)}
    named = holes(template)
    missing = [name for name in (named or [template]) if name not in number]
    if missing:
        found = ", ".join(name or "(unnamed)" for name in columns[:12])
        nearest = difflib.get_close_matches(missing[0], columns, 1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        fail(f"{where}: column {missing[0]!r} missing{hint}; columns found: {found}")
    if not named:
        place = number[template]
        return lambda cells: cells[place]
    check = guard or str
    return lambda cells: _HOLE.sub(lambda hole: check(text(cells[number[hole[1]]])), template)


def text(cell: Cell) -> str:
    """A cell as text: the items of a list with a blank between them."""
    return cell if isinstance(cell, str) else " ".join(cell)


def shown(columns: Mapping[str, str]) -> str:
    """The mapping as `--columns` takes it, quoted where needed."""
    return ",".join(f"{field}={_quoted(column)}" for field, column in columns.items())


def _quoted(column: str) -> str:
    if not re.search(r"""[ ,={}"']""", column):
        return column
    return f"'{column}'" if '"' in column else f'"{column}"'
