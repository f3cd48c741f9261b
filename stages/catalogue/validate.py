"""Everything that `extract` reads before it trains, gathered and counted: what `fusecat check` shows."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.catalogue.data_model import Catalogue, Finding, ReadingOptions
from fusecat.stages.catalogue.decode_workers import DecodeWorkers
from fusecat.stages.catalogue.duplicates import duplicate_groups
from fusecat.stages.catalogue.image_index import MAX_PIXELS, ImageIndex
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import SEED, GroupSummary, Split, split, summarise
from fusecat.stages.progress import phase
from fusecat.stages.vocabulary import Part, SplitProtocol

SCARCE = 0.1
"""Share of the training products that must have a field: below it its network learns from a handful per class."""
SEVERAL = 10
"""Pictures of which one at least must be readable: a whole catalogue in a form that cannot be read (HEIC) is no damage."""
FEW = "too few to teach a network, which will answer for the others with the shares of the classes"


@dataclass(frozen=True)
class CatalogueReport:
    """A catalogue with its pictures looked at and its split drawn (`split` is None where no product has a label)."""

    catalogue: Catalogue
    images: ImageIndex
    groups: GroupSummary
    split: Split | None

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Every counted warning, in the order of the stages that made them."""
        drawn = (*self.split.findings, *_scarce(self.catalogue, self.images, self.split)) if self.split else ()
        return (*self.catalogue.findings, *self.images.findings, *drawn)

    @cached_property
    def balance(self) -> dict[str, int]:
        """Type code -> labelled products, in the order of the classes."""
        labels = self.catalogue.labels
        counts = np.bincount(labels[labels >= 0], minlength=len(self.catalogue.classes))
        return {code: int(count) for code, count in zip(self.catalogue.classes, counts, strict=True)}

    @cached_property
    def record(self) -> dict[str, Any]:
        """The result as JSON values: the keys that other programs rely on, and more."""
        products = self.catalogue.products
        return {
            "catalogue": _encodable(str(self.catalogue.source)),
            "layout": self.catalogue.layout,
            "products": len(products),
            "labelled": sum(product.code is not None for product in products),
            "classes": len(self.catalogue.classes),
            "missing_titles": sum(product.title is None for product in products),
            "missing_descriptions": sum(product.description is None for product in products),
            "missing_texts": {
                name: sum(product.text_of(name) is None for product in products) for name in self.catalogue.further
            },
            "missing_images": sum(not product.images for product in products),
            "unreadable_images": sum(self.images.causes.values()),
            "unreadable_by_cause": self.images.causes,
            "flat_images": self.images.flat,
            "cut_texts": self.catalogue.cut,
            "duplicates": self.groups.products,
            "duplicate_groups": self.groups.count,
            "largest_group": list(self.groups.largest),
            "class_balance": self.balance,
            "split": self.split and {"protocol": self.split.protocol, "seed": self.split.seed, "counts": self.split.counts},
            "warnings": [asdict(finding) | {"first": _encodable(finding.first)} for finding in self.findings],
        }


@phase("checking the catalogue and its pictures")
def validate(
    path: Path,
    options: ReadingOptions,
    memory: Path | None,
    *,
    protocol: SplitProtocol = SplitProtocol.TEST_20,
    seed: int = SEED,
    head_share: float = 0.0,
    subset: Literal["described"] | None = None,
    limit: int | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
    decode_workers: DecodeWorkers | None = None,
) -> CatalogueReport:
    """Read, look at every picture, group duplicates, draw the split. Raises what these raise."""
    catalogue = read_catalogue(path, options)
    if limit is not None:
        catalogue = catalogue.limit(limit)

    def draw(groups: NDArray[np.intp]) -> Split:
        return split(catalogue, groups, protocol=protocol, head_share=head_share, seed=seed, subset=subset)

    labelled = any(product.code is not None for product in catalogue.products)
    if labelled:  # too few labels are found out before a hundred thousand pictures are decoded
        draw(np.arange(len(catalogue.products)))
    images = ImageIndex.scan(catalogue, memory, max_pixels=max_pixels, progress=progress, decode_workers=decode_workers)
    pictured = [product for product in catalogue.products if product.images]
    several = len({product.images for product in pictured}) >= SEVERAL
    if several and not any(map(images.usable, pictured)):  # as where none was found: a network would learn nothing of them
        first, way = images.findings[0].first, "convert them to JPEG, or pass --images none to go without"
        fail(f"{path}: 0 of {len(pictured)} products have a picture that can be read ({first}): {way}")
    groups = duplicate_groups(catalogue, images)
    drawn = draw(groups) if labelled else None
    return CatalogueReport(catalogue, images, summarise(catalogue, groups), drawn)


def _scarce(catalogue: Catalogue, images: ImageIndex, drawn: Split) -> tuple[Finding, ...]:
    """Fields that too few training products have to teach a network of its own, as counted warnings with the way out."""
    train = [product for product, part in zip(catalogue.products, drawn.parts, strict=True) if part is Part.TRAIN]
    ways = {
        "pictures": ([product for product in train if images.usable(product)], "pass --images none to go without"),
        "texts": ([product for product in train if product.text], "pass --texts none to go without"),
        "descriptions": ([p for p in train if p.description], "'fusecat extract --fields title --fields image' goes without"),
    } | {
        name: ([p for p in train if p.text_of(name)], f"leave it out of the 'fields' of networks, or join it: title+{name}")
        for name in catalogue.further
    }
    return tuple(
        Finding(f"few_{name}", len(there), f"id {there[0].id}", f"of {len(train)} training products have one; {FEW}: {way}")
        for name, (there, way) in ways.items()
        if 0 < len(there) < SCARCE * len(train)
    )


def _encodable(text: str) -> str:
    """The text with `?` for the bytes of a file name that are not UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
