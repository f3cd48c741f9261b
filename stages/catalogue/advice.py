"""What to say of a path that is no catalogue: what is there, what would be read, and a way that works."""

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from fusecat.stages.catalogue.column_names import further_name
from fusecat.stages.catalogue.columns import check_fields, holes, listed, shown
from fusecat.stages.catalogue.data_model import Findings, ImageUse, ReadingOptions
from fusecat.stages.catalogue.guess import NO_CLASS, Guess, guess, sample
from fusecat.stages.catalogue.image_files import SUFFIXES, PictureTree
from fusecat.stages.catalogue.layouts import LAYOUTS, Layout
from fusecat.stages.catalogue.messages import fail, offered, pasted
from fusecat.stages.catalogue.picture_guess import picture_template
from fusecat.stages.catalogue.tables import AnyTable, is_table, open_any
from fusecat.stages.errors import UsageError

NO_LAYOUT = "no X_train.tsv (SIGIR layout), no X_train_update.csv (ENS layout), no catalogue.toml"
_SINGLE = "'"
_LETTER = re.compile(r"[^\W\d_]")
MOST = 3
"""Names that a line tells."""
MOST_TABLES = 20
"""Tables of a folder that are looked into for a mapping."""

_UNPACK = {
    r"\.tgz|\.tar(\.\w+)?": "tar xf {file} -C {folder}",
    r"\.zip": "unzip {file} -d {folder}",
    r"\.gz": "gunzip {file}",
    r"\.bz2": "bunzip2 {file}",
    r"\.xz": "unxz {file}",
    r"\.zst": "unzstd {file}",
}
_WRITE = {
    r"\.(xlsx?|xlsm|ods|numbers)": "save {file} as CSV (UTF-8) where it was made",
    r"\.(xml|sqlite3?|db|orc|pkl|h5|npz?)": "write {file} as CSV or Parquet, a row per product",
    r"\.(txt|dat|tab|psv)": "name the file itself, or rename {file} to .csv",
}
"""Endings of a name in lower case -> what makes a table of it."""


def nothing_to_read(root: Path) -> str:
    """One line for a folder without a table: what is in it instead, and how that becomes one."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir() if not entry.name.startswith("."))
    missing = (
        f"{root}: no X_train.tsv (SIGIR layout), no X_train_update.csv (ENS layout), no table (.csv, .tsv, .jsonl, .parquet)"
    )
    if not names:
        return f"{missing}: the folder is empty"
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    trained = sorted(names, key=lambda name: "train" not in name.lower())
    way = next((f"; {way}" for name in trained if (way := _way(root / name))), "") or _of_pictures(root)
    return f"{missing}; found: {', '.join(names[:MOST])}{more}{way}"


def unpacking(path: Path) -> str | None:
    """The command that unpacks a file where it lies, to be pasted; None for a file that is not packed, by its name."""
    for ending, command in _UNPACK.items():
        if re.search(rf"({ending})$", path.name.lower()):
            return command.format(file=pasted(path), folder=pasted(path.parent))
    return None


def packed(folder: Path, expected: re.Pattern[str]) -> str:
    """`; unpack it: ...` where a file of the expected name (in lower case) lies there packed, else nothing."""
    for entry in sorted(folder.iterdir()):
        inside = re.sub(rf"({'|'.join(_UNPACK)})$", "", entry.name.lower())
        if inside != entry.name.lower() and expected.fullmatch(inside):
            return f"; unpack it: {unpacking(entry)}"
    return ""


def not_understood(path: Path, tables: Sequence[Path], options: ReadingOptions) -> str:
    """One line for a path that has no known layout, with a mapping to paste where its columns suggest one."""
    if not path.is_dir():
        return f"{path}: none of the known names (X_train.tsv, X_train_update.csv); {guessed(path.parent, tables, options)}"
    for layout in LAYOUTS:
        if way := packed(path, layout.texts):
            return f"{path}: no {_name(layout)} ({layout.name.upper()} layout){way}"
    if not tables:
        return nothing_to_read(path)
    return f"{path}: {NO_LAYOUT}; {guessed(path, tables, options)}"


def guessed(root: Path, tables: Sequence[Path], options: ReadingOptions) -> str:
    """What to paste, from the columns and first rows of the table that tells most, and what is doubtful in it."""
    if not tables:
        return nothing_to_read(root)
    opened = [open_any(file, root, options) for file in tables[:MOST_TABLES]]
    guesses = [guess(table) for table in opened]
    best = max(range(len(opened)), key=lambda number: (*_worth(opened[number], guesses[number]), -number))
    table, found = opened[best], guesses[best]
    if next(table.rows(), None) is None:
        fail(f"{table.path}: a header and no rows")
    columns = f"{table.path.name} has the columns {listed(table.columns)}"
    other = next((other for other in opened if other.columns != table.columns), None)
    alone = f"{other.path.name} has others, so name {pasted(table.path)} alone and " if other else ""
    if not found.columns.keys() & {"title", "description"}:
        return f"{columns}: {alone}say which is what, as in --columns id=sku,title=name,label=category"
    mapping = dict(found.columns)
    if "image" not in mapping and options.images is not ImageUse.NONE and (way := _template(table, root, options)):
        mapping["image"] = way
    said = [doubt for doubt in found.doubts if options.labels or not doubt.startswith(NO_CLASS)]
    doubts = f" ({'; '.join(said)})" if said else ""
    told = f"{columns}{doubts}: {alone}try --columns {_quoted(shown(mapping))}"
    if more := further_texts(table, mapping):
        told += f"; further texts, where networks are to read them: --columns {_quoted(shown(mapping | more))}"
    return told


def further_texts(table: AnyTable, mapping: Mapping[str, str]) -> dict[str, str]:
    """Name -> column of texts beside title and description, by what they are called: to be suggested, never taken."""
    used = {column for value in mapping.values() for column in (holes(value) or [value])}
    found: dict[str, str] = {}
    for column, cells in sample(table).items():
        name = further_name(column)
        if name is None or column in used or name in found or not any(map(_LETTER.search, cells)):
            continue
        try:
            check_fields((*mapping, name), "")
        except UsageError:
            continue  # a word that means something else in a mapping
        found[name] = column
    return found


def _quoted(mapping: str) -> str:
    return shlex.quote(mapping) if _SINGLE in mapping else _SINGLE + mapping + _SINGLE


def _worth(table: AnyTable, found: Guess) -> tuple[bool, bool, bool]:
    """How much a table tells: texts, then labels, then that it says to be for training."""
    return (bool(found.columns.keys() & {"title", "description"}), "label" in found.columns, "train" in table.path.name.lower())


def _template(table: AnyTable, root: Path, options: ReadingOptions) -> str | None:
    folder = options.image_folder or root
    return picture_template(sample(table), PictureTree(folder, folder, follow_symlinks=options.follow_symlinks))


def unused_pictures(root: Path, table: AnyTable, options: ReadingOptions, findings: Findings) -> None:
    """Count pictures that lie in a catalogue without any column that names them."""
    folder = options.image_folder or root
    there = list(PictureTree(folder, folder, follow_symlinks=options.follow_symlinks).pictures())
    if there:
        way = _template(table, root, options)
        told = shown({"image": way or "COLUMN"})
        treatment = f"not used, no column is mapped to image: add {told} to the mapping, or pass --images none"
        findings.add("unused_pictures", there[0], treatment, len(there))


def _way(path: Path) -> str | None:
    if path.is_dir():
        inside = list(path.iterdir()) if _may_list(path) else []
        return f"name the folder {pasted(path)}" if any(is_table(entry.name) for entry in inside) else None
    if command := unpacking(path):
        return f"unpack it: {command}"
    for ending, way in _WRITE.items():
        if re.search(rf"{ending}$", path.name.lower()):
            return way.format(file=path.name)
    return None


def _of_pictures(root: Path) -> str:
    """How a folder of pictures per class becomes a catalogue."""
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and _may_list(entry)]
    if not any(e.name.lower().endswith(SUFFIXES) for folder in folders for e in islice(folder.iterdir(), MOST_TABLES)):
        return ""
    lines = """{ echo image,label; find */ -type f | awk -F/ '{print $0 "," $(NF-1)}'; } > products.csv"""
    options = offered("--columns", ", and pass --columns image=image,label=label --texts none")
    return f"; if a folder is a class, write a table of them: (cd {pasted(root)} && {lines}){options}"


def _may_list(path: Path) -> bool:
    try:
        next(path.iterdir(), None)
    except OSError:
        return False
    return True


def _name(layout: Layout) -> str:
    return "X_train.tsv" if layout is LAYOUTS[0] else "X_train_update.csv"
