"""What a study saw, by content: a product that it fitted on or chose with is no test of it, whatever its id is now."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusecat.cache.records import expecting, read_record, write_record
from fusecat.stages.catalogue.data_model import Product
from fusecat.stages.catalogue.decoding import UnreadableImage, read_bytes
from fusecat.stages.catalogue.duplicates import COMMON, FEW
from fusecat.stages.catalogue.image_index import ImageIndex

LENGTH = 20
"""Hexadecimal digits of a digest: 80 bits tell ten million products apart."""
WAY_OUT = "run the 'fusecat extract' that made this workspace again: it writes the file anew"


def write_contents(path: Path, products: Sequence[Product], images: ImageIndex) -> None:
    """Store id -> digests of text and pictures, of every product of a study."""
    record = {
        product.id: [_text(product), *((images.digest(picture) or "")[:LENGTH] for picture in product.images)]
        for product in products
    }
    write_record(path, {"format": 1, "products": record})


@dataclass(frozen=True)
class Seen:
    """Products that the study saw. `codes`: id -> type code of these; `texts` and `pictures`: digests, None where it kept none.

    `others`: id -> digest of the text, of every product of the study. `same`: ids that are told by their
    vectors alone, where the study kept nothing else.
    """

    codes: Mapping[str, str] = field(default_factory=dict)
    texts: frozenset[str] | None = None
    pictures: frozenset[str] = frozenset()
    others: Mapping[str, str] = field(default_factory=dict)
    same: frozenset[str] | None = None

    @classmethod
    def of(cls, path: Path, codes: Mapping[str, str]) -> "Seen":
        """`codes` are those of the products that were seen; their digests are in the file, if the study wrote it."""
        if not path.exists():
            return cls(codes)
        with expecting(path, WAY_OUT):
            record = read_record(path, WAY_OUT)
            products = {str(identity): [str(digest) for digest in own] for identity, own in record["products"].items()}
        seen = [own for identity, own in products.items() if identity in codes and own]
        limit = max(FEW, COMMON * len(products))
        texts = _telling((own[0] for own in seen), limit)
        pictures = _telling((digest for own in seen for digest in own[1:]), limit)
        return cls(codes, texts, pictures, {identity: own[0] for identity, own in products.items() if own})

    def __contains__(self, product: Product) -> bool:
        """Whether the study saw a product of this text or with one of these pictures; or of these vectors."""
        if self.same is not None:
            return product.id in self.same
        if self.texts is None or not (product.text or product.images):
            return self.codes.get(product.id) == product.code
        return _text(product) in self.texts or any(_picture(path) in self.pictures for path in product.images)

    def is_other(self, product: Product) -> bool:
        """Whether the study has a product of this id, and of another text."""
        known = self.others.get(product.id)
        return known is not None and bool(product.text) and known != _text(product)


def _telling(digests: Iterable[str], limit: float) -> frozenset[str]:
    """Those that are no placeholder, which many products share."""
    return frozenset(digest for digest, count in Counter(digests).items() if digest and count <= limit)


def _text(product: Product) -> str:
    if (text := product.told_apart) is None:
        return ""
    return hashlib.sha256("\0".join(text).encode()).hexdigest()[:LENGTH]


def _picture(path: Path) -> str:
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()[:LENGTH]
    except UnreadableImage:
        return ""
