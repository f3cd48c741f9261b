"""SQLite files that lie in a workspace: opened only where that cannot do harm."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

PATIENCE = 30.0
"""Seconds that another process may hold a file."""
LONGEST = 2**16
"""Bytes of a value: a name or a few numbers; SQLite itself allows a gigabyte."""
MAGIC = bytes.fromhex("d9d505f920a163d7")
"""Ends a journal that speaks of another one (https://sqlite.org/fileformat2.html, section 3)."""


def journal_of(path: Path) -> Path:
    """Where SQLite keeps what takes back an unfinished transaction."""
    return path.with_name(path.name + "-journal")


def names_another_file(path: Path) -> bool:
    """Whether the journal beside a database names a second one, as of a transaction over several databases.

    SQLite removes a file of that name when it opens the database, so whoever wrote the journal chooses which. A transaction of
    ours is of one database.
    """
    journal = journal_of(path)
    if not journal.is_file() or journal.stat().st_size < len(MAGIC):
        return False
    with journal.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        return file.read() == MAGIC


def forget(path: Path) -> None:
    """Remove a database and what SQLite keeps beside it."""
    for name in ("-journal", "-wal", "-shm", ""):
        path.with_name(path.name + name).unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that believes little. Raises sqlite3.DatabaseError for what is none or names another file."""
    if names_another_file(path):
        raise sqlite3.DatabaseError("its journal names another file")
    with closing(sqlite3.connect(path.absolute(), timeout=PATIENCE)) as database:
        if hasattr(database, "setlimit"):
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
        database.text_factory = lambda text: text.decode("utf-8", "replace")
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        yield database
