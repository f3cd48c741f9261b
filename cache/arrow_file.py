"""An Arrow file or stream (Feather, a folder of Hugging Face `datasets`) behind the face of pyarrow's ParquetFile."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

MAGIC = b"ARROW1"
"""First bytes of a file; a stream begins with the length of its schema."""


class ArrowFile:
    """Read from the start for every pass: a memory map would count as memory of the process that reads for us."""

    def __init__(self, path: str) -> None:
        self._path = path
        rows = size = 0
        for batch in self._batches():
            rows, size = rows + len(batch), size + batch.nbytes
        group = SimpleNamespace(num_rows=rows, total_byte_size=size, num_columns=0)
        self.metadata = SimpleNamespace(num_rows=rows, num_row_groups=1, row_group=lambda _: group)

    def iter_batches(self, size: int, columns: Sequence[str] | None = None, *, use_threads: bool = False) -> Iterator[Any]:
        """Record batches of at most `size` rows."""
        del use_threads
        for batch in self._batches():
            chosen = batch if columns is None else batch.select(list(columns))
            yield from (chosen.slice(start, size) for start in range(0, len(chosen), size))

    def _batches(self) -> Iterator[Any]:
        import pyarrow as pa

        with pa.OSFile(self._path) as source:
            whole = source.read(len(MAGIC)) == MAGIC
            source.seek(0)
            reader = pa.ipc.open_file(source) if whole else pa.ipc.open_stream(source)
            self.schema_arrow = reader.schema
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches)) if whole else reader
