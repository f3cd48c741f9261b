"""A product, and the counted findings that reading a catalogue leaves behind."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.catalogue.refusal import printable


@dataclass(frozen=True, slots=True)
class Product:
    """One row of a catalogue: texts cleaned and in NFC, None where absent; `images` are files that exist, best first."""

    id: str
    title: str | None
    description: str | None
    images: tuple[Path, ...]
    code: str | None

    @property
    def text(self) -> str:
        """Title and description in one string; the one that exists where the other is absent."""
        return " ".join(part for part in (self.title, self.description) if part)


@dataclass(frozen=True)
class Finding:
    """One counted warning: what was found, how often, the first place, and what is done with it."""

    kind: str
    count: int
    first: str
    treatment: str


class Findings:
    """Counts what happens while a catalogue is read: one finding per kind, in the order of first sight."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str, str]] = {}

    def add(self, kind: str, place: str, treatment: str, count: int = 1) -> None:
        """Count one more of this kind; only the first place is kept."""
        seen, first, told = self._found.get(kind, (0, printable(place), treatment))
        self._found[kind] = (seen + count, first, told)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Count findings that were made elsewhere."""
        for finding in findings:
            self.add(finding.kind, finding.first, finding.treatment, finding.count)

    def __iter__(self) -> Iterator[Finding]:
        return iter([Finding(kind, *found) for kind, found in self._found.items()])
