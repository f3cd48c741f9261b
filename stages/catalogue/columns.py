"""Which column is what: `id=sku,title=name,description="{brand} {bullets}"`, as a flag or in catalogue.toml."""

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from fusecat.stages.catalogue.column_names import is_named
from fusecat.stages.catalogue.messages import fail, offered, shorten
from fusecat.stages.errors import UsageError
from fusecat.stages.fields import reserved

MOST = 12
"""Columns that a message names."""
FIELDS = ("id", "title", "description", "label", "image")
"""What a mapping may name; every other name is that of a further text (see `stages.fields`)."""


@dataclass(frozen=True)
class NoText:
    """A cell that is no text; `picture` where it is the bytes of a file."""

    what: str
    picture: bytes | None = None


Cell = str | NoText | tuple["str | NoText", ...]
"""Text, the items of a list (Parquet, JSON), or something else, which is refused only where a text is asked for."""


class NotATextError(ValueError):
    """A cell that was asked for as a text, and what it is instead."""


_PAIR = re.compile(r"""\s*([^=,]+?)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,]*))\s*(?:,|$)""")
_HOLE = re.compile(r"\{([^{}]*)\}")


def parse_columns(text: str) -> dict[str, str]:
    """Field -> column or template. Raises UsageError naming the piece that is not understood, and the nearest known field.

    A name that is no known field is a text of one's own: `brand=marque`.
    """
    columns: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:
            raise UsageError(
                f'--columns: {text[place:]!r} is not FIELD=COLUMN (as in id=sku,title=name,description="{{brand}} {{bullets}}")'
            )
        name, value = match[1], next(group for group in match.groups()[1:] if group is not None)
        if name in columns:
            raise UsageError(f"--columns: {name} stands twice")
        columns[name] = value.strip()
        place = match.end()
    check_fields(columns, "--columns")
    return columns


def check_fields(names: Collection[str], where: str) -> None:
    """Raise UsageError for a field that cannot be, or that looks like another: any other word is a text of one's own."""
    for name in names:
        if name in FIELDS:
            continue
        near = difflib.get_close_matches(name, FIELDS, 1, 0.75)
        near = near or [field for field in ("id", "title", "label", "image") if field not in names and is_named(field, name)]
        if near:
            own = ", or another name for a text of its own" if near[0] in names else ""
            raise UsageError(f"{where}: unknown field {name!r}: did you mean {near[0]}{own}?")
        if why := reserved(name):
            known = f"known are {', '.join(FIELDS)}, and texts of your own such as brand"
            raise UsageError(f"{where}: unknown field {name!r}: {why}; {known}")


def further(columns: Collection[str]) -> tuple[str, ...]:
    """The texts of a mapping beside title and description, in its order."""
    return tuple(name for name in columns if name not in FIELDS)


def holes(template: str) -> list[str]:
    """The columns that a template names; a plain column name is not a template."""
    return _HOLE.findall(template)


def check_columns(template: str, columns: Sequence[str], where: str, way: str = "") -> None:
    """Raise DataError where a column that a template (or plain name) needs does not exist, with those that do, and a `way`."""
    missing = [name for name in (holes(template) or [template]) if name not in columns]
    if missing:
        plain = {name.casefold(): name for name in columns}
        nearest = [plain[near] for near in difflib.get_close_matches(missing[0].casefold(), plain, 1)]
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        if sum(map(bool, columns)) == 1 or any(re.fullmatch(r"[\d.,]+", name) for name in columns):
            # a line before the header, no header, or another separator than was found out
            separator = offered("--separator", ", or pass --separator")
            hint = f" (is the first line no header? Remove what stands before it, or write one{separator})"
        fail(f"{where}: column {missing[0]!r} missing{hint}; columns found: {listed(columns)}{way}")


def resolved(template: str, columns: Sequence[str]) -> str:
    """The template with names as the table spells them: accents (NFC, NFD) and kinds of blanks cannot be seen in a message."""
    alike: dict[str, list[str]] = {}
    for name in columns:
        alike.setdefault(_seen(name), []).append(name)

    def own(name: str) -> str:
        found = alike.get(_seen(name), [])
        return found[0] if name not in columns and len(found) == 1 else name

    return _HOLE.sub(lambda hole: f"{{{own(hole[1])}}}", template) if holes(template) else own(template)


def _seen(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def is_header(cells: Sequence[Cell], columns: Sequence[str]) -> bool:
    """Whether a row says the names of its columns again, as where tables were put together."""
    return len(columns) > 1 and all(
        isinstance(cell, str) and cell.strip() == name for cell, name in zip(cells, columns, strict=True)
    )


def filler(
    template: str, columns: Sequence[str], guard: Callable[[str], str] | None = None
) -> Callable[[Sequence[Cell]], Cell]:
    """How to get a field from the cells of a row: one cell as it is, or a template with its holes filled.

    `guard` sees what fills a hole, and raises where it must not.
    """
    number = {name: index for index, name in enumerate(columns)}
    if not holes(template):
        place = number[template]
        return lambda cells: cells[place]
    check = guard or str
    return lambda cells: _HOLE.sub(lambda hole: check(text(cells[number[hole[1]]])), template)


def text(cell: Cell) -> str:
    """A cell as text: the items of a list with a blank between them. Raises NotATextError."""
    if isinstance(cell, tuple):
        return " ".join(map(text, cell))
    if isinstance(cell, NoText):
        raise NotATextError(cell.what)
    return cell


def cell_of(value: Any) -> Cell:
    """A value of Parquet or JSON as a cell: nothing for null and NaN, no `.0` behind whole numbers, a list as its items.

    `{"bytes", "path"}`, in which Hugging Face keeps a picture, is the picture, or its path where there are no bytes.
    """
    if isinstance(value, list):
        flat = [item for each in value for item in (each if isinstance(each, list) else [each])]
        return tuple(_cell(item) for item in flat if item is not None)
    return _cell(value)


def _cell(value: Any) -> str | NoText:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return NoText("binary", value)
    if isinstance(value, dict):
        if value.keys() == {"bytes", "path"}:
            return _cell(value["bytes"] if value["bytes"] is not None else value["path"])
        return NoText("a struct")
    if isinstance(value, list):
        return NoText("a list of lists of lists")
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def refuse_twice(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise DataError where a column that is asked for stands twice in the header."""
    for name in names:
        if columns.count(name) > 1:
            fail(f"{path}: the column name {name!r} stands twice in the header: rename or remove one")


def listed(columns: Sequence[str]) -> str:
    """Names of columns as a message shows them, the first of many."""
    more = f" and {len(columns) - MOST} more" if len(columns) > MOST else ""
    return ", ".join(shorten(_seen(name), 40) or "(unnamed)" for name in columns[:MOST]) + more


def shown(columns: Mapping[str, str]) -> str:
    """The mapping as `--columns` takes it, quoted where needed."""
    return ",".join(f"{field}={_quoted(_seen(column))}" for field, column in columns.items())


def _quoted(column: str) -> str:
    if not re.search(r"""[ ,={}"']""", column):
        return column
    return f"'{column}'" if '"' in column else f'"{column}"'
