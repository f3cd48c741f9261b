"""What was learnt of pictures, remembered in SQLite: an aid only, so whatever cannot be true in it is looked at again."""

import errno
import hashlib
import random
import re
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fusecat.cache.databases import forget, opened
from fusecat.cache.trouble import disk_errno
from fusecat.stages.catalogue.decoding import UnreadableImage, read_bytes
from fusecat.stages.catalogue.image_facts import ImageFacts

TABLE = (
    "images (path TEXT PRIMARY KEY, stamp TEXT, "
    "sha256 TEXT, phash TEXT, width INTEGER, height INTEGER, flat INTEGER, cause TEXT)"
)
LAYOUT = {("table", f"CREATE TABLE {TABLE}"), ("index", None)}
"""All that such a file holds: no view, no trigger."""
SAMPLE = 16
"""Remembered pictures whose bytes are looked at again: one false row may slip through, a false file does not."""

_SEALED = " sealed "
"""Stands in the memory between the stamp of a file and the digest of all that the row says."""
_SHA256, _PHASH = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{16}")


def recall(memory: Path | None, stamps: Mapping[Path, str], names: Mapping[Path, str]) -> dict[Path, ImageFacts]:
    """The facts of the pictures that are as they were: same name (relative to the catalogue) and same stamp.

    A file that is none of ours, or says something else of a picture than the picture itself, is forgotten as a whole.
    """
    if memory is None or not memory.is_file():
        return {}
    found: dict[Path, ImageFacts] = {}
    try:
        with opened(memory) as database:
            if not _ours(database):
                forget(memory)
                return {}
            query = "SELECT path, stamp, sha256, phash, width, height, flat, cause FROM images WHERE path = ?"
            for path, name in names.items():
                row = database.execute(query, (name,)).fetchone()
                if row is not None and _written(name, stamps[path], row):
                    facts = _believable(stamps[path], *row[2:])
                    found |= {} if facts is None else {path: facts}
    except sqlite3.OperationalError:
        return {}  # nothing written yet, or locked for longer than our patience
    except sqlite3.DatabaseError:
        forget(memory)  # not a database
        return {}
    if not _hold(found):
        forget(memory)
        return {}
    return found


def remember(memory: Path | None, rows: Iterable[tuple[str, str, ImageFacts]]) -> None:
    """Add or replace (name, stamp, facts), all or none. Raises OSError where the file cannot be written."""
    if memory is None:
        return
    memory.parent.mkdir(parents=True, exist_ok=True)
    values = []
    for name, stamp, facts in rows:
        phash = None if facts.phash is None else f"{facts.phash:016x}"
        found = facts.sha256, phash, facts.width, facts.height, int(facts.flat), facts.cause
        values.append((name, f"{stamp}{_SEALED}{_seal(name, stamp, *found)}", *found))
    try:
        _write(memory, values)
    except sqlite3.OperationalError as error:
        raise OSError(disk_errno(error) or errno.EIO, str(error), str(memory)) from error
    except sqlite3.DatabaseError:
        forget(memory)  # it was damaged since
        _write(memory, values)


def _write(memory: Path, values: list[tuple[Any, ...]]) -> None:
    with opened(memory) as database, database:
        database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
        database.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _written(name: str, stamp: str, row: tuple[Any, ...]) -> bool:
    """Whether a row is of this picture as it is, and as it was written; one without a seal is an earlier version's."""
    stored, sealed, seal = str(row[1]).rpartition(_SEALED)
    if sealed and seal != _seal(name, stamp, *row[2:]):
        return False
    return row[0] == name and stamp == (stored if sealed else row[1])


def _seal(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _ours(database: sqlite3.Connection) -> bool:
    """Whether the file holds our table and nothing else; an empty one will."""
    there = database.execute("SELECT type, sql FROM sqlite_master LIMIT 3").fetchall()
    return not there or (len(there) == len(LAYOUT) and set(there) == LAYOUT)


def _believable(stamp: str, sha256: Any, phash: Any, width: Any, height: Any, flat: Any, cause: Any) -> ImageFacts | None:
    """The facts of a row, None where they cannot be those of any picture."""
    if not all(isinstance(number, int) and number >= 0 for number in (width, height)) or flat not in (0, 1):
        return None
    if not all(text is None or isinstance(text, str) for text in (sha256, phash, cause)):
        return None
    if (sha256 is not None and not _SHA256.fullmatch(sha256)) or (phash is not None and not _PHASH.fullmatch(phash)):
        return None
    if cause is not None:
        unread = phash is None and 0 < len(cause) <= 200 and cause.isprintable()
        return ImageFacts(sha256, None, width, height, bool(flat), cause) if unread else None
    most = int(stamp.split(" ")[4]) if stamp.count(" ") == 5 else 0  # without a file there is no picture
    if sha256 is None or bool(flat) != (phash is None) or not 1 <= width * height <= most:
        return None
    return ImageFacts(sha256, None if phash is None else int(phash, 16), width, height, bool(flat), None)


def _hold(found: Mapping[Path, ImageFacts]) -> bool:
    """Whether some pictures, taken at random, have the bytes that are remembered of them."""
    hashed = [path for path, facts in found.items() if facts.sha256 is not None]
    for path in random.sample(hashed, min(SAMPLE, len(hashed))):
        try:
            if hashlib.sha256(read_bytes(path)).hexdigest() != found[path].sha256:
                return False
        except UnreadableImage:
            return False
    return True
