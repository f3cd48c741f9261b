"""Products one by one: what every layout does with a row once its cells are known."""

from pathlib import Path

from stages.catalogue.cleaning import MAX_CHARACTERS, clean
from stages.catalogue.product import Findings, Product
from stages.catalogue.refusal import refuse


class Builder:
    """Collects products and counts what is odd about them. `file` is named in messages."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.findings = Findings()
        self.products: list[Product] = []
        self.cut = 0
        self._rows: dict[str, tuple[str, int]] = {}

    def is_new(self, identity: str, place: str, row: object) -> bool:
        """False for a row that repeats an earlier one in every cell. Raises DataError where only the id is the same."""
        seen = self._rows.setdefault(identity, (place, hash(row)))
        if seen[0] == place:
            return True
        if seen[1] != hash(row):
            refuse(
                f"{self.file}: {seen[0]} and {place} have the same id {shorten(identity)}: remove one, or give it its own id"
            )
        self.findings.add(
            "duplicate_rows", f"{self.file.name} {place}: id {shorten(identity)}", "the same row twice: read once"
        )
        return False

    def add(self, identity: str, place: str, title: str, description: str, images: tuple[Path, ...], code: str | None) -> None:
        """Clean the texts of one row and keep it; `place` is its line or row."""
        where = f"id {shorten(identity)} ({self.file.name} {place})"
        if "\x00" in title or "\x00" in description:
            self.findings.add("nul_characters", where, "NUL characters removed, row kept")
        self.cut += max(len(title), len(description)) > MAX_CHARACTERS
        product = Product(identity, clean(title), clean(description), images, code)
        if product.title is None and product.description is None and not images:
            self.findings.add("empty_products", where, "neither text nor picture: every network answers with its prior")
        elif product.title is None:
            self.findings.add("missing_titles", where, "title absent: masked, the other fields are used")
        self.products.append(product)


def shorten(text: str, width: int = 60) -> str:
    """The text, cut where it would fill the terminal."""
    return text if len(text) <= width else f"{text[:width]}... ({len(text)} characters)"
