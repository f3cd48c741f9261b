"""Objects (of JSON, of a WebDataset) as a table: their keys are its columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from fusecat.stages.catalogue.columns import Cell, cell_of


@dataclass(frozen=True)
class Records:
    """The keys of all objects of a file, in the order of first sight; `read` gives their numbers and the objects.

    `expected`: what is said of such a file where a column is missing.
    """

    path: Path
    columns: tuple[str, ...]
    unit: str
    read: Callable[[], Iterator[tuple[int, Mapping[str, Any]]]] = field(repr=False, compare=False)
    expected: str = ""

    @classmethod
    def of(cls, path: Path, unit: str, read: Callable[[], Iterator[tuple[int, Mapping[str, Any]]]], expected: str = "") -> Self:
        """Read every key. Raises what `read` raises."""
        names: dict[str, None] = {}
        for _, row in read():
            names |= dict.fromkeys(row)
        return cls(path, tuple(names), unit, read, expected)

    def rows(self) -> Iterator[tuple[int, Sequence[Cell]]]:
        """Number and cells of every object; a key that an object lacks is an empty cell."""
        for number, row in self.read():
            yield number, [cell_of(row.get(name)) for name in self.columns]

    def only(self, names: Sequence[str]) -> Self:
        """The same table with these columns and no others."""
        return replace(self, columns=tuple(names))
