"""Whatever words a library has for a full or failing disk, it ends as an OSError with the file."""

import errno
import sqlite3

import pytest
from safetensors import SafetensorError
from sqlalchemy.exc import DatabaseError, OperationalError

from fusecat.cache.trouble import disk_errno, disk_trouble


def sqlite(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("no matter what")
    error.sqlite_errorname = name
    return error


def wrapped(error: Exception, cause: Exception) -> Exception:
    error.__context__ = cause
    return error


SPOKEN = [
    (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), errno.ENOSPC),
    (Exception("Permission denied (os error 13)"), errno.EACCES),
    (OperationalError("INSERT", {}, sqlite("SQLITE_FULL")), errno.ENOSPC),
    (sqlite("SQLITE_IOERR_WRITE"), errno.EIO),
    (sqlite("SQLITE_READONLY_DIRECTORY"), errno.EROFS),
    (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), errno.EIO),
    (wrapped(RuntimeError("PytorchStreamWriter failed writing file data/0"), OSError(errno.ENOSPC, "full")), errno.ENOSPC),
    (OSError(errno.EDQUOT, "quota"), errno.EDQUOT),
]


@pytest.mark.parametrize(("error", "number"), SPOKEN, ids=lambda value: str(value)[:40])
def test_a_disk_is_heard_in_all_tongues(tmp_path, error, number):
    with pytest.raises(OSError) as told, disk_trouble(tmp_path / "file"):
        raise error
    assert (told.value.errno, told.value.filename) == (number, str(tmp_path / "file"))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a value"),
        sqlite("SQLITE_ERROR"),
        DatabaseError("SELECT", {}, sqlite3.DatabaseError("file is not a database")),
        RuntimeError("CUDA error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_disk_stays_what_it_is(tmp_path, error):
    assert disk_errno(error) is None
    with pytest.raises(type(error)), disk_trouble(tmp_path):
        raise error
