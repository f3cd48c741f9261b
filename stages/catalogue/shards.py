"""WebDataset shards as tables: the files of a tar whose names differ in their ending only are one product."""

import json
import os
import re
import tarfile
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from fusecat.stages.catalogue.messages import fail, pasted, shorten
from fusecat.stages.catalogue.records import Records

ENDING = ".tar"
KEY = "__key__"
LARGEST = 2**26
"""Bytes of one file in a shard: four times the largest picture that a camera writes."""
END = 1024
"""Zero bytes with which every tar ends."""
TEXTS = ("txt", "text", "caption", "cls", "cls2", "index")
"""Endings of files that hold a text; `json` holds an object, whose keys become columns; all else is taken for a picture."""


def is_shard(path: Path) -> bool:
    """Whether a tar begins with a product of several files, or with one that has a text or an object."""
    try:
        with tarfile.open(path, "r:") as tar:
            names = [_parted(member.name) for member in islice(tar, 2) if member.isfile()]
    except (tarfile.TarError, OSError, EOFError):
        return False
    return len(names) == 2 and names[0][0] == names[1][0] and names[0][1] != names[1][1]


def open_shard(path: Path) -> Records:
    """The key, the endings and the keys of the JSON objects as columns. Raises DataError where it is no shard."""
    if not is_shard(path):
        fail(f"{path} is an archive and no WebDataset: unpack it: tar xf {pasted(path)} -C {pasted(path.parent)}")
    with path.open("rb") as file:  # what was cut off between two files looks whole otherwise
        file.seek(-END, os.SEEK_END)
        if file.read().strip(b"\0"):
            fail(f"{path}: its end is missing: copy or write it again")
    return Records.of(path, "product", lambda: enumerate(_products(path), 1))


def _products(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with tarfile.open(path, "r:") as tar:
            files = (member for member in tar if member.isfile() and not member.name.rpartition("/")[2].startswith("."))
            for key, members in groupby(files, lambda member: _parted(member.name)[0]):
                row: dict[str, Any] = {KEY: key}
                for member in members:
                    row |= _cells(path, member, tar)
                yield row
    except (tarfile.TarError, OSError, EOFError) as error:
        fail(f"{path}: the tar cannot be read to its end ({error}): write it again")


def _cells(path: Path, member: tarfile.TarInfo, tar: tarfile.TarFile) -> dict[str, Any]:
    """Column -> value of one file."""
    ending, where = _parted(member.name)[1], f"{path}: {shorten(member.name)}"
    if member.size > LARGEST:
        fail(f"{where} has more than {LARGEST:,} bytes: leave it out, or make it smaller")
    file = tar.extractfile(member)
    content = file.read() if file else b""
    if ending not in (*TEXTS, "json"):
        return {ending: content}
    try:
        text = content.decode("utf-8")
        found: Any = json.loads(text) if ending == "json" else text
    except (ValueError, RecursionError) as error:
        fail(f"{where} is no {'JSON' if ending == 'json' else 'text in UTF-8'} ({error}): write it again")
    if not isinstance(found, dict):
        return {ending: found}
    return {name if name != KEY and name not in TEXTS else f"json.{name}": value for name, value in found.items()}


def _parted(name: str) -> tuple[str, str]:
    """Key and ending, parted at the first dot of the file's name, as WebDataset does."""
    match = re.fullmatch(r"((?:.*/)?[^/.]+)\.([^/]+)", name.removeprefix("./"))
    return (match[1], match[2].lower()) if match else (name, "")
