"""Files and folders that several processes may write: each appears whole, and the last one to finish stands.

Every writer has a temporary name of its own, `.NAME.<random>.part`, and holds a lock on it. What a killed writer left has no
lock any more: the next writer of the same name removes it.
"""

import ctypes
import errno
import io
import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fusecat.cache.disk import make_folder, name_file, sync_folder
from fusecat.cache.errors import ForeignFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # Windows: nothing is swept there, and nothing can be removed from under a living writer
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".part"


@contextmanager
def publishing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file; it takes its name when the block ends, durably, and is removed if the block fails.

    Raises OSError, with the path in `filename`.
    """
    partial: Path | None = None
    try:
        make_folder(path.parent)
        partial, raw = _begin_file(path)
        with raw, io.BufferedWriter(raw) as file:
            yield file
            file.flush()
            os.fsync(raw.fileno())
            os.replace(partial, path)  # still locked: nobody takes it for a dead writer's
        sync_folder(path.parent)
    except BaseException as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        name_file(error, path)
        raise


@contextmanager
def publishing_text(path: Path) -> Iterator[IO[str]]:
    """`publishing` for UTF-8 text, line ends as they are written."""
    with publishing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        try:
            yield text
            text.flush()
        finally:
            with suppress(ValueError, OSError):  # a full disk has been told of already
                text.detach()


def publish(path: Path, content: str | bytes | memoryview) -> Path:
    """Write a whole file. Returns its path."""
    with publishing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def publish_arrays(path: Path, arrays: "Mapping[str, NDArray[Any]]") -> Path:
    """Write an .npz without pickle. Returns its path."""
    import numpy as np  # not above: records are read by commands whose help must be instant

    with publishing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path


@contextmanager
def publishing_folder(folder: Path) -> Iterator[Path]:
    """Fill a new folder; when the block ends it takes the place of `folder`, in one step, and what was there is removed.

    Where the system cannot exchange two folders (neither Linux nor macOS), the old one is renamed to `.NAME.<random>.part`
    first. Raises OSError, with the path in `filename`.
    """
    partial: Path | None = None
    try:
        make_folder(folder.parent)
        partial, descriptor = _begin_folder(folder)
        try:
            yield partial
            sync_tree(partial)
            _take_place(partial, folder)
            sync_folder(folder.parent)
        finally:
            if descriptor is not None:
                os.close(descriptor)
    except BaseException as error:
        name_file(error, folder)
        raise
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Make every file and folder below this one durable."""
    for place, _, names in os.walk(folder):
        for name in names:
            with FileIO(Path(place) / name, "r") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def copy_tree(source: Path, target: Path, left_out: Collection[str] = ()) -> None:
    """Copy the files below a folder, with the modes of new files; what is called `left_out` stays behind, links are refused.

    Raises ForeignFile; OSError, with the path in `filename`.
    """
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name in left_out:
            continue
        if path.is_symlink():
            raise ForeignFile(f"{path} is a link, which is not followed; put the file itself there")
        if path.is_dir():
            copy_tree(path, target / path.name, left_out)
            continue
        try:
            shutil.copyfile(path, target / path.name)
        except OSError as error:
            error.filename = str(target / path.name)  # which of the two it was, the reason tells
            raise


def set_aside(path: Path) -> Path:
    """Rename what cannot be used to `NAME.damaged` (then `.damaged-2`, ...), so that nothing is lost. Returns the new path."""
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    os.replace(path, aside)
    return aside


def _begin_file(path: Path) -> tuple[Path, FileIO]:
    _sweep(path)
    while True:
        partial = _name(path)
        file = FileIO(partial, "x+")
        if _held(partial, file.fileno()):
            return partial, file
        file.close()


def _begin_folder(path: Path) -> tuple[Path, int | None]:
    _sweep(path)
    while True:
        partial = _name(path)
        partial.mkdir()
        if fcntl is None:
            return partial, None
        try:
            descriptor = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:  # swept by another writer before it could be locked
            continue
        if _held(partial, descriptor):
            return partial, descriptor
        os.close(descriptor)


def _name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{SUFFIX}")


def _held(partial: Path, descriptor: int) -> bool:
    """Lock what was just made; False where another writer has taken it for a dead one's and removed it in between."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks: nothing is ever swept there either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    return partial.exists()


def _sweep(path: Path) -> None:
    """Remove what killed writers of this name left."""
    if fcntl is None:
        return
    for name in os.listdir(path.parent):  # noqa: PTH208 - names alone are wanted
        if not (name.startswith(f".{path.name}.") and name.endswith(SUFFIX)):
            continue
        left = path.with_name(name)
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
            finally:
                os.close(descriptor)


def _take_place(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; what was there is then called as `new` was."""
    try:
        os.rename(new, folder)  # where there is nothing, or an empty folder  # noqa: PTH104
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
            raise
        if _exchange(new, folder):
            return
        old = _name(folder)
        os.rename(folder, old)  # noqa: PTH104
        os.rename(new, folder)  # noqa: PTH104
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system or the file system cannot."""
    libc, names = ctypes.CDLL(None, use_errno=True), (os.fsencode(one), os.fsencode(other))
    if hasattr(libc, "renameat2"):
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        return bool(libc.renameat2(here, names[0], here, names[1], exchange) == 0)
    if hasattr(libc, "renamex_np"):
        return bool(libc.renamex_np(*names, 2) == 0)  # RENAME_SWAP
    return False
