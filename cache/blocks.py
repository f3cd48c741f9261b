"""Rows on their way into a feature file: fixed blocks, each durable on its own, so that a crash costs at most one.

Shapes: n rows of one block, D width, C classes.
"""

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.archive import read_arrays
from fusecat.cache.disk import replacing, sync_folder, write_all
from fusecat.cache.errors import DamagedFeature

NO_LOGITS = -1


@dataclass(frozen=True)
class Block:
    """`embedding` (n, D) float32, `logits` (n, C) float32 or None, `present` (n,) bool; zero where not present."""

    embedding: NDArray[np.float32]
    logits: NDArray[np.float32] | None
    present: NDArray[np.bool_]


class Blocks:
    """The blocks of one feature, made by one recipe, in a folder of their own."""

    def __init__(self, folder: Path, rows: int, size: int) -> None:
        self.folder = folder
        self.ranges = [range(start, min(start + size, rows)) for start in range(0, rows, size)]

    def path(self, number: int) -> Path:
        """The file of one block: an ordinary .npz."""
        return self.folder / f"{number:08d}.npz"

    def missing(self) -> Iterator[tuple[int, range]]:
        """Numbers and rows of the blocks that are not on disk."""
        for number, rows in enumerate(self.ranges):
            if not self.path(number).is_file():
                yield number, rows

    def write(self, number: int, block: Block) -> None:
        """Write one block; it is durable when this returns."""
        arrays: dict[str, NDArray[Any]] = {"embedding": block.embedding, "present": block.present}
        if block.logits is not None:
            arrays["logits"] = block.logits
        classes = NO_LOGITS if block.logits is None else block.logits.shape[1]
        peak = np.abs(block.embedding).max(initial=0)
        arrays["summary"] = np.array([block.embedding.shape[1], classes, peak], np.float64)
        image = io.BytesIO()
        np.savez(image, allow_pickle=False, **arrays)
        with replacing(self.path(number)) as file:
            write_all(file, image.getbuffer())

    def summary(self) -> tuple[int, int | None, float]:
        """Width, classes (None without logits) and the greatest absolute value of all blocks."""
        found = [self._read(number, "summary")["summary"] for number in range(len(self.ranges))]
        shapes = {(int(width), int(classes)) for width, classes, _ in found}
        if len(shapes) > 1:
            raise ValueError(f"{self.folder}: the blocks differ in width or classes: {sorted(shapes)}")
        ((width, classes),) = shapes
        return width, None if classes == NO_LOGITS else classes, max(float(peak) for _, _, peak in found)

    def present(self) -> NDArray[np.bool_]:
        """Which products of all blocks have the field (N,)."""
        return np.concatenate([self._read(number, "present")["present"] for number in range(len(self.ranges))])

    def __iter__(self) -> Iterator[Block]:
        """All blocks in order, read one at a time."""
        for number in range(len(self.ranges)):
            arrays = self._read(number, "embedding", "logits", "present")
            yield Block(arrays["embedding"], arrays.get("logits"), arrays["present"])

    def _read(self, number: int, *names: str) -> dict[str, NDArray[Any]]:
        try:
            return read_arrays(self.path(number), names)
        except ValueError as error:
            self.path(number).unlink()
            raise DamagedFeature(
                f"{self.path(number)} was damaged ({error}) and has been removed; run the same command again"
            ) from error


def discard(folder: Path) -> None:
    """Remove a folder of blocks that are sealed: first out of sight at once, then file by file.

    Killed in between, nobody takes what is left for blocks that still have to be sealed.
    """
    done = folder.with_name(folder.name + ".done")
    if done.exists():
        shutil.rmtree(done)
    if folder.exists():
        os.replace(folder, done)
        sync_folder(folder.parent)
        shutil.rmtree(done)
