"""Attributes of a product (price, brand, size) as a vector: numbers scaled, categories one-hot, and what is missing said.

What was learnt from the products of train is numbers and texts (JSON): no pickle, and no library's own state.

Shapes: n rows, D width of the vector.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.source import Source
from fusecat.stages.catalogue.builder import NOTHING
from fusecat.stages.catalogue.columns import NotATextError, text
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.parquet import ParquetTable
from fusecat.stages.catalogue.tables import open_any
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.external.align import ID_NAMES, whole

NUMBER, CATEGORY = "number", "category"
RARE = 5
"""Products of train that a category needs for a column of its own: of fewer a head learns nothing, so they are pooled."""
MOST = 1000
"""Columns of one attribute, the most frequent first."""


@dataclass(frozen=True)
class Attribute:
    """One column of a table, as it was among the products of train.

    Of a number `middle` (the median, for what is missing), `mean` and `scale`: two columns, the scaled number and whether it is
    missing. Of a category its `values`: a column each, one for all others, and one for missing.
    """

    name: str
    kind: str
    middle: float = 0.0
    mean: float = 0.0
    scale: float = 1.0
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns of the vector."""
        return 2 if self.kind == NUMBER else len(self.values) + 2

    @property
    def told(self) -> str:
        """What it is, as a person reads it."""
        return f"{self.name} (number)" if self.kind == NUMBER else f"{self.name} ({len(self.values)} values, others pooled)"

    def fill(self, cells: Sequence[str | None], place: NDArray[np.float32]) -> None:
        """Write `cells` (n,), None where missing, into zeros (n, width). Raises ValueError for a cell that is no number."""
        missing = np.array([cell is None for cell in cells], bool)
        place[missing, -1] = 1
        if self.kind == NUMBER:
            found = np.array([self.middle if cell is None else number(cell, row) for row, cell in enumerate(cells)])
            place[:, 0] = (found - self.mean) / self.scale
            return
        columns = {value: column for column, value in enumerate(self.values)}
        for row in np.flatnonzero(~missing).tolist():
            place[row, columns.get(str(cells[row]), len(self.values))] = 1


@dataclass(frozen=True)
class Attributes:
    """The attributes of one feature, in the order of its columns."""

    columns: tuple[Attribute, ...]

    @property
    def width(self) -> int:
        """D."""
        return sum(column.width for column in self.columns)

    @property
    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"columns": [asdict(column) | {"values": list(column.values)} for column in self.columns]}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From JSON. Raises ValueError, TypeError or KeyError where it is none."""
        found = tuple(Attribute(**dict(each) | {"values": tuple(map(str, each["values"]))}) for each in record["columns"])
        for column in found:
            numbers = (column.middle, column.mean, column.scale)
            if column.kind not in (NUMBER, CATEGORY) or not all(map(math.isfinite, numbers)) or column.scale <= 0:
                raise ValueError(f"the attribute {column.name!r:.40} is {column.kind!r:.20} with {numbers}")
        return cls(found)

    @classmethod
    def fit(cls, path: Path, wanted: str, train: Mapping[str, int], id_column: str | None = None) -> Self:
        """Learn `price,brand,year=category` of a table from the products `train` (id -> class).

        A column whose cells are all numbers is a number, unless `=category` says otherwise. Raises UsageError, DataError: also
        for a column that says the class itself, which no new product has.
        """
        kinds = {}
        for piece in wanted.split(","):
            name, _, kind = (part.strip() for part in piece.partition("="))
            if (kind and kind not in (NUMBER, CATEGORY)) or not name or name in kinds:
                raise UsageError(
                    f"--attributes {piece}: COLUMN, COLUMN={NUMBER} or COLUMN={CATEGORY} is needed, each column once"
                )
            kinds[name] = kind
        ids, cells = read_cells(path, tuple(kinds), id_column)
        ids = whole(ids, train)
        rows = [row for row, identity in enumerate(ids) if identity in train]
        if not rows:
            raise DataError(f"{path}: none of its {len(ids)} ids is a product of train; the first is '{ids[0] if ids else ''}'")
        for name in kinds:
            pairs = {(cells[name][row], train[ids[row]]) for row in rows}
            values, classes = ({pair[side] for pair in pairs} for side in (0, 1))
            if len(pairs) == len(values) == len(classes) > 1 and len(rows) > len(pairs) and None not in values:
                raise DataError(
                    f"--attributes {name}: in train each of its values stands for one class: it is the label, leave it out"
                )
        return cls(tuple(_learnt(name, kind, {row: cells[name][row] for row in rows}) for name, kind in kinds.items()))


class AttributeTable(Source):
    """A table of attributes as a source of vectors; a row without any attribute has none."""

    def __init__(self, path: Path, attributes: Attributes, id_column: str | None) -> None:
        self.names = tuple(column.name for column in attributes.columns)
        self._ids, cells = read_cells(path, self.names, id_column)
        self.rows, self.width = len(self._ids), attributes.width
        self._vectors = np.zeros((self.rows, self.width), np.float32)
        start = 0
        for column in attributes.columns:
            try:
                column.fill(cells[column.name], self._vectors[:, start : start + column.width])
            except ValueError as error:
                way = f"leave it empty, or import the attribute anew as {column.name}={CATEGORY}"
                raise DataError(f"{path}: column {column.name}: {error}; {way}") from error
            start += column.width
        self._empty = np.array([not any(row) for row in zip(*(cells[name] for name in self.names), strict=True)], bool)
        self._vectors[self._empty] = 0

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        yield self._vectors

    def column(self, *names: str) -> Iterator[NDArray[Any]] | None:
        """The ids, whatever their column is called."""
        return None if names == ("present",) else iter([np.array(self._ids)])

    def gaps(self) -> NDArray[np.intp]:
        """The rows that have no attribute at all."""
        return np.flatnonzero(self._empty)


def read_cells(path: Path, names: Sequence[str], id_column: str | None) -> tuple[list[str], dict[str, list[str | None]]]:
    """Ids, and the cells of each column, None where there is nothing. Raises DataError, UsageError."""
    table = open_any(path, path.parent, ReadingOptions(follow_symlinks=True))
    index = table.file.index if isinstance(table, ParquetTable) else ()
    own = id_column or next((name for name in table.columns if name.lower() in ID_NAMES or name in index), table.columns[0])
    for name in (own, *names):
        if name not in table.columns:
            raise UsageError(f"{path} has no column '{name}'; it has {', '.join(table.columns)}")
    ids, cells = [], {name: list[str | None]() for name in names}
    for place, row in table.only((own, *names)).rows():
        try:
            identity, *found = [text(cell).strip() for cell in row]
        except NotATextError as error:
            raise DataError(f"{path}: {table.unit} {place}: {error}, not a text or a number; choose other columns") from error
        ids.append(identity)
        for name, cell in zip(names, found, strict=True):
            cells[name].append(None if not cell or cell in NOTHING else cell)
    return ids, cells


def number(cell: str, row: int) -> float:
    """A finite number, with a point or a comma. Raises ValueError with its row, from 1."""
    plain = cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell
    try:
        found = float(plain)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"row {row + 1} holds {cell!r:.40}, which is no number")
    return found


def _learnt(name: str, kind: str, cells: Mapping[int, str | None]) -> Attribute:
    """An attribute from its cells, by their rows."""
    there = {row: cell for row, cell in cells.items() if cell is not None}
    if not there:
        raise DataError(f"--attributes {name}: no product of train has it; leave it out")
    try:
        numbers = np.array([number(cell, row) for row, cell in there.items()]) if kind != CATEGORY else np.zeros(0)
    except ValueError as error:
        if kind == NUMBER:
            raise DataError(f"--attributes {name}={NUMBER}: {error}") from error
        if sum(map(_is_number, there.values())) > len(there) / 2:
            way = f"leave the cell empty, or pass {name}={CATEGORY}"
            raise DataError(f"--attributes {name}: {error}, and most others are; {way}") from error
        numbers = np.zeros(0)
    if len(numbers):
        if kind != NUMBER and (row := _thousands(there)) is not None:
            way = f"write numbers without, as 1299 or 1299.50, or pass {name}={NUMBER} where it is a decimal point"
            raise DataError(f"--attributes {name}: is the point of {there[row]!r} (row {row + 1}) a mark of thousands? {way}")
        middle, scale = float(np.median(numbers)), float(numbers.std())
        return Attribute(name, NUMBER, middle, float(numbers.mean()), scale if scale > 0 else 1.0)
    counts = Counter(there.values()).most_common(MOST)
    values = tuple(sorted(value for value, count in counts if count >= RARE))
    if not values:
        told = f"none of its {len(counts)} values occurs {RARE} times in train (one is {counts[0][0]!r:.40})"
        raise DataError(f"--attributes {name}: {told}; if these are numbers, write plain ones (1234.50), else leave it out")
    return Attribute(name, CATEGORY, values=values)


def _thousands(cells: Mapping[int, str]) -> int | None:
    """The first row with a point if all points stand before three digits, and whole numbers beside them: `1.299`, `899`."""
    pointed = {row: cell for row, cell in cells.items() if "." in cell}
    marks = all(re.fullmatch(r"[-+]?[1-9]\d{0,2}(\.\d{3})+", cell) for cell in pointed.values())
    return next(iter(pointed), None) if marks and len(pointed) < len(cells) else None


def _is_number(cell: str) -> bool:
    try:
        number(cell, 0)
    except ValueError:
        return False
    return True
