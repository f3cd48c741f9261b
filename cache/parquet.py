"""Parquet files of others, read batch by batch: a few kilobytes can claim, and become, billions of values."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cache.bounds import at_most

GROWTH = 2**30
"""Bytes by which one batch may let the process grow."""
BATCH = 2**26
"""Bytes of a batch, as far as the file tells the truth about its sizes."""
PER_BYTE = 64
"""Rows that a byte of a file can stand for: a column of one value costs nothing, but rows differ in their ids."""


class Unreadable(Exception):
    """Why a Parquet file cannot be read, in words, without its name."""


def open_file(path: Path) -> Any:
    """The file (`pyarrow.parquet.ParquetFile`), its footer read. Raises ImportError without pyarrow, Unreadable, OSError."""
    from pyarrow import parquet

    with reading():
        file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    rows, size = file.metadata.num_rows, path.stat().st_size
    if not 0 <= rows <= PER_BYTE * size:
        message = f"it claims {rows} rows in {size} bytes"
        raise Unreadable(message)
    return file


def batches(file: Any, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Record batches of at most so many rows, fewer where rows are long. Raises Unreadable, OSError."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    found = file.iter_batches(max(1, min(rows, BATCH // max(1, longest))), columns=columns, use_threads=False)
    while True:
        with reading():
            batch = next(found, None)
        if batch is None:
            return
        yield batch


@contextmanager
def reading() -> Iterator[None]:
    """What pyarrow meets in a damaged or hostile file is Unreadable; a disk's own trouble stays what it is."""
    import pyarrow as pa

    try:
        with at_most(GROWTH):
            yield
    except MemoryError as error:
        message = f"reading it takes more than {GROWTH >> 30} GiB at once; smaller row groups, lists and texts are needed"
        raise Unreadable(message) from error
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = " ".join(str(error).split())[:160]
        raise Unreadable(message) from error
