"""JSON as a table: an object per line (JSON lines), or one array of objects."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.records import Records
from fusecat.stages.catalogue.text_files import head_of, lines, refuse_other_formats

LINES = "a product per line is expected (JSON lines; in pandas: df.to_json(FILE, orient='records', lines=True))"
"""What every other shape becomes."""
LARGEST_ARRAY = 2**28
"""Characters of an array, which must be read as a whole; lines have no limit."""


def open_json(path: Path, encoding: str = "utf-8") -> Records:
    """Read every key. Raises DataError naming the line that is no object."""
    refuse_other_formats(path, head_of(path), encoding)
    return Records.of(path, "line", lambda: _objects(path, encoding), LINES)


def looks_like_json(head: bytes) -> bool:
    """Whether a file begins as an object or an array of objects does."""
    return re.match(rb'(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*[{"\[\]])', head) is not None


def _objects(path: Path, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line, or place in the array from 1, and object."""
    if head_of(path).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        yield from enumerate(_array(path, encoding), 1)
        return
    for number, line in enumerate(lines(path, encoding), 1):
        if line.strip():
            yield number, _object(line, path, number)


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        fail(f"{path}: line {number} is no JSON object: {LINES}")
    if number == 1 and row and all(isinstance(value, dict) for value in row.values()):
        fail(f"{path} holds a column per key, not a product per line: df.to_json(FILE, orient='records', lines=True)")
    return row


def _array(path: Path, encoding: str) -> list[dict[str, Any]]:
    parts, size = [], 0
    for line in lines(path, encoding):
        size += len(line)
        if size > LARGEST_ARRAY:
            fail(f"{path} is a JSON array of more than {LARGEST_ARRAY:,} characters: write a product per line (JSON lines)")
        parts.append(line)
    try:
        rows = json.loads("".join(parts))
    except json.JSONDecodeError as error:
        fail(f"{path}: line {error.lineno}: not JSON ({error.msg}): the file is cut off, or was written by hand")
    except (ValueError, RecursionError) as error:
        fail(f"{path}: not JSON ({error})")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            fail(f"{path}: item {number} of the array is no object: {LINES}")
    return list(rows)
