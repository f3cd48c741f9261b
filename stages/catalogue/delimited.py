"""Delimited text files, read strictly: what is not exactly a table is refused with the file, the line and the way out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from fusecat.stages.catalogue.columns import refuse_twice
from fusecat.stages.catalogue.dialect import BadLine, Dialect, detect
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.text_files import head_of, lines, refuse_other_formats


@dataclass(frozen=True)
class Table:
    """The header of one file; `rows` reads the rest. `places`: which cells of a line are read, None for all."""

    path: Path
    columns: tuple[str, ...]
    dialect: Dialect
    encoding: str
    places: tuple[int, ...] | None = None
    unit: str = "line"

    def rows(self) -> Iterator[tuple[int, Sequence[str]]]:
        """(first line in the file, cells) of every row; blank lines are no rows. Raises DataError at the first odd row."""
        expected, first, places = 0, 0, self.places
        pick = None if places is None else itemgetter(*places) if len(places) > 1 else lambda cells: [cells[places[0]]]
        try:
            for line, cells in self.dialect.records(lines(self.path, self.encoding)):
                if not expected:
                    expected, first = len(cells), line
                    continue
                if len(cells) != expected:
                    where = f"{self.path}: line {line} has {len(cells)} fields, {expected} expected"
                    fail(f"{where} ({_why(cells, expected, line - first)})")
                yield line, cells if pick is None else pick(cells)
        except BadLine as error:
            fail(f"{self.path}: {error}")

    def only(self, names: Sequence[str]) -> "Table":
        """The same table with these columns and no others. Raises DataError where one of them stands twice in the header."""
        refuse_twice(self.path, self.columns, names)
        return replace(self, columns=tuple(names), places=tuple(self.columns.index(name) for name in names))


def _why(cells: Sequence[str], expected: int, distance: int) -> str:
    """What may be wrong with a line of another number of fields, so many lines below the header."""
    if len(cells) < expected:
        return "cut off, a stray line break, or a line below the table? Mend or remove it"
    if not any(map(str.strip, cells[expected:])):
        return "do the lines end in a separator? Write one at the end of the header too"
    if distance == 1 and len(cells) == expected + 1:
        return "does the header lack the name of an index column?"
    return "a stray separator in a text?"


def open_table(path: Path, separator: str | None = None, encoding: str = "utf-8") -> Table:
    """Read the header of a file that `check_file` has let through and look over every line.

    `separator` None: the one in which the lines read. Raises DataError where the file is no text in that encoding or no table;
    UsageError for an encoding that does not exist.
    """
    refuse_other_formats(path, head_of(path), encoding)
    dialect = detect(lambda: lines(path, encoding), separator)
    try:
        header = next((cells for _, cells in dialect.records(lines(path, encoding)) if any(map(str.strip, cells))), None)
    except BadLine as error:
        fail(f"{path}: {error}")
    if header is None:
        fail(f"{path} holds nothing but blank lines")
    return Table(path, tuple(name.strip() for name in header), dialect, encoding)
