"""Damages of a single file: what a disk, a half-done copy, an editor or a stranger may do to it."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[random.Random, bytes, list[bytes]], bytes | None]
"""(dice, content, contents of other files) -> the new content, None where this damage does not suit the file."""

OTHER_TYPES: list[Any] = [[], None, 5, "x", {}, -1.5, True, [["x"]], {"x": {"x": []}}]
HOSTILE = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "evil.payload:X",
    "baseline/evil.payload:X",
    "\x1b[2J\x1b]0;owned\x07",
    "a\x00b",
    "\ud800",
    "\u202egnp.exe",
    "x" * 10_000_000,
    "'; DROP TABLE studies; --",
    "nan",
    "-1",
    "",
]
SEALS = ("sha256", "files", "weights")


def truncated(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return content[: dice.randrange(1, len(content))] if len(content) > 1 else None


def emptied(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return b""


def zeroed(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    """As a crash leaves a file whose blocks never reached the disk."""
    return bytes(len(content))


def swapped(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return dice.choice(others)


def flipped(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 8))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def longer(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return content + dice.choice((b"\n\n{}", b"\0" * 512, b"x"))


def other_json(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return json.dumps(dice.choice(OTHER_TYPES)).encode()


def deep_json(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return b"[" * 200_000


def other_value(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return _changed(dice, content, OTHER_TYPES)


def hostile_value(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    return _changed(dice, content, HOSTILE)


def other_value_unsealed(dice: random.Random, content: bytes, others: list[bytes]) -> bytes | None:
    """In a file as earlier versions wrote it: nothing says that it was changed."""
    return _changed(dice, content, OTHER_TYPES, sealed=False)


SEALED: dict[str, Damage] = {
    each.__name__: each
    for each in (truncated, emptied, zeroed, swapped, flipped, longer, other_json, deep_json, other_value, hostile_value)
}
UNSEALED: dict[str, Damage] = {"other_value_unsealed": other_value_unsealed}


def _changed(dice: random.Random, content: bytes, values: list[Any], *, sealed: bool = True) -> bytes | None:
    """The JSON in which one value, at any depth, is another."""
    try:
        record = json.loads(content)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    if not sealed:
        if "sha256" not in record:
            return None
        for name in SEALS[:2]:
            record.pop(name, None)
    places = list(_places(record))
    holder, key = dice.choice(places)
    before = holder[key]
    holder[key] = dice.choice([value for value in values if value != before or type(value) is not type(before)])
    return json.dumps(record).encode()


def _places(node: Any) -> "Any":
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield node, key
        yield from _places(value)


def victims(root: Path, left_out: tuple[str, ...]) -> list[Path]:
    """Every file below, but locks and what no command reads."""
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.suffix != ".lock"
        and not any(path.relative_to(root).as_posix().startswith(name) for name in left_out)
    ]
