"""The names of pictures in one cell, however lists of them are written."""

import ast
import difflib
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from fusecat.cache.disk import replacing
from fusecat.stages.catalogue.advice import unpacking
from fusecat.stages.catalogue.builder import NOTHING
from fusecat.stages.catalogue.columns import Cell, NoText, shown
from fusecat.stages.catalogue.data_model import Findings, Product, ReadingOptions
from fusecat.stages.catalogue.guess import sample
from fusecat.stages.catalogue.image_files import ElsewhereError, PictureTree, UnsafeNameError
from fusecat.stages.catalogue.messages import fail, shorten
from fusecat.stages.catalogue.plan import TablePlan
from fusecat.stages.catalogue.tables import open_any

MOST = 20_000
"""Files among which the nearest name is looked for."""
LONGEST = 20_000
"""Characters of a list that is read as one."""
SEPARATORS = ("|", ";", ",", "\n")

_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_NUMPY = re.compile(r"""['"]\s+['"]""")
"""Between two items of an array: Python would read one text."""
_ENDING = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?)$", re.IGNORECASE)


def names_in(cell: str, separator: str | None, found: Callable[[str], bool]) -> list[str]:
    """The names in a cell: itself where it is one whole, a list as JSON, Python or numpy writes it, or pieces.

    Of several ways to read it, the first in which every name is `found`; failing that, the one in which most are.
    """
    cell = cell.strip()
    if not cell or cell in NOTHING:
        return []
    if cell[0] in "[({" and not cell[1:-1].strip():
        return []
    ways = [names for way in _ways(cell, separator) if (names := [name for name in way if name and name not in NOTHING])]
    if len(ways) <= 1:
        return ways[0] if ways else []
    counts = []
    for names in ways:
        counts.append(sum(map(found, names)))
        if counts[-1] == len(names):
            return names
    if not any(counts):  # the usual way to write several
        return ways[1]
    return ways[counts.index(max(counts))]


def _ways(cell: str, separator: str | None) -> Iterator[list[str]]:
    yield [cell]
    if cell.startswith(("[", "(", "{")):
        items = _items(cell)
        if items is not None:
            yield items
        elif cell.startswith("{") and cell.endswith("}"):  # an array of PostgreSQL, which quotes only where it must
            yield [piece.strip() for piece in cell[1:-1].split(",")]
    marks = (separator,) if separator else SEPARATORS
    for mark in marks:
        if mark in cell:
            yield [piece.strip() for piece in cell.split(mark)]
    words = cell.split()
    if separator is None and len(words) > 1 and all(map(_ENDING.search, words)):
        yield words


def _items(cell: str) -> list[str] | None:
    """The texts of a list: JSON, Python's repr (as pandas writes it into a CSV), or numpy's, which has no commas."""
    readers = (json.loads, ast.literal_eval) if len(cell) <= LONGEST and not _NUMPY.search(cell) else ()
    for read in readers:
        try:
            items = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(items, dict):
            items = [items.get("path")]
        if isinstance(items, list | tuple | set) and all(isinstance(item, str) for item in items):
            return [item.strip() for item in items]
    pieces = ["".join(found).strip() for found in _QUOTED.findall(cell)]
    return pieces or None


class Pictures:
    """The pictures that the cells of a table name or hold."""

    def __init__(self, made: TablePlan, options: ReadingOptions, findings: Findings) -> None:
        self.made, self.options, self.findings = made, options, findings
        outside = options.image_folder is not None  # whoever names a folder allows it
        root = made.pictures if outside else made.root
        self.tree = PictureTree(made.pictures, root, follow_symlinks=options.follow_symlinks, prefix=options.image_prefix or "")
        self._lost, self._asked = "", False

    def of(self, cell: Callable[[], Cell], identity: str, where: str, others: Callable[[], Iterable[Cell]]) -> tuple[Path, ...]:
        """The pictures of one product that are there, at most `max_images`. `others` gives all cells of the column.

        Raises: DataError, with `where`, for a name that leads out of the catalogue.
        """
        self._asked = True
        found: dict[Path, None] = {}
        missing: list[str] = []
        names: list[str | NoText] = []
        try:
            names = self._names(cell())
            for name in names:
                paths = [self._written(name, where)] if isinstance(name, NoText) else self.tree.find(name)
                missing += [] if paths else [str(name)]
                found |= dict.fromkeys(paths)
        except ElsewhereError as error:
            fail(f"{where}: {error}{self._prefix(names, others())}")
        except UnsafeNameError as error:
            fail(f"{where}: {error}")
        for path in [path for path in found if self.tree.refused(path)]:
            treatment = "links out of the catalogue are not followed (--follow-symlinks): masked"
            self.findings.add("refused_links", str(path), treatment)
            del found[path]
        if not found:
            self._lost = self._lost or (missing[0] if missing else "")
            self.findings.add(
                "missing_images",
                f"id {identity}: {missing[-1] if missing else 'none named'}",
                "kept with its text, picture masked",
            )
        elif missing:
            self.findings.add("missing_further_images", f"id {identity}: {missing[0]}", "the product's other pictures are used")
        if len(found) > self.options.max_images:
            treatment = f"the first {self.options.max_images} are used (--max-images)"
            self.findings.add("too_many_images", f"id {identity}: {len(found)}", treatment)
        return tuple(found)[: self.options.max_images]

    def refuse_none_found(self, products: Sequence[Product]) -> None:
        """Raise DataError where no product has a picture: one name, where it was looked for, and what lies there."""
        if not self._asked or any(product.images for product in products):
            return
        there = list(islice(self.tree.pictures(), MOST))
        told = f"the first is {shorten(self._lost, 80)!r}" if self._lost else "the column names none"
        if there:
            nearest = difflib.get_close_matches(self._lost, there, 1, 0.0)[0] if self._lost else there[0]
            told += f", the nearest there is {shorten(nearest, 80)!r}"
        else:
            told += ", and no picture lies there or below"
            if command := next((way for file in sorted(self.tree.base.iterdir()) if (way := unpacking(file))), None):
                told += f"; unpack them: {command}"
        if other := self._other():
            fail(f"{self.tree.base}: 0 of {len(products)} images found ({told}): map {other}, which names pictures there")
        fail(
            f"{self.tree.base}: 0 of {len(products)} images found ({told}): name their folder with --image-folder, or pass "
            "--images none to go without"
        )

    def _other(self) -> str | None:
        """A column most cells of which are names of pictures that are there, endings included."""
        table = open_any(self.made.tables[0], self.made.root, self.options)
        for column, cells in sample(table).items():
            named = [names_in(cell, self.options.image_separator, self._is_there) for cell in cells]
            good = [names for names in named if names and all(_ENDING.search(name) and self._is_there(name) for name in names)]
            if column and len(good) > len(cells) / 2:
                return shown({"image": column})
        return None

    def _names(self, cell: Cell) -> list[str | NoText]:
        if isinstance(cell, NoText):
            return [cell]
        if isinstance(cell, tuple):
            return [item.strip() if isinstance(item, str) else item for item in cell if item and item not in NOTHING]
        return list(names_in(cell, self.options.image_separator, self._is_there))

    def _is_there(self, name: str) -> bool:
        try:
            return bool(self.tree.find(name))
        except ElsewhereError:
            return self.tree.suffix(name) is not None
        except UnsafeNameError:
            return False

    def _prefix(self, names: Sequence[str | NoText], cells: Iterable[Cell]) -> str:
        """What to pass where paths are of another machine, with the count of pictures that are then found."""
        split = next((split for name in names if isinstance(name, str) and (split := self.tree.suffix(name))), None)
        if split is None:
            return "; none of that name lies here: put the pictures there and name the files"
        prefix, _ = split
        total = found = 0
        for cell in cells:
            for name in self._names(cell):
                total += 1
                plain = name.replace("\\", "/") if isinstance(name, str) else ""
                found += plain.startswith(prefix) and self._is_there(plain[len(prefix) :])
        return f"; {found} of {total} pictures are found here with --image-prefix {shlex.quote(prefix)}"

    def _written(self, cell: NoText, where: str) -> Path:
        """The file into which a picture that lies in the table is written, once, under the digest of its bytes."""
        if cell.picture is None:
            fail(f"{where}: {cell.what}, neither the name of a picture nor a picture")
        if self.options.picture_store is None:
            fail(f"{where}: {cell.what}: a picture inside of the table: name a folder to write it to (picture_store)")
        digest = hashlib.sha256(cell.picture).hexdigest()
        path = self.options.picture_store / digest[:2] / digest
        if not path.is_file() or path.stat().st_size != len(cell.picture):
            with replacing(path) as file:
                file.write(cell.picture)
        return path
