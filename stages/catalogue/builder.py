"""Products one by one: what every layout does with a row once its cells are known."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from fusecat.stages.catalogue.cleaning import MAX_CHARACTERS, clean
from fusecat.stages.catalogue.data_model import Catalogue, Findings, Product, ReadingOptions
from fusecat.stages.catalogue.messages import fail, shorten

NOTHING = frozenset({"nan", "NaN", "None", "null", "NULL", "<NA>"})
"""What other programs write where there is nothing. Read as text, it would look like the most frequent description."""

PARTS = {
    "train": "train",
    "training": "train",
    "head": "head",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Words for the parts of a split of one's own, in any case."""

_FLOAT = re.compile(r"([0-9]+)\.0")


class Builder:
    """Collects products and counts what is odd about them. A `place` is a file name with a line or row."""

    def __init__(self, root: Path, options: ReadingOptions) -> None:
        self.root = root
        self.options = options
        self.findings = Findings()
        self.products: list[Product] = []
        self.cut = 0
        self._parts: list[str | None] = []
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
            fail(f"{self.root}: {earlier} and {place} {same}: remove one, or give it an id of its own")
        self.findings.add("duplicate_rows", f"{place}: id {shorten(identity)}", "the same row twice: read once")
        return False

    def add(
        self,
        identity: str,
        place: str,
        *,
        title: str,
        description: str,
        images: tuple[Path, ...],
        code: str | None,
        part: str | None = None,
        group: str | None = None,
    ) -> None:
        """Clean the texts of one row and keep it. `part` and `group` are the cells of --split-column and --group-by."""
        where = f"id {shorten(identity)} ({place})"
        if "\x00" in title or "\x00" in description:
            self.findings.add("nul_characters", where, "NUL characters removed, row kept")
        if title in NOTHING or description in NOTHING:
            self.findings.add("placeholder_texts", where, "a text like 'nan' or 'NULL' is read as absent")
            title, description = ("" if text in NOTHING else text for text in (title, description))
        self.cut += max(len(title), len(description)) > MAX_CHARACTERS
        product = Product(identity, clean(title), clean(description), images, code)
        if product.title is None and product.description is None and not images:
            self.findings.add("empty_products", where, "neither text nor picture: every network answers with its prior")
        elif product.title is None:
            self.findings.add("missing_titles", where, "title absent: masked, the other fields are used")
        self.products.append(product)
        self._parts.append(None if part is None else self._part(part, place))
        self._groups.append((group or "").strip() or None)

    def _part(self, cell: str, place: str) -> str | None:
        """The part that a cell names; an empty cell is counted."""
        word = cell.strip().casefold()
        if not word:
            self.findings.add("not_in_split", place, "in no part: left out of training and of scores")
            return None
        if word not in PARTS:
            known = "train, head, validation or test"
            fail(f"{self.root}: {place}, column {self.options.split_column}: {shorten(cell)!r} is no part ({known})")
        return PARTS[word]

    def catalogue(self, source: Path, layout: str, **more: object) -> Catalogue:
        """Everything that was added. Raises DataError where that is nothing."""
        if not self.products:
            fail(f"{source}: a header and no rows")
        return Catalogue(
            source=source,
            layout=layout,
            products=tuple(self.products),
            findings=tuple(self.findings),
            root=self.root,
            given_parts=tuple(self._parts) if self.options.split_column else None,
            group_keys=tuple(self._groups) if self.options.group_by else None,
            cut=self.cut,
            **more,  # type: ignore[arg-type]
        )


def whole_numbers(codes: Sequence[str | None]) -> list[str | None]:
    """Codes without `.0` where every one of them ends so: a program took the column for numbers because a cell was empty."""
    matches = [None if code is None else _FLOAT.fullmatch(code) for code in codes]
    if any(match is None for match, code in zip(matches, codes, strict=True) if code is not None):
        return list(codes)
    return [None if match is None else match[1] for match in matches]


def token(cell: str) -> str:
    """An id or type code as text: NFC, without blanks around it, otherwise exact."""
    return unicodedata.normalize("NFC", cell).strip()
