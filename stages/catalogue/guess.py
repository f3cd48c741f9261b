"""Guess which column is what, from names in several languages and from the first rows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from fusecat.stages.catalogue.column_names import NAMES, ONLY_PRODUCT, bare, further_name, is_named, plain
from fusecat.stages.catalogue.columns import Cell, NotATextError, NoText, is_header, text
from fusecat.stages.catalogue.tables import AnyTable

ROWS = 200
"""Rows that are looked at."""

_INDEX = r"|unnamed:_0|index|__index_level_0__"
"""What pandas calls an index; it is the id only where no other column is."""
_NO_LABEL = (
    r"brand|marque|marke|marca|manufacturer|fabricant|hersteller|vendor|seller|supplier|lieferant|fournisseur|colou?r|couleur|"
    r"farbe|size|taille|currency|devise|country|pays|land|gender|language|langue|lang|locale|split|set|fold|part|source|condition|"
    r"year|reviews?(_\w+)?"
)
"""Columns, without the word product, that are seldom the class, a title or a description."""
_TAKEN_FOR = {"label": "few values", "title": "words", "description": "length"}
NO_CLASS = "no column looks like the class"
_PICTURE = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?)\b", re.IGNORECASE)
_DECIMAL = re.compile(r"[-+]?\d+[.,]\d+")
_BOOLEAN = frozenset({"true", "false", "yes", "no", "oui", "non", "0", "1", "t", "f", "y", "n"})


@dataclass(frozen=True)
class Guess:
    """Field -> column, and what speaks against it, in words."""

    columns: dict[str, str]
    doubts: tuple[str, ...]


def guess(table: AnyTable) -> Guess:
    """The fields that names or contents tell; never one column for two fields."""
    values = sample(table)
    found: dict[str, str] = {}
    doubts: list[str] = []
    for by in (_by_name, _by_content):
        for field in NAMES:
            free = [name for name in values if name not in found.values() and (name or field == "id")]
            if field not in found and (column := by(field, free, values)) is not None:
                found[field] = column
                if by is _by_content and field in _TAKEN_FOR:
                    doubts.append(f"{field}={column} was taken for its {_TAKEN_FOR[field]}")
    columns = {field: found[field] for field in NAMES if field in found}
    return Guess(columns, (*_doubts(columns, values), *doubts))


def sample(table: AnyTable) -> dict[str, list[str]]:
    """Column -> its first cells as texts; one that holds a picture looks like the name of one."""
    rows = [cells for _, cells in islice(table.rows(), ROWS) if not is_header(cells, table.columns)]
    return {name: [_shown(row[number]) for row in rows] for number, name in enumerate(table.columns)}


def _shown(cell: Cell) -> str:
    try:
        return text(cell).strip()
    except NotATextError:
        items = cell if isinstance(cell, tuple) else (cell,)
        return "picture.jpg" if any(isinstance(item, NoText) and item.picture for item in items) else ""


def _doubts(found: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if twice := next((name for name, cells in values.items() if name and name in cells), None):
        yield f"{twice} is a cell too: is the header missing? Write one as first line"
    if "id" not in found:
        named = next((name for name in values if name and is_named("id", name)), None)
        repeats = named is not None and len(set(values[named])) < len(values[named])
        why = f"{named} repeats" if repeats else "no column has a name of its own for every row"
        yield f"{why}, so the number of a row is its id"
    if "label" in found and all(map(_DECIMAL.fullmatch, filter(None, values[found["label"]]))):
        yield f"{found['label']} holds numbers to regress, classes are expected"
    if "label" not in found:
        few = [
            name
            for name in values
            if name and name not in found.values() and 1 < len(set(values[name])) <= len(values[name]) // 3
        ]
        named = f" ({', '.join(few[:3])} have few values)" if few else ""
        yield f"{NO_CLASS}{named}: add label=COLUMN"


def _by_name(field: str, columns: Sequence[str], values: Mapping[str, Sequence[str]]) -> str | None:
    """The first column with a name that fits; an id must be unique, and pictures must look like file names."""
    for pattern in (*NAMES[field], *([_INDEX] if field == "id" else [])):
        for column in columns:
            named = bare if pattern != _INDEX else plain
            number = pattern == ONLY_PRODUCT and not any(" " in cell for cell in values[column])
            if re.fullmatch(pattern, named(column)) and _fits(field, values[column]) and not number:
                return column
    return None


def _by_content(field: str, columns: Sequence[str], values: Mapping[str, Sequence[str]]) -> str | None:
    """The column whose cells fit best, where names say nothing."""

    def length(column: str) -> float:
        return sum(map(len, values[column])) / max(1, len(values[column]))

    fitting = [column for column in columns if _fits(field, values[column]) and any(values[column])]
    if field == "id":
        return next(
            (column for column in fitting if all(re.fullmatch(r"[^\s/]*\d[^\s/]*", cell) for cell in values[column])), None
        )
    if field == "image":
        return fitting[0] if fitting else None
    if field == "label":
        few = [
            column
            for column in fitting
            if len(set(values[column])) <= max(2, len(values[column]) // 3) and not re.fullmatch(_NO_LABEL, bare(column))
        ]
        return min(few, key=lambda column: len(set(values[column])), default=None)
    wordy = [
        column
        for column in fitting
        if any(" " in value for value in values[column])
        and 3 * len(set(values[column])) > len(values[column])
        and further_name(column) is None
        and not re.fullmatch(_NO_LABEL, bare(column))
    ]
    return (min if field == "title" else max)(wordy, key=length, default=None)


def _fits(field: str, cells: Sequence[str]) -> bool:
    """Whether cells can be that field at all."""
    filled = [cell for cell in cells if cell]
    if field == "id":
        return len(filled) == len(cells) == len(set(cells)) and all(
            len(cell) <= 64 and not _PICTURE.search(cell) and not _DECIMAL.fullmatch(cell.removesuffix(".0")) for cell in cells
        )
    if field == "image":
        return any(_PICTURE.search(cell) for cell in filled)
    if field == "label":
        kinds = {cell.casefold() for cell in filled}
        return 1 < len(set(filled)) < max(3, len(filled)) and max(map(len, filled)) <= 100 and not kinds <= _BOOLEAN
    return not any(_PICTURE.search(cell) for cell in filled[:20])
