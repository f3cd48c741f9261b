"""What a catalogue is once it has been read: products, labels, findings; and how it is to be read."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.catalogue.messages import printable
from fusecat.stages.fields import TEXTS


@dataclass(frozen=True, slots=True)
class Product:
    """One row of a catalogue: texts cleaned and in NFC, None where absent; `images` are files that exist, best first.

    `further`: the texts beside title and description that it has (brand, bullets), as pairs of name and text.
    """

    id: str
    title: str | None
    description: str | None
    images: tuple[Path, ...]
    code: str | None
    further: tuple[tuple[str, str], ...] = ()

    def text_of(self, name: str) -> str | None:
        """One text by its name, None where it is absent."""
        if name == "title":
            return self.title
        return self.description if name == "description" else dict(self.further).get(name)

    @property
    def text(self) -> str:
        """All its texts in one string, title first; "" where it has none."""
        return " ".join(part for part in (self.title, self.description, *(text for _, text in self.further)) if part)

    @property
    def told_apart(self) -> tuple[str, ...] | None:
        """By what texts are alike: title and description in either case; where both are absent, the other texts; None without.

        So that a split does not change with the texts that are read beside them.
        """
        if self.title or self.description:
            return (self.title or "").casefold(), (self.description or "").casefold()
        return tuple(f"{name}={text.casefold()}" for name, text in self.further) or None

    def without(self, fields: Collection[str]) -> "Product":
        """The same product without these texts, and without its pictures where `image` is among them."""
        return Product(
            self.id,
            None if "title" in fields else self.title,
            None if "description" in fields else self.description,
            () if "image" in fields else self.images,
            self.code,
            tuple(pair for pair in self.further if pair[0] not in fields),
        )


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


class ImageUse(StrEnum):
    """Which pictures of a product the image network sees."""

    FIRST = "first"
    MEAN = "mean"
    NONE = "none"


@dataclass(frozen=True)
class ReadingOptions:
    """How a catalogue is to be read; the defaults are those of the command line."""

    columns: Mapping[str, str] | None = None
    """Field (id, title, description, label, image, a further text) -> column or template, for catalogues of one's own."""
    texts: bool = True
    """False: the products need no texts."""
    images: ImageUse = ImageUse.FIRST
    image_folder: Path | None = None
    """Where the pictures of a catalogue of one's own lie, if not in its folder."""
    image_prefix: str | None = None
    """What stands before the names of pictures in a table and is not there on this machine."""
    image_separator: str | None = None
    picture_store: Path | None = None
    """Where pictures are written that lie inside of a table."""
    max_images: int = 8
    """Pictures per product that are looked at; further ones are counted and left out."""
    follow_symlinks: bool = False
    encoding: str = "utf-8"
    separator: str | None = None
    label_level: int | None = None
    """Which level of a category path (`A > B > C`) is the label, from 1; None: the whole cell."""
    labels: bool = True
    """False: products without any label will do (prediction)."""
    split_column: str | None = None
    split_file: Path | None = None
    group_by: str | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From JSON, as `study.json` keeps it; what is not in the record has its default, what is no option is left alone."""
        known = {each.name: record[each.name] for each in fields(cls) if each.name in record}
        images = ImageUse(known.get("images", ImageUse.FIRST))
        places = {name: Path(known[name]) for name in PLACES if known.get(name) is not None}
        return cls(**known | {"images": images} | places)

    @property
    def record(self) -> dict[str, Any]:
        """What must be known to read the same products again, as JSON values."""
        places = {name: getattr(self, name) and str(getattr(self, name).absolute()) for name in PLACES}
        return {name: getattr(self, name) for name in READING} | places


READING = (
    "columns",
    "texts",
    "images",
    "max_images",
    "image_prefix",
    "image_separator",
    "follow_symlinks",
    "encoding",
    "separator",
    "label_level",
)
"""The options that say how a catalogue is read, and not how it is split."""
PLACES = ("image_folder", "picture_store")
"""Those that name a folder of this machine: no other catalogue is read with them."""


@dataclass(frozen=True)
class Catalogue:
    """Products in the order of the file, and what was found while they were read.

    `source` is the folder or file that was asked for; `root` the folder that nothing may leave. `class_names` and `top_level`
    name type codes where the catalogue does. `given_parts` and `group_keys` (one entry per product, None where there is none)
    come from `--split-column`, `--split-file` and `--group-by`. `texts`: names of the texts that its products may have. `cut`
    counts texts that were longer than is read. `options` are
    those under which it was read, those of its catalogue.toml included.
    """

    source: Path
    layout: str
    products: tuple[Product, ...]
    findings: tuple[Finding, ...] = ()
    class_names: Mapping[str, str] = field(default_factory=dict)
    top_level: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()
    image_use: ImageUse = ImageUse.FIRST
    given_parts: tuple[str | None, ...] | None = None
    group_keys: tuple[str | None, ...] | None = None
    cut: int = 0
    options: ReadingOptions = ReadingOptions()
    texts: tuple[str, ...] = TEXTS

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All type codes, sorted: as numbers when all of them are integers, as text otherwise."""
        codes = {product.code for product in self.products if product.code is not None}
        if all(code.isascii() and code.isdecimal() for code in codes):
            return tuple(sorted(codes, key=lambda code: (int(code), code)))
        return tuple(sorted(codes))

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """(N,) int32 index into `classes`, -1 where a product has no label."""
        index: dict[str | None, int] = {code: number for number, code in enumerate(self.classes)}
        labels = np.fromiter((index.get(product.code, -1) for product in self.products), np.int32, len(self.products))
        labels.flags.writeable = False
        return labels

    @property
    def further(self) -> tuple[str, ...]:
        """The texts beside title and description."""
        return tuple(name for name in self.texts if name not in TEXTS)

    def limit(self, count: int) -> "Catalogue":
        """The first `count` products, with the findings of the whole."""

        def first(values: tuple[str | None, ...] | None) -> tuple[str | None, ...] | None:
            return None if values is None else values[:count]

        given, keys = first(self.given_parts), first(self.group_keys)
        return replace(self, products=self.products[:count], given_parts=given, group_keys=keys)
