"""JSON files that know when they are not as they were written."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fusecat.cache.errors import DamagedFile
from fusecat.cache.fingerprint import digest
from fusecat.cache.publish import publish

SEAL = "sha256"
"""The key of a record's own digest. A record without one was written by an earlier version, and is taken as it is."""


def write_record(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record, durably, with a digest of everything in it. Returns the path."""
    plain: dict[str, Any] = json.loads(json.dumps(record))  # as it will be read: tuples are lists, keys are texts
    text = json.dumps(plain | {SEAL: _digest(plain)}, ensure_ascii=False, indent=1)
    return publish(path, text.encode("utf-8", "surrogatepass"))


def read_record(path: Path, way_out: str) -> dict[str, Any]:
    """The record in a file, without its digest.

    Raises: FileNotFoundError; DamagedFile, which ends with `way_out`, where the file holds anything else than was written.
    """
    try:
        record = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not JSON: {error}", way_out) from error
    if not isinstance(record, dict):
        raise damaged(path, "not a JSON object", way_out)
    seal = record.pop(SEAL, None)
    if seal is not None and seal != _digest(record):
        raise damaged(path, "not what was written", way_out)
    return record


def digests(folder: Path, left_out: Collection[str] = ()) -> dict[str, str]:
    """Path within the folder -> SHA-256 of every file below it.

    Hidden files (what a killed writer left) and what is called `left_out` at the top do not count.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in left_out:
            continue
        if path.is_dir():
            found |= {f"{path.name}/{name}": value for name, value in digests(path).items()}
        else:
            found[path.name] = digest(path)
    return found


def check_digests(folder: Path, known: Mapping[str, str], way_out: str) -> None:
    """Raise DamagedFile for the first file that is missing, or not as it was when `digests` was called."""
    for name, value in known.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise damaged(path, "not a file of this folder", way_out)
        if not path.is_file():
            raise damaged(path, "missing", way_out)
        if digest(path) != value:
            raise damaged(path, "not what was written", way_out)


@contextmanager
def expecting(path: Path, way_out: str) -> Iterator[None]:
    """For what is made of a record. Raises DamagedFile where it lacks something, or holds it in another form."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}", way_out) from error


def damaged(path: Path, reason: str, way_out: str) -> DamagedFile:
    """The error that names a file, what is wrong with it, and what to do."""
    return DamagedFile(f"{path}: damaged ({' '.join(reason.split())[:400]}); {way_out}")


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
