"""One feature on its way to disk: rows come in blocks, in any order, from one process or many; one of them seals.

Shapes: N products, n rows of one block, D width, C classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.blocks import Block, Blocks, discard
from fusecat.cache.errors import UnusableVectors
from fusecat.cache.layout import ID_BYTES, Header, check_codes, check_values
from fusecat.cache.sealing import Content, seal

LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Rows:
    """What every feature of a study shares, in catalogue order.

    `ids`: N different texts. `labels` (N,) int32 index into `classes`, -1 unlabelled. `split` (N,) uint8 index into `parts`, or
    `cache.table.NO_PART`. Raises ValueError where these do not fit together.
    """

    ids: Sequence[str]
    labels: NDArray[np.int32]
    split: NDArray[np.uint8]
    classes: tuple[str, ...]
    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int32))
        object.__setattr__(self, "split", np.asarray(self.split, np.uint8))
        problem = self._problem()
        if problem:
            raise ValueError(problem)

    def _problem(self) -> str | None:
        if not len(self.ids) == len(self.labels) == len(self.split):
            return f"{len(self.ids)} ids, {len(self.labels)} labels and {len(self.split)} split codes do not belong together"
        if not len(self.ids):
            return "there is no product"
        if len(set(self.ids)) != len(self.ids):
            return "an id occurs twice"
        if "" in self.ids or any("\0" in text for text in self.ids) or self.encoded.dtype.itemsize > ID_BYTES:
            return f"an id is empty, holds a zero byte or is longer than {ID_BYTES} bytes"
        return check_codes(self.labels, self.split, len(self.classes), len(self.parts))

    @cached_property
    def encoded(self) -> NDArray[np.bytes_]:
        """The ids as they are stored: UTF-8, filled up with zeros to the length of the longest."""
        return np.array([text.encode("utf-8") for text in self.ids], np.bytes_)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The datasets of the file."""
        return {"product_id": self.encoded, "label": self.labels, "split": self.split}


class FeatureWriter:
    """Collects the blocks of one feature and seals it. `FeatureCache.writer` makes one."""

    def __init__(
        self, path: Path, header: Header, rows: Rows, blocks: Blocks, lock: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._path, self._header, self._rows, self._blocks, self._lock = path, header, rows, blocks, lock

    @property
    def count(self) -> int:
        """How many blocks there are in all."""
        return len(self._blocks.ranges)

    def missing(self) -> Iterator[tuple[int, range]]:
        """Number and rows of each block that is not on disk yet: what is left to do after an interruption."""
        return self._blocks.missing()

    def put(
        self, block: int, embedding: NDArray[np.floating], logits: NDArray[np.floating] | None, present: NDArray[np.bool_]
    ) -> None:
        """Store one block: `embedding` (n, D), `logits` (n, C) or None, `present` (n,). It is durable when this returns.

        Rows of absent products are stored as zeros. Raises UnusableVectors for NaN and infinity, ValueError for wrong shapes.
        """
        rows = self._blocks.ranges[block]
        present = np.asarray(present, bool)
        vectors = np.array(embedding, np.float32)
        scores = None if logits is None else np.array(logits, np.float32)
        if vectors.ndim != 2 or not vectors.shape[1] or not len(vectors) == len(present) == len(rows):
            raise ValueError(
                f"block {block} needs ({len(rows)}, width) vectors, got {vectors.shape} for {len(present)} products"
            )
        if scores is not None and scores.shape != (len(rows), len(self._header.classes)):
            raise ValueError(f"block {block} needs ({len(rows)}, {len(self._header.classes)}) logits, got {scores.shape}")
        ids = self._rows.encoded[rows.start : rows.stop]
        for name, array in (("embedding", vectors), ("logits", scores)):
            if array is not None:
                array[~present] = 0
                check_values(self._header.feature, name, array, present, ids)
        self._blocks.write(block, Block(vectors, scores, present))

    def logits(self) -> NDArray[np.float32] | None:
        """The logits (N, C) of all blocks, once none is missing; None where they have none."""
        found = [block.logits for block in self._blocks]
        return None if any(part is None for part in found) else np.concatenate([part for part in found if part is not None])

    def seal(
        self,
        *,
        weights: str,
        fitted_on: Sequence[str] | None,
        versions: Mapping[str, str],
        dtype: str = "float16",
        logits_oof: NDArray[np.floating] | None = None,
    ) -> Path:
        """Put the blocks together as the feature file, atomically, and remove them. Returns the file's path.

        `weights`: digest of the weights. `fitted_on`: the parts whose labels the network saw, None where nobody knows.
        `dtype`: float16 or float32; float16 becomes float32 by itself where a value would overflow. `logits_oof` (N, C).
        """
        missing = [number for number, _ in self.missing()]
        if missing:
            raise ValueError(f"{self._header.feature} cannot be sealed: {len(missing)} of {self.count} blocks are missing")
        known = None if fitted_on is None else tuple(fitted_on)
        header = replace(self._header, weights=weights, fitted_on=known, versions=versions)
        with self._lock():
            width, classes, peak = self._blocks.summary()
            wide = np.dtype(dtype) == np.float32 or peak > LARGEST_HALF
            present = self._blocks.present()
            content = Content(
                header,
                self._rows.columns() | {"present": present},
                iter(self._blocks),
                width,
                classes,
                np.dtype("<f4" if wide else "<f2"),
                self._out_of_fold(logits_oof, present),
            )
            seal(self._path, content)
            discard(self._blocks.folder.parent)
        return self._path

    def _out_of_fold(self, logits: NDArray[np.floating] | None, present: NDArray[np.bool_]) -> NDArray[np.float32] | None:
        if logits is None:
            return None
        scores = np.array(logits, np.float32)
        if scores.shape != (len(present), len(self._header.classes)):
            raise ValueError(f"out-of-fold logits must be ({len(present)}, {len(self._header.classes)}), not {scores.shape}")
        scores[~present] = 0
        if not np.isfinite(scores).all():
            raise UnusableVectors(f"{self._header.feature}: the out-of-fold logits hold NaN or infinity")
        return scores
