"""Arrays in an `.npz` of our own: numpy believes what a file says of its sizes, so they are compared before anything is read.

What we write is not compressed: an array is no longer than its file, and one that claims more, or is packed, is not ours.
"""

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

STEP = 2**20
"""Bytes read at a time."""


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of these names that are there, or all of them, nothing unpickled.

    Raises: ValueError that says what is wrong where the file is damaged or none of ours; OSError.
    """
    size = path.stat().st_size
    found: dict[str, NDArray[Any]] = {}
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
                    message = f"'{member.filename}' is no array that was stored as it is, or stands twice"
                    raise ValueError(message)
                if not member.file_size == member.compress_size <= size:
                    message = f"'{name}' claims {member.file_size} bytes in a file of {size}"
                    raise ValueError(message)
                with archive.open(member) as file:
                    found[name] = _array(file, name, member.file_size)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, SyntaxError, TypeError, OverflowError) as error:
        message = f"it is not a whole archive of arrays ({error or type(error).__name__})"
        raise ValueError(message) from error
    except OSError as error:
        if error.filename is not None:  # a disk's trouble; without a name it is a place before the beginning of the file
            raise
        message = f"it is not a whole archive of arrays ({error.strerror or error})"
        raise ValueError(message) from error
    return found


def _array(file: IO[bytes], name: str, size: int) -> NDArray[Any]:
    """One array, after its header has been compared with the bytes that are there."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        message = f"'{name}' has the version {version} of numpy's format"
        raise ValueError(message)
    shape, by_column, dtype = readers[version](file)
    count = 1
    for length in shape:
        count *= max(0, length)
    if dtype.hasobject or min(shape, default=0) < 0 or size - file.tell() != count * dtype.itemsize:
        message = f"'{name}' has {size} bytes, not those of {dtype} of shape {shape}"
        raise ValueError(message)
    data, done = np.empty(size - file.tell(), np.uint8), 0
    while done < len(data):
        read = file.readinto(data[done : done + STEP].data)  # type: ignore[attr-defined]
        if not read:
            message = f"'{name}' ends too early"
            raise ValueError(message)
        done += read
    return (data.view(dtype) if len(data) else np.empty(0, dtype)).reshape(shape, order="F" if by_column else "C")
