"""Arrays in an `.npz` of our own: numpy believes what a file says of its sizes, so they are compared before anything is read.

What we write is not compressed: an array is no longer than its file, and one that claims more, or is packed, is not ours.
"""

import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

STEP = 2**20
"""Bytes read at a time."""

T = TypeVar("T")


class Sliced(ABC):
    """What gives rows as it is asked for them, and to numpy all of them."""

    @abstractmethod
    def __getitem__(self, rows: slice) -> NDArray[Any]: ...

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """All of it."""
        return np.asarray(self[:], dtype)


@dataclass(frozen=True)
class StoredArray(Sliced):
    """An array in an `.npz`, of which `found[rows]` reads a slice of rows, its checksum not looked at."""

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        row = math.prod(self.shape[1:])
        found = np.fromfile(self.path, self.dtype, (stop - start) * row, offset=self.offset + start * row * self.dtype.itemsize)
        if found.size != (stop - start) * row:
            raise ValueError("it ends too early")
        return found.reshape(-1, *self.shape[1:])


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of these names that are there, or all of them, nothing unpickled.

    Raises: ValueError that says what is wrong where the file is damaged or none of ours; OSError.
    """
    return _each(path, names, lambda file, name, member: _array(file, name, member.file_size))


def open_arrays(path: Path) -> dict[str, StoredArray]:
    """Every array, to read rows of it later. Raises as `read_arrays`."""
    with path.open("rb") as raw:

        def stored(file: IO[bytes], name: str, member: zipfile.ZipInfo) -> StoredArray:
            shape, by_column, dtype = _described(file, name, member.file_size)
            if not shape or (by_column and len(shape) > 1):
                raise ValueError(f"'{name}' does not lie row by row")
            raw.seek(member.header_offset + 26)  # the lengths of the name and of what follows it
            before = 30 + sum(int.from_bytes(raw.read(2), "little") for _ in range(2))
            return StoredArray(path, member.header_offset + before + file.tell(), dtype, shape)

        return _each(path, None, stored)


def check_arrays(path: Path) -> None:
    """Read everything once, its checksums looked at, and hold nothing of it. Raises as `read_arrays`."""

    def pass_by(file: IO[bytes], name: str, member: zipfile.ZipInfo) -> None:
        _described(file, name, member.file_size)
        while file.read(STEP):
            pass

    _each(path, None, pass_by)


def _each(path: Path, names: Collection[str] | None, take: Callable[[IO[bytes], str, zipfile.ZipInfo], T]) -> dict[str, T]:
    """What `take` makes of each array. Raises as `read_arrays`."""
    size = path.stat().st_size
    found: dict[str, T] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if archive.comment or member.comment or (member.extra and member.file_size < zipfile.ZIP64_LIMIT):
                    message = "its directory holds more than the names of arrays"  # such as other names, swallowed by damage
                    raise ValueError(message)
                name = member.filename.removesuffix(".npy")
                if names is not None and name not in names:
                    continue
                if name == member.filename or name in found or member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"'{member.filename}' is no array that was stored as it is, or stands twice")
                if not member.file_size == member.compress_size <= size:
                    raise ValueError(f"'{name}' claims {member.file_size} bytes in a file of {size}")
                with archive.open(member) as file:
                    found[name] = take(file, name, member)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, SyntaxError, TypeError, OverflowError) as error:
        raise ValueError(f"it is not a whole archive of arrays ({error or type(error).__name__})") from error
    except OSError as error:
        if error.filename is not None:  # a disk's trouble; without a name it is a place before the beginning of the file
            raise
        raise ValueError(f"it is not a whole archive of arrays ({error.strerror or error})") from error
    return found


def _array(file: IO[bytes], name: str, size: int) -> NDArray[Any]:
    """One array, after its header has been compared with the bytes that are there."""
    shape, by_column, dtype = _described(file, name, size)
    data, done = np.empty(size - file.tell(), np.uint8), 0
    while done < len(data):
        read = file.readinto(data[done : done + STEP].data)  # type: ignore[attr-defined]
        if not read:
            raise ValueError(f"'{name}' ends too early")
        done += read
    return (data.view(dtype) if len(data) else np.empty(0, dtype)).reshape(shape, order="F" if by_column else "C")


def _described(file: IO[bytes], name: str, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies column by column, and type. Raises ValueError where that is not what is there."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"'{name}' has the version {version} of numpy's format")
    shape, by_column, dtype = readers[version](file)
    if dtype.hasobject or min(shape, default=0) < 0 or size - file.tell() != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"'{name}' has {size} bytes, not those of {dtype} of shape {shape}")
    return shape, by_column, dtype
