"""What to say of a path that is no catalogue: what is there, what would be read, and a way that works."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from fusecat.stages.catalogue.columns import REQUIRED, shown
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.delimited import Table, check_file, open_table
from fusecat.stages.catalogue.guess import guess
from fusecat.stages.catalogue.layouts import LAYOUTS, Layout
from fusecat.stages.catalogue.messages import fail, pasted
from fusecat.stages.catalogue.parquet import ParquetTable, open_parquet

TABLES = (".csv", ".tsv", ".parquet")
NO_LAYOUT = "no X_train.tsv (SIGIR layout), no X_train_update.csv (ENS layout), no catalogue.toml"
_SINGLE = "'"
MOST = 3
"""Names that a line tells."""

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
    r"\.(jsonl?|ndjson|xml|sqlite3?|db|feather|arrow|orc|pkl|h5|npz?)": "write {file} as CSV or Parquet, a row per product",
    r"\.(txt|dat|tab|psv)": "name the file itself, or rename {file} to .csv",
}
"""Endings of a name in lower case -> what makes a table of it."""


def nothing_to_read(root: Path) -> str:
    """One line for a folder without a table: what is in it instead, and how that becomes one."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir() if not entry.name.startswith("."))
    missing = f"{root}: no X_train.tsv (SIGIR layout), no X_train_update.csv (ENS layout), no table ({', '.join(TABLES)})"
    if not names:
        return f"{missing}: the folder is empty"
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    way = next((f"; {way}" for name in names if (way := _way(root / name))), "")
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
    """What to paste, from the columns and first rows of the first table that tells; the others must be of its kind."""
    if not tables:
        return nothing_to_read(root)
    opened = [open_any(file, root, None, options) for file in tables[:MOST]]
    table, found = next(
        ((table, found) for table in opened if set(REQUIRED) <= (found := guess(table)).keys()), (opened[0], guess(opened[0]))
    )
    if next(table.rows(), None) is None:
        fail(f"{table.path}: a header and no rows")
    columns = f"{table.path.name} has the columns {', '.join(name or '(unnamed)' for name in table.columns[:12])}"
    other = next((other for other in opened if other.columns != table.columns), None)
    alone = f"{other.path.name} has others, so name {pasted(table.path)} alone and " if other else ""
    if not all(name in found for name in REQUIRED):
        return f"{columns}: {alone}say which is what, as in --columns id=sku,title=name,label=category"
    mapping = shown(found)
    return f"{columns}: {alone}try --columns {shlex.quote(mapping) if _SINGLE in mapping else _SINGLE + mapping + _SINGLE}"


def open_any(file: Path, root: Path, separator: str | None, options: ReadingOptions) -> Table | ParquetTable:
    """A table of either kind. Raises DataError where the file is none."""
    check_file(file, root, follow_symlinks=options.follow_symlinks)
    if file.suffix.lower() == ".parquet":
        return open_parquet(file)
    return open_table(file, separator, options.encoding)


def _way(path: Path) -> str | None:
    if path.is_dir():
        inside = (entry.name.lower() for entry in path.iterdir()) if _may_list(path) else ()
        return f"name the folder {pasted(path)}" if any(name.endswith(TABLES) for name in inside) else None
    if command := unpacking(path):
        return f"unpack it: {command}"
    for ending, way in _WRITE.items():
        if re.search(rf"{ending}$", path.name.lower()):
            return way.format(file=path.name)
    return None


def _may_list(path: Path) -> bool:
    try:
        next(path.iterdir(), None)
    except OSError:
        return False
    return True


def _name(layout: Layout) -> str:
    return "X_train.tsv" if layout is LAYOUTS[0] else "X_train_update.csv"
