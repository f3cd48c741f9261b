"""What is to be read of a catalogue of one's own: its tables, and which column is what, from flags and from catalogue.toml."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusecat.stages.catalogue import advice
from fusecat.stages.catalogue.columns import check_fields, shown
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.shards import ENDING, is_shard
from fusecat.stages.catalogue.tables import is_table
from fusecat.stages.catalogue.text_files import check_file
from fusecat.stages.errors import UsageError

SETTINGS = "catalogue.toml"
_OPTIONS = ("encoding", "separator", "image_separator", "image_prefix", "label_level", "split_column", "group_by")
"""Keys that are options of the command line too."""
_KEYS = ("files", "images", "split_file", "columns", "classes", *_OPTIONS)


@dataclass(frozen=True)
class TablePlan:
    """Which tables of `root` are read; `pictures` is the folder of their pictures."""

    root: Path
    tables: tuple[Path, ...]
    columns: Mapping[str, str]
    pictures: Path
    classes: Mapping[str, str] = field(default_factory=dict)


def plan(path: Path, options: ReadingOptions) -> tuple[TablePlan, ReadingOptions] | None:
    """What `--columns` or catalogue.toml ask for, flags first; None where neither is there."""
    root = path if path.is_dir() else path.parent
    file = root / SETTINGS
    settings: dict[str, Any] = {}
    if file.exists() or file.is_symlink():
        check_file(file, root, follow_symlinks=options.follow_symlinks)
        settings = _settings(file)
    columns = options.columns or settings.get("columns")
    if not columns:
        if settings and path.is_dir():
            fail(f"{file}: no [columns]; {advice.guessed(root, tables_of(root, settings.get('files')), options)}")
        return None
    if options.texts and not columns.keys() & {"title", "description"}:
        raise UsageError(f"columns {shown(columns)}: title missing (or pass --texts none to go without)")
    tables = tables_of(root, settings.get("files")) if path.is_dir() else (path,)
    if not tables:
        fail(advice.nothing_to_read(root))
    default = ReadingOptions()
    given = {name: settings[name] for name in _OPTIONS if name in settings}
    kept: dict[str, Any] = {name: value for name, value in given.items() if getattr(options, name) == getattr(default, name)}
    if "split_file" in settings and options.split_file is None:
        kept["split_file"] = root / settings["split_file"]
    pictures = options.image_folder or root / settings.get("images", ".")
    made = TablePlan(root, tables, columns, pictures, settings.get("classes", {}))
    return made, replace(options, columns=columns, **kept)


def tables_of(root: Path, patterns: str | Sequence[str] | None) -> tuple[Path, ...]:
    """The tables of a folder: those that the patterns name, or all; every part of a catalogue in the order of names."""
    if patterns is None:
        found = sorted(entry for entry in root.iterdir() if entry.is_file())
        return tuple(entry for entry in found if is_table(entry.name)) or tuple(
            entry for entry in found if entry.suffix.lower() == ENDING and is_shard(entry)
        )
    named: list[Path] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            fail(f"{root / SETTINGS}: files: {pattern!r} leads out of the catalogue")
        try:  # a name may hold what means something in a pattern
            matches = [root / pattern] if pattern and (root / pattern).exists() else sorted(root.glob(pattern))
        except (ValueError, NotImplementedError) as error:
            fail(f"{root / SETTINGS}: files: {pattern!r} is no pattern ({error})")
        if not matches:
            fail(f"{root / SETTINGS}: files: nothing matches {pattern!r}")
        named += [match for match in matches if match not in named]
    return tuple(named)


def _settings(file: Path) -> dict[str, Any]:
    """catalogue.toml, every key known and of its type."""
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")
    for key, value in settings.items():
        if key not in _KEYS:
            nearest = difflib.get_close_matches(key, _KEYS, 1)
            fail(f"{file}: unknown key {key!r}: {f'did you mean {nearest[0]!r}?' if nearest else f'known are {_KEYS}'}")
        expected = _expected(key, value)
        if expected is not None:
            fail(f"{file}: {key}: {expected} is expected")
    if len(settings.get("separator", ";")) != 1:
        fail(f"{file}: separator = {settings['separator']!r}: one character is expected")
    check_fields(settings.get("columns", {}), f"{file}: [columns]")
    for key in ("images", "split_file"):
        if Path(settings.get(key, "")).is_absolute() or ".." in Path(settings.get(key, "")).parts:
            fail(f"{file}: {key} = {settings[key]!r} leads out of the catalogue (a folder elsewhere: --image-folder)")
    return settings


def _expected(key: str, value: Any) -> str | None:
    """What a value should be and is not, in words."""
    if key == "label_level":
        right = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return None if right else "a number from 1"
    if key in {"columns", "classes"}:
        right = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        return None if right else "a table of texts"
    texts = value if isinstance(value, list) and key == "files" else [value]
    return None if all(isinstance(item, str) for item in texts) else "a text"
