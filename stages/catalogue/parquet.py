"""Parquet tables as rows of text. pyarrow is needed for this only (`pip install 'fusecat[parquet]'`)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from fusecat.cache.parquet_claims import ParquetFile, Unreadable, converting
from fusecat.stages.catalogue.columns import Cell
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.errors import UsageError

BATCH = 4096
"""Rows in memory at a time."""


@dataclass(frozen=True)
class ParquetTable:
    """The columns of one file; `rows` reads it. The same face as `stages.catalogue.delimited.Table`."""

    path: Path
    columns: tuple[str, ...]
    file: ParquetFile = field(repr=False, compare=False)
    unit: str = field(default="row", init=False)

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """(number of the row from 1, cells). Raises DataError where the file is damaged or a cell is binary."""
        number = 0
        try:
            for batch in self.file.batches(BATCH):
                with converting():
                    columns = [column.to_pylist() for column in batch.columns]
                    rows = [
                        [self._cell(value, name, row) for name, value in zip(self.columns, values, strict=True)]
                        for row, values in enumerate(zip(*columns, strict=True), number + 1)
                    ]
                del columns
                for cells in rows:
                    number += 1
                    yield number, cells
        except Unreadable as error:
            fail(f"{self.path}: row {number + 1}: cannot be read ({error}): write it again")

    def _cell(self, value: Any, name: str, number: int) -> Cell:
        if isinstance(value, bytes | dict):
            what = "binary" if isinstance(value, bytes) else "a struct"
            fail(f"{self.path}: row {number}, column {name}: {what}, not text; pictures are read from files: store their names")
        if isinstance(value, list):
            return tuple(_text(item) for item in value if item is not None)
        return _text(value)


def open_parquet(path: Path) -> ParquetTable:
    """Read the schema. Raises UsageError where pyarrow is not installed, DataError where the file is no Parquet file."""
    try:
        file = ParquetFile(path)
    except ImportError as error:
        message = f"{path}: reading Parquet needs pyarrow: pip install 'fusecat[parquet]'"
        raise UsageError(message) from error
    except Unreadable as error:
        fail(f"{path} is not a whole Parquet file ({error}): write it again")
    names = file.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        fail(f"{path}: the column name {twice!r} stands twice: rename or remove one")
    return ParquetTable(path, names, file)


def _text(value: Any) -> str:
    """A value as the text that a CSV would have: nothing for null and NaN, no `.0` behind whole numbers."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)
