"""Catalogues of one's own: tables with a mapping of columns, from `--columns` or from `catalogue.toml` in the folder."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusecat.stages.catalogue import advice
from fusecat.stages.catalogue.builder import NOTHING, Builder, token, whole_numbers
from fusecat.stages.catalogue.cleaning import clean
from fusecat.stages.catalogue.columns import REQUIRED, Cell, check_field, filler, holes, shown, text
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, ReadingOptions
from fusecat.stages.catalogue.delimited import Table, check_file
from fusecat.stages.catalogue.image_files import PictureTree, UnsafeName, plain_token
from fusecat.stages.catalogue.messages import fail, shorten
from fusecat.stages.catalogue.parquet import ParquetTable
from fusecat.stages.errors import UsageError

SETTINGS = "catalogue.toml"
LONGEST_ID = 200
"""Characters; a longer id or type code is a text in the wrong column."""

_KEYS = (
    "files",
    "images",
    "encoding",
    "separator",
    "image_separator",
    "split_column",
    "split_file",
    "group_by",
    "columns",
    "classes",
)
_SEPARATORS = "|;,"


@dataclass(frozen=True)
class TablePlan:
    """Which tables of `root` are read, and how; paths are relative to `root`."""

    root: Path
    tables: tuple[Path, ...]
    columns: Mapping[str, str]
    images: str = "."
    separator: str | None = None
    image_separator: str | None = None
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
            fail(f"{file}: no [columns]; {advice.guessed(root, _tables(root, settings.get('files')), options)}")
        return None
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        message = f"columns {shown(columns)}: {' and '.join(missing)} missing"
        raise UsageError(message)
    tables = _tables(root, settings.get("files")) if path.is_dir() else (path,)
    if not tables:
        fail(advice.nothing_to_read(root))
    given: dict[str, Any] = {name: settings[name] for name in ("encoding", "split_column", "group_by") if name in settings}
    kept: dict[str, Any] = {
        name: value for name, value in given.items() if getattr(options, name) == getattr(ReadingOptions(), name)
    }
    if "split_file" in settings and options.split_file is None:
        kept["split_file"] = root / settings["split_file"]
    rest = {name: settings[name] for name in ("images", "separator", "image_separator", "classes") if name in settings}
    return TablePlan(root, tables, columns, **rest), replace(options, **kept)


def read(path: Path, made: TablePlan, options: ReadingOptions) -> Catalogue:
    """Read all tables of a plan as one catalogue."""
    builder = Builder(made.root, options)
    wanted = "image" in made.columns and options.images is not ImageUse.NONE
    pictures = PictureTree(made.root / made.images, made.root, follow_symlinks=options.follow_symlinks) if wanted else None
    parts = options.split_file and os.path.realpath(options.split_file)
    tables = [file for file in made.tables if os.path.realpath(file) != parts]
    for file in tables:
        _Rows(builder, made, advice.open_any(file, made.root, made.separator, options), pictures).read()
    if not builder.products:
        names = " in " + ", ".join(file.name for file in tables[:3]) if path.is_dir() else ""
        fail(f"{path}: {f'a header and no rows{names}' if tables else 'no table but the --split-file'}")
    use = options.images if wanted else ImageUse.NONE
    catalogue = builder.catalogue(path, "own", class_names=dict(made.classes), image_use=use)
    if wanted and not any(product.images for product in catalogue.products):
        fail(f"{made.root / made.images}: 0 of {len(catalogue.products)} images found; pass --images none to go without")
    return _finish(catalogue, builder, made)


def not_understood(path: Path, options: ReadingOptions) -> str:
    """One line for a path that has no known layout (see `stages.catalogue.advice`)."""
    return advice.not_understood(path, _tables(path, None) if path.is_dir() else (path,), options)


def _tables(root: Path, patterns: str | Sequence[str] | None) -> tuple[Path, ...]:
    """The tables of a folder: those that the patterns name, or all; every part of a catalogue in the order of names."""
    if patterns is None:
        return tuple(
            sorted(entry for entry in root.iterdir() if entry.suffix.lower() in advice.TABLES and entry.name[0] != ".")
        )
    found: list[Path] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            fail(f"{root / SETTINGS}: files: {pattern!r} leads out of the catalogue")
        try:  # a name may hold what means something in a pattern
            matches = [root / pattern] if pattern and (root / pattern).exists() else sorted(root.glob(pattern))
        except (ValueError, NotImplementedError) as error:
            fail(f"{root / SETTINGS}: files: {pattern!r} is no pattern ({error})")
        if not matches:
            fail(f"{root / SETTINGS}: files: nothing matches {pattern!r}")
        found += [match for match in matches if match not in found]
    return tuple(found)


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
        table = key in {"columns", "classes"}
        texts = (
            list(value.values())
            if isinstance(value, dict)
            else value
            if isinstance(value, list) and key == "files"
            else [value]
        )
        if table != isinstance(value, dict) or not all(isinstance(item, str) for item in texts):
            fail(f"{file}: {key}: {'a table of texts' if table else 'a text'} is expected")
    if len(settings.get("separator", ";")) != 1:
        fail(f"{file}: separator = {settings['separator']!r}: one character is expected")
    for name in settings.get("columns", {}):
        check_field(name, f"{file}: [columns]")
    for key in ("images", "split_file"):
        if Path(settings.get(key, "")).is_absolute() or ".." in Path(settings.get(key, "")).parts:
            fail(f"{file}: {key} = {settings[key]!r} leads out of the catalogue")
    return settings


class _Rows:
    """The rows of one table."""

    def __init__(self, builder: Builder, made: TablePlan, table: Table | ParquetTable, pictures: PictureTree | None) -> None:
        self.builder, self.table, self.pictures = builder, table, pictures
        self.options, self.separator = builder.options, made.image_separator
        # products to be classified need no label
        label = made.columns.get("label", "")
        needless = not self.options.labels and not set(holes(label) or [label]) <= set(table.columns)
        self.columns = {name: column for name, column in made.columns.items() if not (needless and name == "label")}
        guards = {"image": plain_token}
        self.get: dict[str, Callable[[Sequence[Cell]], Cell]] = {
            name: filler(column, table.columns, f"{table.path}", guards.get(name)) for name, column in self.columns.items()
        }
        for flag, name in (("--split-column", self.options.split_column), ("--group-by", self.options.group_by)):
            if name is not None:
                self.get[flag] = filler(name, table.columns, f"{table.path}: {flag}")

    def read(self) -> None:
        """Add every row."""
        for number, cells in self.table.rows():
            place = f"{self.table.path.name} {self.table.unit} {number}"
            values = {name: text(get(cells)) for name, get in self.get.items() if name != "image"}
            identity = self._token(values["id"], "id", number)
            if not identity:
                fail(f"{self._where(number, 'id')}: empty: every product needs an id")
            if not self.builder.is_new(identity, place, cells):
                continue
            self.builder.add(
                identity,
                place,
                title=values["title"],
                description=values.get("description", ""),
                images=self._images(cells, number, identity),
                code=self._code(values, number, identity, place),
                part=values.get("--split-column"),
                group=values.get("--group-by"),
            )

    def _where(self, number: int, name: str) -> str:
        return f"{self.table.path}: {self.table.unit} {number}, column {self.columns[name]}"

    def _token(self, cell: str, name: str, number: int) -> str:
        """An id or type code. Raises DataError for what can be neither."""
        value = token(cell)
        if len(value) > LONGEST_ID or not value.isprintable():
            fail(f"{self._where(number, name)}: {shorten(value, 40)!r} is no {name}: at most {LONGEST_ID} printable characters")
        return value

    def _code(self, values: Mapping[str, str], number: int, identity: str, place: str) -> str | None:
        """The type code; an empty cell is counted."""
        if "label" not in values:
            return None
        code = self._token(values["label"], "label", number)
        if code and code not in NOTHING:
            return code
        treatment = "kept without a label: left out of training and of scores"
        self.builder.findings.add("missing_labels", f"id {shorten(identity)} ({place})", treatment)
        return None

    def _images(self, cells: Sequence[Cell], number: int, identity: str) -> tuple[Path, ...]:
        """The pictures of a row that are there, in the order of the cell, at most `max_images`."""
        if self.pictures is None:
            return ()
        found: dict[Path, None] = {}
        missing: list[str] = []
        findings, name = self.builder.findings, ""
        try:
            for name in self._names(self.get["image"](cells)):
                paths = self.pictures.find(name)
                missing += [] if paths else [name]
                found |= dict.fromkeys(paths)
        except UnsafeName as error:
            fail(f"{self._where(number, 'image')}: {error}")
        refused = [path for path in found if self.pictures.refused(path)]
        for path in refused:
            findings.add("refused_links", str(path), "links out of the catalogue are not followed (--follow-symlinks): masked")
            del found[path]
        if not found:
            findings.add(
                "missing_images", f"id {shorten(identity)}: {name or 'none named'}", "kept with its text, picture masked"
            )
        elif missing:
            findings.add(
                "missing_further_images", f"id {shorten(identity)}: {missing[0]}", "the product's other pictures are used"
            )
        if len(found) > self.options.max_images:
            treatment = f"the first {self.options.max_images} are used (--max-images)"
            findings.add("too_many_images", f"id {shorten(identity)}: {len(found)}", treatment)
        return tuple(found)[: self.options.max_images]

    def _names(self, cell: Cell) -> list[str]:
        """The names in a cell: items of a list, a JSON list, or pieces between separators."""
        if not isinstance(cell, str):
            return [item.strip() for item in cell if item.strip()]
        cell = cell.strip()
        if cell.startswith("["):
            try:
                items = json.loads(cell)
            except ValueError:
                items = None
            if isinstance(items, list) and all(isinstance(item, str) for item in items):
                return [item.strip() for item in items if item.strip()]
        separator = self.separator or next((mark for mark in _SEPARATORS if mark in cell), None)
        pieces = cell.split(separator) if separator else re.split(r"\n", cell)
        return [piece.strip() for piece in pieces if piece.strip() and piece.strip() not in NOTHING]


def _finish(catalogue: Catalogue, builder: Builder, made: TablePlan) -> Catalogue:
    """Type codes without `.0`, and those that [classes] does not name counted."""
    products = catalogue.products
    codes = whole_numbers([product.code for product in products])
    if codes != [product.code for product in products]:
        products = tuple(replace(product, code=code) for product, code in zip(products, codes, strict=True))
    if made.classes:
        for code in sorted({code for code in codes if code is not None} - made.classes.keys()):
            builder.findings.add("codes_without_name", f"{shorten(code)} is not in [classes]", "shown as its code")
    names = {code: clean(name) or code for code, name in made.classes.items()}
    return replace(catalogue, products=products, findings=tuple(builder.findings), class_names=names)
