"""Digests of what decides a feature, and the names of what changed between two recipes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, Union

JSON: TypeAlias = Union[str, int, float, bool, Sequence["JSON"], Mapping[str, "JSON"], None]  # noqa: UP007
"""What a recipe is made of. Numbers are compared as they are written: 1 and 1.0 are two values."""


def canonical(value: JSON) -> bytes:
    """The one way in which a value is written: UTF-8, keys sorted, no blanks. Raises ValueError for NaN and infinity."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest(value: JSON | bytes | Path) -> str:
    """SHA-256 in hexadecimal: of the bytes, of the bytes of a file, or of a value's canonical JSON."""
    match value:
        case bytes():
            return hashlib.sha256(value).hexdigest()
        case Path():
            with value.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        case _:
            return hashlib.sha256(canonical(value)).hexdigest()


def changes(old: JSON, new: JSON) -> tuple[str, ...]:
    """The dotted names of all parts that differ, in alphabetical order: `("settings.max_length",)`; () when nothing does."""
    return tuple(sorted(_differences(old, new, "")))


def _differences(old: JSON, new: JSON, place: str) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: list[str] = []
        for key in {*old, *new}:
            name = f"{place}.{key}" if place else key
            found += _differences(old[key], new[key], name) if key in old and key in new else [name]
        return found
    return [] if canonical(old) == canonical(new) else [place]
