"""The dialect of a delimited file: what parts its cells, how they are quoted, and what stands before the header.

Of the 16 text files of `tests/stages/catalogue/forms.py`, `csv.Sniffer` reads 7, pandas (`sep=None`) 9, clevercsv 12, this all.
`csv.Sniffer` takes letters for separators and sees no escapes; here a dialect is only taken where every line reads in it.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

SEPARATORS = "\t,;|"
RARE = "^~\x01"
"""Separators that are taken only where every one of the first lines has equally many."""
SAMPLE = 200
"""Lines by which separators are compared."""
LARGEST_CELL = 16_000_000
"""Characters. A description of a megabyte is read (and cut later); a quote that was never closed must not eat all memory."""

_PREAMBLE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""The line by which Excel is told the separator."""


class BadLine(Exception):
    """A record that is none, by its first line, and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


@dataclass(frozen=True)
class Dialect:
    """How a line becomes cells. `preamble`: lines before the header that are no part of the table."""

    separator: str
    quoted: bool = True
    quote: str = '"'
    escape: str | None = None
    blanks: bool = False
    preamble: int = 0

    def records(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """(first line, cells) of every record that is not a blank line. Raises BadLine."""
        csv.field_size_limit(LARGEST_CELL)
        lines = islice(lines, self.preamble, None)
        if self.escape:  # MySQL writes \N for a cell without value, which an escaped N would become
            edge = re.escape(self.separator)
            nothing = re.compile(rf"(?<![^{edge}])\\N(?=[{edge}\r\n]|$)")
            lines = (nothing.sub("", line) for line in lines)
        options: dict[str, Any] = {"delimiter": self.separator, "strict": True, "skipinitialspace": self.blanks}
        if self.quoted:
            options |= {"quotechar": self.quote, "escapechar": self.escape}
        else:
            options |= {"quoting": csv.QUOTE_NONE}
        reader = csv.reader(lines, **options)
        line = 1 + self.preamble
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1 + self.preamble
        except csv.Error as error:
            raise BadLine(line, _trouble(str(error))) from error


def detect(lines: Callable[[], Iterable[str]], separator: str | None) -> Dialect:
    """The dialect in which every line reads; where there is none, the nearest. `lines` starts the file again.

    `separator` None: that of a `sep=;` line; else the one in which the first lines have equally many cells, and the most.
    """
    sample = list(islice(lines(), SAMPLE))
    told = _PREAMBLE.fullmatch(sample[0]) if sample else None
    found = Dialect(separator or (told[1] if told else ","), preamble=1 if told else 0)
    if separator is None and not told:
        found = replace(found, separator=_separator(sample))
    if _in_single_quotes(found, sample):
        found = replace(found, quote="'")
    header = next((cells for _, cells in _readable(found, sample)), [])
    doubts = _doubts(lines(), found, len(header))
    if not doubts:
        return found
    spaced = [replace(found, blanks=True)] if "blanks" in doubts else []
    escaped = [replace(each, escape="\\") for each in (found, *spaced)] if "escape" in doubts else []
    tried = [*escaped, replace(found, quoted=False)] if "unquoted" in doubts else [*spaced, found, *escaped]
    return next((each for each in tried if _reads_all(each, lines())), found)


def _trouble(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quote is opened and never closed (a file cut off, or a stray quote)"
    if "larger than field limit" in message:
        return f"a cell of more than {LARGEST_CELL:,} characters (a quote that is never closed?)"
    return f"{message} (a stray quote in a text?)"


def _separator(sample: Sequence[str]) -> str:
    """The one in which the first lines have equally many cells, and the most; else the one that the header has most of."""
    head = next((line for line in sample if line.strip()), "")
    there = [mark for mark in SEPARATORS + RARE if mark in head]
    whole = {}
    for mark in there:
        records = [cells for _, cells in _readable(Dialect(mark), sample)]
        counts = Counter(len(cells) for cells in (records[:-1] if len(sample) == SAMPLE else records))
        if len(counts) == 1:
            whole[mark] = next(iter(counts))
    if whole:
        return max(whole, key=lambda mark: (whole[mark], head.count(mark)))
    return max(SEPARATORS, key=head.count)


def _readable(dialect: Dialect, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The records up to the first that does not read."""
    try:
        yield from dialect.records(lines)
    except BadLine:
        return


def _in_single_quotes(dialect: Dialect, sample: Sequence[str]) -> bool:
    """Whether the first or the last column stands in single quotes, and none in double ones."""
    if not any("'" in line for line in sample) or any(
        re.search(rf'(^|{re.escape(dialect.separator)})"', line) for line in sample
    ):
        return False
    single = [cells for _, cells in _readable(replace(dialect, quote="'"), sample)]
    if len(single) < 2 or len({len(cells) for cells in single}) > 1:
        return False
    rows = [line.strip() for line in sample[1:] if line.strip()]
    return all(row.startswith("'") for row in rows) or all(row.endswith("'") for row in rows)


def _doubts(lines: Iterable[str], dialect: Dialect, columns: int) -> set[str]:
    """What speaks against reading the lines as they are: `unquoted`, `escape`, `blanks`.

    A file may be written without any quoting, where a title may begin with a quote. Read as quoted, such a title swallows the
    lines up to the next quote, in silence. It gives itself away: as they stand, all lines have the right number of cells, and
    yet some line alone is not a proper quoted row.
    """
    found, even, odd = set[str](), True, False
    spaced, escaped = f"{dialect.separator} {dialect.quote}", f"\\{dialect.quote}"
    for line in islice(lines, dialect.preamble, None):
        if even and line.strip() and line.count(dialect.separator) != columns - 1:
            even = False
        if dialect.quote not in line:
            continue
        if spaced in line:
            found.add("blanks")
        if escaped in line:
            found.add("escape")
        if even and not odd:
            odd = not _reads_all(dialect, [line], columns)
    return found | {"unquoted"} if even and odd else found


def _reads_all(dialect: Dialect, lines: Iterable[str], columns: int | None = None) -> bool:
    """Whether all lines read, and have equally many cells."""
    skipped = replace(dialect, preamble=0) if columns is not None else dialect
    try:
        for _, cells in skipped.records(lines):
            columns = columns or len(cells)
            if len(cells) != columns:
                return False
    except BadLine:
        return False
    return True
