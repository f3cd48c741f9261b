"""Products one by one: what every layout does with a row once its cells are known."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from fusecat.stages.catalogue.cleaning import MAX_CHARACTERS, clean
from fusecat.stages.catalogue.column_names import plain
from fusecat.stages.catalogue.data_model import Catalogue, Findings, ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.messages import fail, shorten
from fusecat.stages.errors import UsageError
from fusecat.stages.fields import TEXTS

NOTHING = frozenset({"nan", "NaN", "None", "null", "NULL", "<NA>", "\\N", "#N/A"})
"""What other programs write where there is nothing. Read as text, it would look like the most frequent description."""

PARTS: Mapping[str, str | None] = {
    "train": "train",
    "training": "train",
    "head": "head",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "validate": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "unassigned": None,
}
"""Words for the parts of a split of one's own, in any case; None: in no part (Vertex AI)."""
NUMBERED = {"0": "train", "1": "validation", "2": "test"}
"""Parts as Ludwig numbers them, understood where all three numbers occur and nothing else."""

_YES, _NO = frozenset({"true", "1", "yes", "t", "y"}), frozenset({"false", "0", "no", "f", "n"})
_ASKED = re.compile(r"(?:is|in|for)?_?(train|test|valid|validation|val|dev|eval)(?:_?set)?")
"""A column of yes and no that is called after a part."""

_FLOAT = re.compile(r"([0-9]+)\.0")


TABLES: Mapping[str, str] = {
    "columns": "--columns",
    "separator": "--separator",
    "label_level": "--label-level",
    "image_folder": "--image-folder",
    "image_prefix": "--image-prefix",
    "image_separator": "--image-separator",
}
"""Options that mean something to tables, with their flags."""


class Builder:
    """Collects products and counts what is odd about them. A `place` is a file name with a line or row.

    `serves`: which of the options in `TABLES` the reader follows itself; others are refused where they are given.
    `own_pictures`: the reader sees to it that no picture lies outside of the catalogue; else that is done here.

    Raises: UsageError for an option that the reader does not serve.
    """

    def __init__(
        self, root: Path, options: ReadingOptions, serves: Collection[str] = (), *, own_pictures: bool = False
    ) -> None:
        for name, flag in TABLES.items():
            if name not in serves and getattr(options, name) not in (None, {}):
                raise UsageError(f"{flag}: {root} is of a layout that does not read it; leave it out")
        self.root = root
        self.options = options
        self.own_pictures = own_pictures
        self._given: set[str] = set()
        self._texts: dict[str, None] = dict.fromkeys(TEXTS)
        self.findings = Findings()
        self.products: list[Product] = []
        self.cut = 0
        self._parts: list[tuple[str, str]] = []
        self._groups: list[str | None] = []
        self._seen: dict[str, tuple[str, int]] = {}

    def is_new(self, identity: str, place: str, cells: Sequence[object]) -> bool:
        """False for a row that repeats an earlier one in every cell. Raises DataError where only the id is the same."""
        content = hash(tuple(cells))
        earlier, known = self._seen.setdefault(identity, (place, content))
        if earlier == place:
            return True
        if known != content:
            same = f"have the same id {shorten(identity)}"
            way = "remove one, give it an id of its own, or leave id out of the mapping (rows are then numbered)"
            fail(f"{self.root}: {earlier} and {place} {same}: {way}")
        self.findings.add("duplicate_rows", f"{place}: id {shorten(identity)}", "the same row twice: read once")
        return False

    def add(
        self,
        identity: str,
        place: str,
        *,
        texts: Mapping[str, str],
        images: tuple[Path, ...],
        code: str | None,
        part: str | None = None,
        group: str | None = None,
    ) -> None:
        """Clean the texts of one row and keep it. `texts`: title, description and others, by name, "" where absent.

        `part` and `group` are the cells of --split-column and --group-by.
        """
        where = f"id {shorten(identity)} ({place})"
        self._given |= {name for name, cell in (("part", part), ("group", group)) if cell is not None}
        self._texts |= dict.fromkeys(texts)
        if not self.options.texts:
            texts = {}
        if not self.own_pictures:
            images = tuple(path for path in images if self._may_be_read(path, where))
        if any("\x00" in text for text in texts.values()):
            self.findings.add("nul_characters", where, "NUL characters removed, row kept")
        if any(text in NOTHING for text in texts.values()):
            self.findings.add("placeholder_texts", where, "a text like 'nan' or 'NULL' is read as absent")
            texts = {name: "" if text in NOTHING else text for name, text in texts.items()}
        self.cut += max(map(len, texts.values()), default=0) > MAX_CHARACTERS
        cleaned = {name: text for name, raw in texts.items() if (text := clean(raw))}
        title, description = cleaned.pop("title", None), cleaned.pop("description", None)
        product = Product(identity, title, description, images, code, tuple(cleaned.items()))
        if not product.text and not images:
            self.findings.add("empty_products", where, "neither text nor picture: every network answers with its prior")
        elif product.title is None:
            self.findings.add(
                "missing_titles", where, "title masked, the other fields are used; empty products are counted apart"
            )
        self.products.append(product)
        if self.options.split_column:
            self._parts.append((part or "", f"{self.root}: {place}, column {self.options.split_column}"))
        self._groups.append((group or "").strip() or None)

    def catalogue(self, source: Path, layout: str, **more: object) -> Catalogue:
        """Everything that was added; `more` are fields of it. Raises DataError where that is nothing, UsageError as above."""
        asked = {"part": ("--split-column", self.options.split_column), "group": ("--group-by", self.options.group_by)}
        for name, (flag, column) in asked.items():
            if column is not None and self.options.labels and name not in self._given:
                raise UsageError(f"{flag} {column}: {self.root} is of a layout that does not read it; leave it out")
        more = {"texts": tuple(self._texts), "image_use": self.options.images} | more
        if not self.products:
            fail(f"{source}: a header and no rows")
        if self.options.texts and self.options.labels and not any(product.text for product in self.products):
            told = f"0 of {len(self.products)} products have a title or a description"
            fail(f"{source}: {told}: fill them in, map title to another column, or pass --texts none to go without")
        column = self.options.split_column
        return Catalogue(
            source=source,
            layout=layout,
            products=tuple(self.products),
            findings=tuple(self.findings),
            root=self.root,
            given_parts=parts_of(self._parts, str(column), self.findings) if column else None,
            group_keys=tuple(self._groups) if self.options.group_by else None,
            cut=self.cut,
            options=self.options,
            **more,  # type: ignore[arg-type]
        )

    def _may_be_read(self, path: Path, where: str) -> bool:
        """Whether pictures are wanted, and this one lies in the catalogue; where it does not, that is counted."""
        if self.options.images is ImageUse.NONE:
            return False
        if self.options.follow_symlinks or path.resolve().is_relative_to(self.root.resolve()):
            return True
        self.findings.add(
            "refused_links", f"{where}: {path}", "lies outside of the catalogue (--follow-symlinks): picture masked"
        )
        return False


def parts_of(cells: Sequence[tuple[str, str]], column: str, findings: Findings) -> tuple[str | None, ...]:
    """The parts that the cells of a column name, given with their places; an empty cell is counted.

    Raises: DataError for a cell that names none.
    """
    words = [cell.strip().casefold().removesuffix(".0") for cell, _ in cells]
    found = {word for word in words if word}
    names = PARTS
    if found == NUMBERED.keys():
        names = NUMBERED
        findings.add("numbered_parts", cells[0][1], "0 is read as train, 1 as validation, 2 as test", len(cells))
    elif found and found <= _YES | _NO and (asked := _ASKED.fullmatch(plain(column))):
        yes = str(PARTS[asked[1]])
        no = "test" if yes == "train" else "train"
        names = dict.fromkeys(_YES, yes) | dict.fromkeys(_NO, no)
        findings.add("yes_or_no_parts", cells[0][1], f"yes (true, 1) is read as {yes}, no (false, 0) as {no}", len(cells))
    parts = []
    for word, (cell, place) in zip(words, cells, strict=True):
        known = names.get(word)
        if known is None and word and word not in names:
            fail(f"{place}: {shorten(cell.strip())!r} is no part ({_what_parts_look_like(found)})")
        if known is None:
            findings.add("not_in_split", place, "in no part: left out of training and of scores")
        parts.append(known)
    return tuple(parts)


def _what_parts_look_like(words: AbstractSet[str]) -> str:
    if all(word.isdecimal() for word in words):
        folds = "folds of a cross-validation?" if len(words) > 3 else "only 0, 1 and 2 together are understood"
        return f"{folds} write train, head, validation or test"
    if words <= _YES | _NO:
        return "is_test or is_train as the column's name would say what is meant; else write train, head, validation or test"
    return "train, head, validation or test"


def whole_numbers(codes: Sequence[str | None]) -> list[str | None]:
    """Codes without `.0` where every one of them ends so: a program took the column for numbers because a cell was empty."""
    matches = [None if code is None else _FLOAT.fullmatch(code) for code in codes]
    if any(match is None for match, code in zip(matches, codes, strict=True) if code is not None):
        return list(codes)
    return [None if match is None else match[1] for match in matches]


def token(cell: str) -> str:
    """An id or type code as text: NFC, without blanks around it, otherwise exact."""
    return unicodedata.normalize("NFC", cell).strip()
