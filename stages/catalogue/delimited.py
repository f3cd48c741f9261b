"""Delimited text files, read strictly: what is not exactly a table is refused with the file, the line and the way out."""

import csv
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fusecat.stages.catalogue.messages import fail, pasted
from fusecat.stages.errors import UsageError

LARGEST_CELL = 16_000_000
"""Characters. A description of a megabyte is read (and cut later); a quote that was never closed must not eat all memory."""

_MAGIC = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the data: run 'git lfs pull'"),
    (b"\x1f\x8b", "is compressed with gzip: unpack it first ({gunzip .gz})"),
    (b"BZh", "is compressed with bzip2: unpack it first ({bunzip2 .bz2})"),
    (b"\xfd7zXZ\x00", "is compressed with xz: unpack it first ({unxz .xz})"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first ({unzstd .zst})"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet (.xlsx): unpack it, or save it as UTF-8 text"),
    (b"\xd0\xcf\x11\xe0", "is an old spreadsheet (.xls): save it as UTF-8 text"),
    (b"SQLite format 3\x00", "is an SQLite database: export the table as CSV or Parquet"),
    (b"PAR1", "is a Parquet file: name it .parquet"),
    (b"%PDF", "is a PDF, not a table (.csv, .tsv, .parquet)"),
    (b"\x89PNG", "is a picture: name the table that lists the pictures, or its folder"),
    (b"\xff\xd8\xff", "is a picture: name the table that lists the pictures, or its folder"),
    (b"GIF8", "is a picture: name the table that lists the pictures, or its folder"),
    (b"RIFF", "is a picture, a sound or a film: name the table that lists the pictures, or its folder"),
    (b"\x89HDF", "is HDF5, not a table: vectors come in with 'fusecat import'"),
    (b"\x93NUMPY", "is a numpy array, not a table: vectors come in with 'fusecat import'"),
    (b"\xff\xfe", "is UTF-16: convert it ('iconv -f UTF-16 -t UTF-8') or pass --encoding utf-16"),
    (b"\xfe\xff", "is UTF-16: convert it ('iconv -f UTF-16 -t UTF-8') or pass --encoding utf-16"),
)
_PAGE = (b"<!doctype", b"<html", b"<?xml")


@dataclass(frozen=True)
class Table:
    """The header of one file; `rows` reads the rest."""

    path: Path
    columns: tuple[str, ...]
    separator: str
    encoding: str
    quoted: bool
    unit: str = "line"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(first line in the file, cells) of every row; blank lines are no rows. Raises DataError at the first odd row."""
        records = _records(self.path, self.separator, self.encoding, quoted=self.quoted)
        next(records)
        expected = len(self.columns)
        for line, cells in records:
            if len(cells) != expected:
                why = "cut off, or a stray line break?" if len(cells) < expected else "a stray separator in a text?"
                fail(f"{self.path}: line {line} has {len(cells)} fields, {expected} expected ({why})")
            yield line, cells


def open_table(path: Path, separator: str | None = None, encoding: str = "utf-8") -> Table:
    """Read the header of a file that `check_file` has let through and look over every line.

    `separator` None: the one that the header has most of (tab, comma, semicolon, bar). Raises DataError where the file is no
    text in that encoding or no table; UsageError for an encoding that does not exist.
    """
    try:
        path.open(encoding=encoding).close()
    except LookupError as error:
        message = f"--encoding {encoding}: no such encoding (utf-8, cp1252, latin-1, utf-16, ...)"
        raise UsageError(message) from error
    _refuse_other_formats(path, encoding)
    csv.field_size_limit(LARGEST_CELL)
    lines = _lines(path, encoding)
    head = next((line for line in lines if line.strip()), "")
    if not head:
        fail(f"{path} holds nothing but blank lines")
    separator = separator or max("\t,;|", key=head.count)
    columns = tuple(name.strip() for name in next(_records(path, separator, encoding, quoted=True))[1])
    twice = next((name for name, count in Counter(columns).items() if count > 1 and name), None)
    if twice is not None:
        fail(f"{path}: the column name {twice!r} stands twice in the header: rename or remove one")
    return Table(path, columns, separator, encoding, quoted=_is_quoted(lines, separator, len(columns)))


def check_file(path: Path, root: Path, *, follow_symlinks: bool = False) -> None:
    """Raise DataError unless `path` is a regular file with something in it that lies inside of `root`."""
    if not path.exists():
        if path.is_symlink():
            fail(f"{path} is a link to {path.readlink()}, which does not exist")
        fail(f"{path} does not exist")
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        fail(f"{path} is a folder, a file is expected")
    if not stat.S_ISREG(mode):
        fail(f"{path} is a pipe or a device: copy it to a file first")
    if not follow_symlinks and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        fail(f"{path} is a link out of the catalogue: copy the file, or pass --follow-symlinks")
    if path.stat().st_size == 0:
        fail(f"{path} is empty (0 bytes)")


def _refuse_other_formats(path: Path, encoding: str) -> None:
    """Say what a file really is, where its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(4096)
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    for magic, message in _MAGIC:
        if head.startswith(magic) and not wide:
            fail(f"{path} {_with_command(message, path)}")
    if re.match(rb'\s*(\{\s*"|\[\s*[{"\[])', head) and not wide:
        fail(f"{path} is JSON, not a table: write it as CSV or Parquet, a row per product")
    if head.lstrip().lower().startswith(_PAGE):
        fail(f"{path} is a web page (or XML), not a table: was the download refused?")
    if not wide and head.count(0) > len(head) // 4:
        fail(f"{path} is binary, or UTF-16 without a mark: convert it to UTF-8 or pass --encoding")


def _with_command(message: str, path: Path) -> str:
    """The message with `{gunzip .gz}` as a command to be pasted; these tools go by the ending of a name."""

    def command(found: re.Match[str]) -> str:
        tool, ending = found.groups()
        if path.name.lower().endswith(ending):
            return f"{tool} {pasted(path)}"
        named = pasted(path.with_name(path.name + ending))
        return f"mv {pasted(path)} {named} && {tool} {named}"

    return re.sub(r"\{(\w+) (\.\w+)\}", command, message)


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file as text; a byte that is not in the encoding is named with its line."""
    try:
        with path.open(encoding=_without_mark(encoding), newline="") as file:
            yield from file
    except UnicodeError:
        fail(_undecodable(path, encoding))


def _without_mark(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding


def _undecodable(path: Path, encoding: str) -> str:
    """Where the first byte stands that the encoding does not know, and what the file looks like instead."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", line):
                    return f"{path}: line {number} is binary, not text: name a .csv, .tsv or .parquet file"
                start = getattr(error, "start", 0)
                if getattr(error, "reason", "") == "unexpected end of data" and not line.endswith(b"\n"):
                    return f"{path}: line {number} ends inside of a character: the file is cut off, copy it again"
                hint = "it looks like Latin-1 or cp1252: convert it to UTF-8, or pass --encoding cp1252"
                return f"{path}: line {number}: byte 0x{line[start]:02x} is not {encoding.upper()}; {hint}"
    return f"{path} is not {encoding.upper()}: pass --encoding"


def _records(path: Path, separator: str, encoding: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells) of every record that is not a blank line."""
    lines = _lines(path, encoding)
    plain = csv.reader(lines, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE)
    reader = csv.reader(lines, delimiter=separator, strict=True) if quoted else plain
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        fail(f"{path}: line {line}: {_csv_trouble(str(error))}")


def _csv_trouble(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quote is opened and never closed (a file cut off, or a stray quote)"
    if "larger than field limit" in message:
        return f"a cell of more than {LARGEST_CELL:,} characters (a quote that is never closed?)"
    return f"{message} (a stray quote in a text?)"


def _is_quoted(lines: Iterable[str], separator: str, columns: int) -> bool:
    """False for a file written without any quoting, where a title may begin with a quote.

    Read as quoted, such a title swallows the lines up to the next quote, in silence. It gives itself away: as they stand, all
    lines have the right number of fields, and yet some line alone is not a proper quoted row.
    """
    suspicious = False
    for line in lines:
        if line.strip() and line.count(separator) != columns - 1:
            return True
        if not suspicious and '"' in line:
            try:
                suspicious = len(next(csv.reader([line], delimiter=separator, strict=True))) != columns
            except csv.Error:
                suspicious = True
    return not suspicious
