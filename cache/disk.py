"""Files that appear whole or not at all, and survive a crash once they have appeared."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a file system answers that cannot reserve space; writing then finds out by itself whether the disk is full."""


@contextmanager
def replacing(path: Path) -> Iterator[FileIO]:
    """Write a file under the temporary name `NAME.part`; on success fsync it and rename it, on failure remove it.

    A reader sees the old file or the new one, whatever happens. The caller is the only writer (see `locked`); where several
    processes may write, use `cache.publish`. Raises OSError, with the path in `filename`.
    """
    partial = path.with_name(path.name + ".part")
    try:
        make_folder(path.parent)
        with FileIO(partial, "w+") as file:
            yield file
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        name_file(error, path)
        raise


def name_file(error: BaseException, path: Path) -> None:
    """Let an error of the operating system that names no file name this one, so that a message can."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        error.filename = str(path)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, as durably as the files that it is for."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder durable; does nothing where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            error.filename = str(folder)
            raise
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, wait: bool = True, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock that is this file. The same thread may nest it; a process that dies gives it back.

    `waiting` is called once before waiting for whoever holds it. Raises BlockingIOError at once where `wait` is false.
    """
    from filelock import FileLock, Timeout

    make_folder(path.absolute().parent)
    lock = FileLock(path.absolute(), is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        if not wait:
            raise BlockingIOError(errno.EAGAIN, "held by another process", str(path)) from error
        if waiting:
            waiting()
        lock.acquire(poll_interval=0.1)
    try:
        yield
    finally:
        lock.release()


def reserve(file: FileIO, size: int) -> None:
    """Claim `size` bytes of disk for a file now, so that a full disk is met before the first byte is written."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write every byte: an unbuffered file may take only some of them at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class Target:
    """The file object into which HDF5 writes. It never fails: it keeps the first error for the caller.

    HDF5 crashes the interpreter (exit 139) when it closes a file whose writes have failed, so it must not hear of a full disk
    or of a file-size limit. `finish` raises what happened. The logical size is kept here, because the file itself is longer
    while its space is only reserved. The methods are those that h5py's `fileobj` driver calls.
    """

    def __init__(self, file: FileIO) -> None:
        self.file = file
        self.error: BaseException | None = None
        self.size = 0
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the end is that of what was written, not of what is reserved."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        """The position in the file."""
        return self._position

    def write(self, data: memoryview) -> int:
        """Write, or remember why that was not possible."""
        if self.error is None:
            try:
                self.file.seek(self._position)
                write_all(self.file, data)
            except BaseException as error:  # kept for `finish`
                self.error = error
        self._position += len(data)
        self.size = max(self.size, self._position)
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        """Read back what was written (HDF5 does so with large attributes)."""
        self.file.seek(self._position)
        count = self.file.readinto(buffer)
        self._position += len(buffer)
        return count

    def truncate(self, size: int) -> int:
        """Set the logical size."""
        self.size = size
        return size

    def flush(self) -> None:
        """Nothing is buffered here."""

    def finish(self) -> None:
        """Give back what was reserved and not needed; raise what went wrong."""
        if self.error is not None:
            raise self.error
        self.file.truncate(self.size)
