"""Text files, packed or not: what a file really is, its lines, and where the first byte stands that is not in the encoding."""

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from fusecat.stages.catalogue.messages import fail, offered, pasted
from fusecat.stages.errors import UsageError

LONGEST_LINE = 64_000_000
"""Characters of a line, and of a cell a quarter: a megabyte of description is read (and cut later); a quote that is never
closed, or a packed file of one line, must not eat all memory."""

PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
"""First bytes -> what opens it."""

_MAGIC = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the data: run 'git lfs pull'"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first ({unzstd .zst})"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet (.xlsx): unpack it, or save it as UTF-8 text (CSV) where it was made"),
    (b"\xd0\xcf\x11\xe0", "is an old spreadsheet (.xls): save it as UTF-8 text (CSV) where it was made"),
    (b"SQLite format 3\x00", "is an SQLite database: export the table as CSV or Parquet"),
    (b"PAR1", "is a Parquet file, text is expected here: write the table as CSV"),
    (b"%PDF", "is a PDF, not a table (.csv, .tsv, .jsonl, .parquet)"),
    (b"\x89PNG", "is a picture: name the table that lists the pictures, or its folder"),
    (b"\xff\xd8\xff", "is a picture: name the table that lists the pictures, or its folder"),
    (b"GIF8", "is a picture: name the table that lists the pictures, or its folder"),
    (b"RIFF", "is a picture, a sound or a film: name the table that lists the pictures, or its folder"),
    (b"\x89HDF", "is HDF5, not a table: vectors come in with 'fusecat import'"),
    (b"\x93NUMPY", "is a numpy array, not a table: vectors come in with 'fusecat import'"),
    (b"\xff\xfe", "is UTF-16: convert it ('iconv -f UTF-16 -t UTF-8')[encoding]"),
    (b"\xfe\xff", "is UTF-16: convert it ('iconv -f UTF-16 -t UTF-8')[encoding]"),
)
_PAGE = (b"<!doctype", b"<html", b"<?xml")


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
        fail(
            f"{path} is a link out of the catalogue: copy the file{offered('--follow-symlinks', ', or pass --follow-symlinks')}"
        )
    if path.stat().st_size == 0:
        fail(f"{path} is empty (0 bytes)")


def head_of(path: Path) -> bytes:
    """The first 4096 bytes, unpacked. Raises DataError where it cannot be unpacked."""
    opener = _opener(path)
    if opener is None:
        with path.open("rb") as file:
            return file.read(4096)
    try:
        with opener(path, "rb") as file:
            return bytes(file.read(4096))
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        fail(_damaged(path, error))


def refuse_other_formats(path: Path, head: bytes, encoding: str) -> None:
    """Say what a file really is, where its first bytes tell. Raises UsageError for an encoding that does not exist."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    except LookupError as error:
        raise UsageError(f"--encoding {encoding}: no such encoding (utf-8, cp1252, latin-1, utf-16, ...)") from error
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return
    for magic, message in _MAGIC:
        if head.startswith(magic):
            encoding = offered("--encoding", ", or pass --encoding utf-16")
            fail(f"{path} {_with_command(message, path)}".replace("[encoding]", encoding))
    if head.lstrip().lower().startswith(_PAGE):
        fail(f"{path} is a web page (or XML), not a table: was the download refused?")
    if head.count(0) > len(head) // 4:
        fail(f"{path} is binary, or UTF-16 without a mark: convert it to UTF-8{offered('--encoding', ', or pass --encoding')}")


def lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file as text, packed or not; a byte that is not in the encoding is named with its line."""
    opener = _opener(path)
    unmarked = "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
    options: dict[str, Any] = {"encoding": unmarked, "newline": ""}
    try:
        if opener is None:
            with path.open(**options) as text:
                yield from text
            return
        with opener(path, "rt", **options) as text:
            for number, line in enumerate(iter(lambda: text.readline(LONGEST_LINE), ""), 1):
                if len(line) == LONGEST_LINE:
                    fail(f"{path}: line {number} has more than {LONGEST_LINE:,} characters")
                yield line
    except UnicodeError:
        fail(_undecodable(path, encoding))
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        fail(_damaged(path, error))
    except OSError as error:
        if opener is None or error.errno is not None:
            raise
        fail(_damaged(path, error))  # what bz2 says of a damaged file


def _opener(path: Path) -> Callable[..., IO[Any]] | None:
    """What unpacks a file; None for one that is not packed."""
    with path.open("rb") as file:
        head = file.read(8)
    return next((opener for magic, opener in PACKED.items() if head.startswith(magic)), None)


def _damaged(path: Path, error: Exception) -> str:
    return f"{path} cannot be unpacked ({error or type(error).__name__}): the file is cut off or damaged, copy it again"


def _with_command(message: str, path: Path) -> str:
    """The message with `{unzstd .zst}` as a command to be pasted; these tools go by the ending of a name."""

    def command(found: re.Match[str]) -> str:
        tool, ending = found.groups()
        if path.name.lower().endswith(ending):
            return f"{tool} {pasted(path)}"
        named = pasted(path.with_name(path.name + ending))
        return f"mv {pasted(path)} {named} && {tool} {named}"

    return re.sub(r"\{(\w+) (\.\w+)\}", command, message)


def _undecodable(path: Path, encoding: str) -> str:
    """Where the first byte stands that the encoding does not know, and what the file looks like instead."""
    opener = _opener(path)
    with opener(path, "rb") if opener else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", line):
                    return f"{path}: line {number} is binary, not text: name a .csv, .tsv, .jsonl or .parquet file"
                start = getattr(error, "start", 0)
                if getattr(error, "reason", "") == "unexpected end of data" and not line.endswith(b"\n"):
                    return f"{path}: line {number} ends inside of a character: the file is cut off, copy it again"
                convert = f"convert it to UTF-8 (iconv -f CP1252 -t UTF-8 {pasted(path)} > FILE)"
                hint = "it looks like Latin-1 or cp1252: " + convert + offered("--encoding", ", or pass --encoding cp1252")
                return f"{path}: line {number}: byte 0x{line[start]:02x} is not {encoding.upper()}; {hint}"
    return f"{path} is not {encoding.upper()}: convert it to UTF-8{offered('--encoding', ', or pass --encoding')}"
