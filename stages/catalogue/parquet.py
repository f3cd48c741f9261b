"""Parquet tables, and Arrow files, as rows of text. pyarrow is needed for this only (`pip install 'fusecat[parquet]'`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fusecat.cache.parquet_claims import ARROW, ParquetFile, Unreadable, converting
from fusecat.stages.catalogue.columns import Cell, cell_of, refuse_twice
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.text_files import head_of
from fusecat.stages.errors import UsageError

BATCH = 4096
"""Rows in memory at a time."""


@dataclass(frozen=True)
class ParquetTable:
    """The columns of one file; `rows` reads it."""

    path: Path
    columns: tuple[str, ...]
    file: ParquetFile = field(repr=False, compare=False)
    unit: str = field(default="row", init=False)

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Column -> the names of its numbers from 0 on, where the file has them (Hugging Face)."""
        return self.file.class_names

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """(number of the row from 1, cells). Raises DataError where the file is damaged."""
        number = 0
        whole = self.columns == self.file.names
        try:
            for batch in self.file.batches(BATCH, None if whole else self.columns):
                with converting():
                    order = range(len(self.columns)) if whole else map(batch.schema.get_field_index, self.columns)
                    columns = [batch.column(place).to_pylist() for place in order]
                    rows = [[cell_of(value) for value in values] for values in zip(*columns, strict=True)]
                del columns
                for cells in rows:
                    number += 1
                    yield number, cells
        except Unreadable as error:
            fail(f"{self.path}: row {number + 1}: cannot be read ({error}): write it again")

    def only(self, names: Sequence[str]) -> "ParquetTable":
        """The same table with these columns and no others; the others are never read. Raises DataError."""
        refuse_twice(self.path, self.columns, names)
        return replace(self, columns=tuple(names))


def open_parquet(path: Path) -> ParquetTable:
    """Read the schema. Raises UsageError where pyarrow is not installed, DataError where the file is no Parquet file."""
    if head_of(path).startswith(b"FEA1"):
        fail(f"{path} is Feather of version 1, which is not read: write it as Parquet (pandas: read_feather, then to_parquet)")
    try:
        file = ParquetFile(path)
    except ImportError as error:
        raise UsageError(f"{path}: reading Parquet needs pyarrow: pip install 'fusecat[parquet]'") from error
    except Unreadable as error:
        kind = "Arrow" if path.suffix.lower() in ARROW else "Parquet"
        fail(f"{path} is not a whole {kind} file ({error}): write it again")
    return ParquetTable(path, file.names, file)
