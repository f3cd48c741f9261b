"""A full or failing disk, in whatever words a library tells of it, is an OSError that names the file."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusecat.cache.disk import name_file

_RUST = re.compile(r"\bos error (\d+)\b")
"""How tokenizers and safetensors, which are written in Rust, end their messages."""
_TORCH = re.compile(r"PytorchStreamWriter failed|unexpected pos \d+ vs \d+")
"""What `torch.save` says of a write that failed, whatever the reason."""
_SQLITE = {"SQLITE_FULL": errno.ENOSPC, "SQLITE_READONLY": errno.EROFS, "SQLITE_CANTOPEN": errno.EACCES}


@contextmanager
def disk_trouble(path: Path) -> Iterator[None]:
    """Raise what a library says of a disk as an OSError with `path`, a file or folder, in `filename`."""
    try:
        yield
    except OSError as error:
        name_file(error, path)
        raise
    except Exception as error:
        code = disk_errno(error)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


def disk_errno(error: BaseException) -> int | None:
    """The number of the operating system's error behind this one; None where it speaks of something else."""
    if isinstance(error, OSError):
        return error.errno
    text = str(error)
    if found := _RUST.search(text):
        return int(found[1])
    if _TORCH.search(text):
        return (error.__context__ and disk_errno(error.__context__)) or errno.EIO
    origin = getattr(error, "orig", error)  # sqlalchemy wraps
    if isinstance(origin, sqlite3.OperationalError):
        name = getattr(origin, "sqlite_errorname", "")
        return next((code for start, code in _SQLITE.items() if name.startswith(start)), None) or (
            errno.EIO if name.startswith("SQLITE_IOERR") else None
        )
    return disk_errno(origin.__cause__) if origin.__cause__ is not None else None
