"""Guess which column is what, from names in several languages and from the first rows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from fusecat.stages.catalogue.columns import Cell, text

ROWS = 200
"""Rows that are looked at."""

_NAMES: Mapping[str, str] = {
    "id": r"id|sku|ean|gtin|asin|ref|uid|index|key|code_?(produit|article)|artikel_?nr|(product|item|integer)_?(id|code)",
    "title": r"title|name|titre|nom|designation|libell?e|titel|nombre|titolo|produkt(name)?|product_?(name|title)|bezeichnung",
    "description": r"desc(ription)?|long_?desc.*|body|bullets?|details?|beschreibung|descripcion|descrizione|omschrijving",
    "label": r"label|category|categorie|class|target|type|prdtypecode|kategorie|categoria|rayon|famille|product_?type|afdeling",
    "image": r"images?|photos?|pictures?|img|image_?(file|path|name)|filename|bild(er)?|fotos?|imagen|immagine",
}
_PICTURE = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?)\b", re.IGNORECASE)


class Rows(Protocol):
    """What is looked at: a table of either kind."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names, in the order of the cells."""

    def rows(self) -> Iterator[tuple[int, Sequence[Cell]]]:
        """Number and cells of every row."""


def guess(table: Rows) -> dict[str, str]:
    """Field -> column, for the fields that names or contents tell; never one column for two fields."""
    sample = [[text(cell) for cell in cells] for _, cells in islice(table.rows(), ROWS)]
    values = {name: [row[number] for row in sample] for number, name in enumerate(table.columns)}
    found: dict[str, str] = {}
    for by in (_by_name, _by_content):
        for field in _NAMES:
            free = [name for name in table.columns if name and name not in found.values()]
            if field not in found and (column := by(field, free, values)) is not None:
                found[field] = column
    return {field: found[field] for field in _NAMES if field in found}


def _by_name(field: str, columns: Sequence[str], values: Mapping[str, Sequence[str]]) -> str | None:
    """The first column with a name that fits; an id must be unique, and pictures must look like file names."""
    for column in columns:
        if re.fullmatch(_NAMES[field], column.strip().casefold().replace(" ", "_").replace("-", "_")) and _fits(
            field, values[column]
        ):
            return column
    return None


def _by_content(field: str, columns: Sequence[str], values: Mapping[str, Sequence[str]]) -> str | None:
    """The column whose cells fit best, where names say nothing."""

    def length(column: str) -> float:
        return sum(map(len, values[column])) / max(1, len(values[column]))

    fitting = [column for column in columns if _fits(field, values[column]) and any(values[column])]
    if field in {"id", "image"}:
        return fitting[0] if fitting else None
    if field == "label":
        few = [column for column in fitting if len(set(values[column])) <= max(2, len(values[column]) // 3)]
        return min(few, key=lambda column: len(set(values[column])), default=None)
    wordy = [column for column in fitting if any(" " in value for value in values[column])]
    return (min if field == "title" else max)(wordy, key=length, default=None)


def _fits(field: str, cells: Sequence[str]) -> bool:
    """Whether cells can be that field at all."""
    filled = [cell for cell in cells if cell]
    if field == "id":
        return len(filled) == len(cells) == len(set(cells)) and all(
            len(cell) <= 64 and not _PICTURE.search(cell) for cell in cells
        )
    if field == "image":
        return any(_PICTURE.search(cell) for cell in filled)
    if field == "label":
        return 1 < len(set(filled)) < max(3, len(filled)) and max(map(len, filled)) <= 100
    return not any(_PICTURE.search(cell) for cell in filled[:20])
