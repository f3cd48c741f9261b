"""What is known of every picture of a catalogue: its bytes, its look, and whether it can be read at all.

A scan decodes every picture once. What it learns is remembered in SQLite by path (relative to the catalogue), size, mtime and
ctime, so that a second scan only asks the file system.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from fusecat.stages.catalogue.data_model import Catalogue, Finding, ImageUse, Product
from fusecat.stages.catalogue.decode_workers import DecodeWorkers
from fusecat.stages.catalogue.decoding import DECODING_VERSION, MAX_PIXELS, UnreadableImage, decode
from fusecat.stages.catalogue.image_facts import ImageFacts
from fusecat.stages.catalogue.image_memory import recall, remember
from fusecat.stages.catalogue.messages import printable
from fusecat.stages.processors import processors

__all__ = ["DECODING_VERSION", "MAX_PIXELS", "ImageFacts", "ImageIndex", "UnreadableImage", "decode"]


MOST = 16
"""Processes; more would wait for the disk."""
ENOUGH = 200
"""Pictures that are worth a further process: starting one takes as long as looking at these."""
BATCH = 512
"""Pictures between two commits of the memory and two calls of `progress`."""


class ImageIndex:
    """Facts by path, for the pictures of one catalogue."""

    def __init__(self, facts: Mapping[Path, ImageFacts], products: Sequence[Product], use: ImageUse) -> None:
        self.facts = facts
        self._use = use
        self._products = products

    @classmethod
    def scan(
        cls,
        catalogue: Catalogue,
        memory: Path | None,
        *,
        workers: int = 0,
        max_pixels: int = MAX_PIXELS,
        progress: Callable[[int, int], None] | None = None,
        decode_workers: DecodeWorkers | None = None,
    ) -> "ImageIndex":
        """Look at every picture of the catalogue.

        `memory`: the SQLite file that remembers (None: nothing is remembered); `workers`: processes, 0 for one per processor;
        `progress`: called with (done, all) as pictures that were not known are decoded; `decode_workers`: processes to use and
        keep.
        """
        root = catalogue.root
        paths = list(dict.fromkeys(path for product in catalogue.products for path in product.images))
        names = {path: os.path.relpath(path, root) for path in paths}
        stamps = {path: _stamp(path, max_pixels) for path in paths}
        facts = recall(memory, stamps, names)
        todo = [path for path in paths if path not in facts]
        many = min(workers or processors(), MOST, 1 + len(todo) // ENOUGH)
        with nullcontext(decode_workers) if decode_workers else DecodeWorkers(many) as team:
            for start in range(0, len(todo), BATCH):
                batch = todo[start : start + BATCH]
                fresh = dict(zip(batch, team.look_at(batch, max_pixels), strict=True))
                remember(memory, ((names[path], stamps[path], fact) for path, fact in fresh.items()))
                facts |= fresh
                if progress is not None:
                    progress(start + len(batch), len(todo))
        return cls({path: facts[path] for path in paths}, catalogue.products, catalogue.image_use)

    def digest(self, path: Path) -> str | None:
        """SHA-256 of the file's bytes, or None where it could not be read at all."""
        return self.facts[path].sha256

    def readable(self, path: Path) -> bool:
        """True where `decode` gives a picture."""
        return self.facts[path].cause is None

    def usable(self, product: Product) -> tuple[Path, ...]:
        """The pictures that stage one looks at: the readable ones, or the first of them with `--images first`."""
        readable = tuple(path for path in product.images if self.readable(path))
        return readable[:1] if self._use is ImageUse.FIRST else readable

    def has_picture(self, product: Product) -> bool:
        """True where one of its pictures can be read, or was not looked at."""
        return any(path not in self.facts or self.readable(path) for path in product.images)

    @property
    def causes(self) -> dict[str, int]:
        """How many pictures cannot be read, by cause, most frequent first."""
        causes = [facts.cause for facts in self.facts.values() if facts.cause is not None]
        return dict(sorted(((cause, causes.count(cause)) for cause in set(causes)), key=lambda item: (-item[1], item[0])))

    @property
    def flat(self) -> int:
        """How many pictures show one colour only."""
        return sum(facts.flat for facts in self.facts.values())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Unreadable pictures, as one counted warning."""
        unreadable = {path: facts.cause for path, facts in self.facts.items() if facts.cause is not None}
        if not unreadable:
            return ()
        first, cause = next(iter(unreadable.items()))
        treatment = "kept with its other fields, picture masked"
        return (Finding("unreadable_images", len(unreadable), printable(f"{first}: {cause}"), treatment),)


def _stamp(path: Path, max_pixels: int) -> str:
    """What must be unchanged for a picture not to be looked at again."""
    try:
        status = path.stat()
    except OSError as error:
        return f"errno {error.errno}"
    parts = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, max_pixels, DECODING_VERSION)
    return " ".join(map(str, parts))
