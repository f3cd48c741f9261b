"""Vectors in numpy's formats, `.npy` and `.npz`: read as a stream, never unpickled."""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.foreign import LARGEST_RATIO
from fusecat.cache.source import Source, choose, fail, matrix, refuse_column, rows_per_chunk

HEADER = 2**16
"""Bytes: more than numpy's header of an array takes."""
SPARSE = "reduce it, fitted on rows of train, with sklearn.decomposition.TruncatedSVD, or store its .toarray() if it is narrow"
"""The way out for what is wide and almost empty, such as TF-IDF."""


class Npy(Source):
    """One array in numpy's own format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            shape, self._by_column, self._dtype = _header(file, path)
            self._offset = file.tell()
        self.rows, self.width = matrix(path, shape, self._dtype)
        _refuse_other_length(path, self._offset, self.rows, self.width, self._dtype)

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            yield from _stream(file, self._path, self.rows, self.width, self._dtype, by_column=self._by_column)


def npy_column(path: Path) -> Iterator[NDArray[Any]]:
    """A file of one text or number per row, some rows at a time. Raises ForeignFile."""
    with path.open("rb") as file:
        shape, _, dtype = _header(file, path)
        rows = shape[0] if shape else 0
        refuse_column(path, path.name, shape[:1] if shape[1:] == (1,) else shape, dtype, rows)
        _refuse_other_length(path, file.tell(), rows, 1, dtype)
        for chunk in _stream(file, path, rows, 1, dtype):
            yield chunk[:, 0]


class Npz(Source):
    """Several arrays in a zip archive, compressed or not; only what is asked for is unpacked, and nothing is unpickled."""

    def __init__(self, path: Path, key: str | None, called: str) -> None:
        self._path = path
        members = [item for item in self._members() if item.filename.endswith(".npy")]
        self._sizes = {item.filename.removesuffix(".npy"): item.file_size for item in members}
        self.names = tuple(self._sizes)
        if {"data", "indices", "indptr", "shape"} <= set(self.names) or {"data", "row", "col", "shape"} <= set(self.names):
            fail(path, f"it holds a sparse matrix; {SPARSE}")
        for item in members:
            # what bzip2 and LZMA make of a piece is not bounded, and numpy writes neither
            if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                fail(path, f"'{item.filename}' is packed in a way that numpy does not use")
            if item.file_size > LARGEST_RATIO * item.compress_size + HEADER:
                fail(path, f"'{item.filename}' claims {item.file_size} bytes, packed in {item.compress_size}")
        self.key = choose(path, key, called, self._sizes, self._is_matrix)
        with self._open(self.key) as file:
            shape, _, self._dtype = _header(file, path)
            self.rows, self.width = matrix(path, shape, self._dtype)
            self._refuse_length(self.key, file.tell(), self.rows * self.width * self._dtype.itemsize)

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Yield all vectors in order."""
        with self._open(self.key) as file:
            _, by_column, _ = _header(file, self._path)
            if not by_column:
                yield from _stream(file, self._path, self.rows, self.width, self._dtype)
                return
            with tempfile.TemporaryFile() as unpacked:  # by column one has to seek, which a packed file cannot
                with _unpacking(self._path):
                    shutil.copyfileobj(file, unpacked)
                unpacked.seek(0)
                yield from _stream(unpacked, self._path, self.rows, self.width, self._dtype, by_column=True)

    def _column(self, name: str) -> Iterator[NDArray[Any]]:
        with self._open(name) as file:
            shape, _, dtype = _header(file, self._path)
            refuse_column(self._path, name, shape, dtype, self.rows)
            self._refuse_length(name, file.tell(), self.rows * dtype.itemsize)
        return self._values(name)

    def _values(self, name: str) -> Iterator[NDArray[Any]]:
        with self._open(name) as file:
            _, _, dtype = _header(file, self._path)
            for chunk in _stream(file, self._path, self.rows, 1, dtype):
                yield chunk[:, 0]

    def _refuse_length(self, name: str, header: int, data: int) -> None:
        if self._sizes[name] != header + data:
            fail(self._path, f"'{name}' is not as long as its header says")

    def _members(self) -> list[zipfile.ZipInfo]:
        """The directory of the archive, which says how large each member will be."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                return archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            fail(self._path, f"it is not an .npz archive ({error})", error)

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(self._path) as archive:
            try:
                member = archive.open(f"{name}.npy")
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:  # encrypted, or nothing there
                fail(self._path, f"'{name}' cannot be unpacked ({error})", error)
            with member:
                yield member

    def _is_matrix(self, name: str) -> bool:
        with self._open(name) as file:
            return len(_header(file, self._path)[0]) == 2


def _header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies column by column, and type of an .npy stream, which stands at its data afterwards."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_column, dtype = read(file)
    except (ValueError, KeyError, EOFError, TypeError, SyntaxError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
        fail(path, f"it is not an array in numpy's format ({error})", error)
    if any(length < 0 for length in shape):
        fail(path, f"its shape is {shape}")
    if dtype.hasobject:
        way = "store numpy.stack(array), or texts as array.astype(str)"
        fail(path, f"it holds Python objects, which could run anything when they are read; {way}")
    return shape, by_column and len(shape) > 1, dtype


def _refuse_other_length(path: Path, header: int, rows: int, width: int, dtype: np.dtype[Any]) -> None:
    if path.stat().st_size - header != rows * width * dtype.itemsize:
        fail(path, f"it is not as long as its header says ({rows} x {width} {dtype})")


def _stream(
    file: IO[bytes], path: Path, rows: int, width: int, dtype: np.dtype[Any], *, by_column: bool = False
) -> Iterator[NDArray[Any]]:
    """The rows of a matrix whose data begin where the file stands; `by_column`: column after column, Fortran's order."""
    step, begin = rows_per_chunk(width, dtype), file.tell() if by_column else 0
    for start in range(0, rows, step):
        count = min(step, rows - start)
        if not by_column:
            yield np.frombuffer(_read(file, path, count * width * dtype.itemsize), dtype).reshape(count, width)
            continue
        chunk = np.empty((count, width), dtype)
        for column in range(width):
            file.seek(begin + (column * rows + start) * dtype.itemsize)
            chunk[:, column] = np.frombuffer(_read(file, path, count * dtype.itemsize), dtype)
        yield chunk


def _read(file: IO[bytes], path: Path, size: int) -> bytes:
    with _unpacking(path):
        data = file.read(size)
    if len(data) != size:
        fail(path, "it ends too early")
    return data


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        fail(path, f"it is damaged ({error})", error)
