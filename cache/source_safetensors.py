"""Vectors in a safetensors file: torch's tensors without pickle, read without torch.

The format: https://huggingface.co/docs/safetensors. Eight bytes that say how long the header is, a header in JSON, the data.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.source import Source, choose, fail, matrix, refuse_column, rows_per_chunk

HEADER = 10**8
"""Bytes; the format allows no longer header."""
NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1"} | {
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"
}  # fmt: skip
NARROW = {"BF16": "<u2", "F8_E5M2": "|u1", "F8_E4M3": "|u1"}
"""Floats that numpy does not know, and as what they are read; they become float32."""


class Safetensors(Source):
    """One tensor of a file."""

    def __init__(self, path: Path, key: str | None, called: str) -> None:
        self._path = path
        self._tensors = _header(path)
        self.names = tuple(self._tensors)
        self.key = choose(path, key, called, self.names, lambda name: len(self._tensors[name][1]) == 2)
        kind, shape, _ = self._tensors[self.key]
        self.rows, self.width = matrix(path, shape, np.dtype(NUMBERS.get(kind, "<f4")))

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        return self._rows(self.key, self.width)

    def _column(self, name: str) -> Iterator[NDArray[Any]]:
        kind, shape, _ = self._tensors[name]
        refuse_column(self._path, name, shape, np.dtype(NUMBERS.get(kind, "<f4")), self.rows)
        return (chunk[:, 0] for chunk in self._rows(name, 1))

    def _rows(self, name: str, width: int) -> Iterator[NDArray[Any]]:
        kind, _, begin = self._tensors[name]
        stored = np.dtype(NUMBERS.get(kind) or NARROW[kind])
        with self._path.open("rb") as file:
            file.seek(begin)
            step = rows_per_chunk(width, np.dtype(np.float32))
            for start in range(0, self.rows, step):
                count = min(step, self.rows - start)
                data = file.read(count * width * stored.itemsize)
                if len(data) != count * width * stored.itemsize:
                    fail(self._path, "it ends too early")
                yield _widened(np.frombuffer(data, stored), kind).reshape(count, width)


def _header(path: Path) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Name of each tensor -> its type, its shape and where its data begin. Raises ForeignFile unless every one fits."""
    size, found = path.stat().st_size, {}
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER, size - 8):
            fail(path, "it is not a safetensors file")
        try:
            header = json.loads(file.read(length))
            for name, entry in header.items():
                if name == "__metadata__":
                    continue
                kind, (begin, end) = str(entry["dtype"]), entry["data_offsets"]
                shape = tuple(int(number) for number in entry["shape"])
                if kind not in NUMBERS and kind not in NARROW:
                    fail(path, f"'{name}' is of the type {kind}; store it as float32")
                bytes_ = math.prod(shape) * np.dtype(NUMBERS.get(kind) or NARROW[kind]).itemsize
                if min((*shape, begin)) < 0 or end - begin != bytes_ or 8 + length + end > size:
                    fail(path, f"'{name}' is not as long as its header says")
                found[str(name)] = kind, shape, 8 + length + int(begin)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            fail(path, f"its header is damaged ({error})", error)
    return found


def _widened(stored: NDArray[Any], kind: str) -> NDArray[Any]:
    """Values as numpy knows them."""
    match kind:
        case "BF16":  # the upper half of a float32
            return np.asarray(stored.astype("<u4") << 16).view("<f4")
        case "F8_E5M2":  # the upper half of a float16
            return np.asarray(stored.astype("<u2") << 8).view("<f2")
        case "F8_E4M3":  # one sign, four bits of exponent with bias 7, three of fraction; 0x7f is NaN, nothing is infinite
            codes = np.arange(256)
            power, part = codes >> 3 & 15, codes & 7
            sizes = np.where(power > 0, (1 + part / 8) * 2.0 ** (power - 7), part / 8 * 2.0**-6)
            sizes[codes & 127 == 127] = np.nan
            table: NDArray[Any] = np.where(codes < 128, sizes, -sizes).astype(np.float32)
            return np.asarray(table[stored])
        case _:
            return stored
