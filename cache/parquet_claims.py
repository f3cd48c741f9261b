"""Parquet files of others, read by a process of their own: pyarrow fills the memory, or aborts, where a file tells it to.

The process reads `{"path": ...}` as one JSON line and answers with what the file holds; then each line `{"columns", "rows"}`
with batches: a JSON line that says how many bytes follow, the batch as an Arrow stream, and in the end a line without bytes. A
line with an `error` says what is wrong; if the process ends without one, the file was its end.
"""

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fusecat.cache.bounds import at_most

GROWTH = 2**30
"""Bytes by which reading may let that process grow."""
BATCH = 2**26
"""Bytes of a batch, as far as the file tells the truth about its sizes."""
LARGEST = 2**27
"""Bytes of a batch, at most: one row may be larger than it should."""
ITEMS = 2**22
"""Values of a batch that become objects of Python, at most; a few bytes can stand for a list of a billion."""
PER_BYTE = 64
"""Rows that a byte of a file can stand for: a column of one value costs nothing, but rows differ in their ids."""

ARROW = (".arrow", ".feather")
"""Endings of Arrow files, which are read too."""

_MAIN = "import sys; sys.path.insert(0, {root!r}); from fusecat.cache.parquet_claims import serve; serve()"
_BOMB = "reading it takes too much memory at once; smaller row groups, lists and texts are needed"
_END = "it ends the process that reads it: it is damaged, or takes too much memory"


class Unreadable(Exception):
    """Why a Parquet file cannot be read, in words, without its name."""


@dataclass(frozen=True)
class Column:
    """`kind`: Arrow's type in words. Of lists `items`, numpy's name of what they hold; `values`, how many the file claims."""

    kind: str
    items: str = ""
    values: int = 0


class ParquetFile:
    """A file of which `rows`, `names`, `columns` and the columns of pandas' `index` are known.

    Raises: ImportError without pyarrow, Unreadable, OSError.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow  # noqa: F401 - what is missing shows here

        with path.open("rb"):  # and what the disk or the rights refuse
            pass
        self._path = path
        self._idle = [_Reader(path)]
        told = self._idle[0].told
        self.rows = int(told["rows"])
        self.names = tuple(name for name, _ in told["columns"])
        self.columns = {name: Column(*known) for name, known in told["columns"]}
        self.class_names = {name: tuple(names) for name, names in told["class_names"].items()}
        self.index = tuple(name for name in told["index"] if name in self.columns)
        size = path.stat().st_size
        if not 0 <= self.rows <= PER_BYTE * size:
            raise Unreadable(f"it claims {self.rows} rows in {size} bytes")

    def batches(self, rows: int, columns: Sequence[str] | None = None, *, items: int = ITEMS) -> Iterator[Any]:
        """Record batches of at most so many rows, fewer where rows are long or hold many items; `columns`: all by default.

        Raises: Unreadable, also where there are not as many rows as the file claims.
        """
        reader = self._idle.pop() if self._idle else _Reader(self._path)
        count, complete = 0, False
        try:
            for batch in reader.batches({"columns": columns, "rows": rows, "items": items}):
                count += len(batch)
                yield batch
            complete = True
        finally:
            if complete:
                self._idle.append(reader)
            else:  # whoever stops early leaves half an answer
                reader.end()
        if count != self.rows:
            raise Unreadable(f"it claims {self.rows} rows and has {count}")


class _Reader:
    """One process that reads one file; it ends with this object. `told`: what the file holds."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", _MAIN.format(root=str(Path(__file__).parents[2]))]
        # Arrow's own allocator takes a gigabyte of addresses before the first byte
        environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment)  # noqa: S603 - our own code
        self.end = weakref.finalize(self, _end, self._process)
        self.told = self._ask({"path": str(path.absolute())})

    def batches(self, request: Any) -> Iterator[Any]:
        """The record batches of one answer."""
        import pyarrow as pa

        told = self._ask(request)
        while size := told["bytes"]:
            with converting(), pa.ipc.open_stream(pa.py_buffer(self._out.read(size))) as stream:
                batch = stream.read_next_batch()
            yield batch
            told = self._answer()

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _ask(self, request: Any) -> Any:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which its answer tells
        return self._answer()

    def _answer(self) -> Any:
        line = self._out.readline()
        told = json.loads(line) if line.endswith(b"\n") else {"error": _END}
        if "error" in told:
            self.end()
            raise Unreadable(told["error"])
        return told


@contextmanager
def converting() -> Iterator[None]:
    """For what is made of a batch. Raises Unreadable."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:  # text that is not UTF-8, a date out of range
        raise Unreadable(_line(error)) from error


def serve() -> None:
    """Answer until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent: it ends this process by closing stdin
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    import pyarrow  # noqa: F401 - before there is a limit

    with at_most(GROWTH):
        try:
            _serve(answers)
        except MemoryError:
            _say(answers, {"error": _BOMB})
        except Exception as error:
            _say(answers, {"error": _line(error)})


def _serve(answers: Any) -> None:
    file = _opened(json.loads(sys.stdin.buffer.readline())["path"])
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    columns = [(field.name, _column(field, groups)) for field in file.schema_arrow]
    pairs = file.schema_arrow.metadata or {}
    named = _class_names(pairs)
    told = {"rows": metadata.num_rows, "columns": columns, "class_names": named, "index": _index(pairs)}
    _say(answers, told)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        size = max(1, min(request["rows"], BATCH // max(1, longest)))
        for batch in file.iter_batches(size, columns=request["columns"], use_threads=False):
            _send(answers, batch, request["items"])
        _say(answers, {"bytes": 0})


def _opened(path: str) -> Any:
    from pyarrow import parquet

    from fusecat.cache.arrow_file import ArrowFile

    if Path(path).suffix.lower() in ARROW:
        return ArrowFile(path)
    return parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> names of its classes, where Hugging Face keeps them beside their numbers."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = {
            name: feature["names"] for name, feature in features.items() if isinstance(feature, dict) and "names" in feature
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return {name: names for name, names in found.items() if isinstance(names, list) and all(isinstance(n, str) for n in names)}


def _index(metadata: Mapping[bytes, bytes]) -> list[str]:
    """The columns in which pandas kept an index; a plain count of rows is in none."""
    try:
        told = json.loads(metadata[b"pandas"])["index_columns"]
    except (KeyError, ValueError, TypeError):
        return []
    return [name for name in told if isinstance(name, str)] if isinstance(told, list) else []


def _column(field: Any, groups: Sequence[Any]) -> tuple[str, str, int]:
    """What `Column` holds."""
    import numpy as np
    import pyarrow as pa

    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    if not any(fits(kind) for fits in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)):
        return str(kind), "", 0
    try:
        items = np.dtype(kind.value_type.to_pandas_dtype()).str
    except (NotImplementedError, TypeError):
        items = "|O"
    parts = (group.column(number) for group in groups for number in range(group.num_columns))
    return (str(kind), items, sum(part.num_values for part in parts if f"{part.path_in_schema}.".startswith(f"{field.name}.")))


def _send(answers: Any, batch: Any, items: int) -> None:
    """A batch, in halves where it is larger than it should be."""
    import pyarrow as pa

    batch.validate(full=True)
    columns = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in batch.columns]
    columns = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in columns]
    batch = pa.RecordBatch.from_arrays(columns, batch.schema.names)
    if batch.nbytes > LARGEST or sum(map(_items, columns)) > items:
        if len(batch) < 2:
            raise MemoryError
        for part in (batch.slice(0, len(batch) // 2), batch.slice(len(batch) // 2)):
            _send(answers, part, items)
        return
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    data = sink.getvalue()
    _say(answers, {"bytes": data.size})
    answers.write(data)
    answers.flush()


def _items(array: Any) -> int:
    """How many values an array holds, those inside of lists and structs included."""
    import pyarrow as pa

    if pa.types.is_struct(array.type):
        return len(array) + sum(map(_items, array.flatten()))
    return len(array) + (_items(array.flatten()) if hasattr(array, "flatten") and pa.types.is_nested(array.type) else 0)


def _say(answers: Any, told: Any) -> None:
    answers.write(json.dumps(told).encode() + b"\n")
    answers.flush()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # a line that the process will never read
