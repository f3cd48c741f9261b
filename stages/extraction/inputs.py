"""What a network is fed: tokens or pixels of one field, row by row, and batches of them.

Rows are positions in the catalogue. Shapes: N products, B of them in a batch, T tokens, S side in pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from fusecat.stages.catalogue.image_index import decode
from fusecat.stages.extraction.pixels import square
from fusecat.stages.extraction.settings import Crop, Interpolation

WHITE = (255, 255, 255)


class Inputs(ABC):
    """Everything that fine-tuning and extraction ask of a field's data."""

    @abstractmethod
    def example(self, row: int, generator: np.random.Generator | None) -> Any:
        """One input of a product for training (augmented, with a generator) or validation (without)."""

    def views(self, row: int) -> list[Any]:
        """All inputs of a product, over which extraction averages: one, unless it says otherwise."""
        return [self.example(row, None)]

    def cost(self, row: int) -> int:  # noqa: ARG002
        """What one product costs in a batch: tokens, images, or else 1."""
        return 1

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Named tensors for what learns from them, or encodes them."""


@dataclass(frozen=True)
class Texts(Inputs):
    """Token numbers per product; an absent text is an empty array."""

    tokens: Sequence[NDArray[np.int32]]
    pad: int
    unknown: int
    """-1 where there is none, and so no dropout."""
    special: frozenset[int]
    dropout: float
    room: int
    """1 where the pooling needs one pad behind every text that is shorter than the limit, else 0."""
    length: int

    def example(self, row: int, generator: np.random.Generator | None) -> NDArray[np.int64]:
        """Token numbers (T,); in training a share of them is replaced by the unknown token."""
        tokens = self.tokens[row].astype(np.int64)
        if generator is not None and self.dropout:
            kept = np.isin(tokens, list(self.special)) | (generator.random(len(tokens)) >= self.dropout)
            tokens = np.where(kept, tokens, self.unknown)
        return tokens

    def cost(self, row: int) -> int:
        """Tokens."""
        return len(self.tokens[row])

    def collate(self, items: Sequence[NDArray[np.int64]]) -> dict[str, Tensor]:
        """See `collate_tokens`."""
        return collate_tokens(items, self.pad, self.room, self.length)


def collate_tokens(items: Sequence[NDArray[np.int64]], pad: int, room: int, length: int) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` (B, T) int64, padded to the longest of the batch and `room`, `length` at most."""
    ids = pad_sequence([torch.from_numpy(item) for item in items], batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(item) for item in items])
    if room and ids.shape[1] < length:
        ids = torch.nn.functional.pad(ids, (0, 1), value=pad)
    mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
    return {"input_ids": ids, "attention_mask": mask}


@dataclass(frozen=True)
class Images(Inputs):
    """The readable images of each product; none where the field is absent."""

    paths: Sequence[tuple[Path, ...]]
    size: int
    resize: int
    augment: bool
    max_pixels: int
    crop: Crop = Crop.CENTER
    interpolation: Interpolation = Interpolation.FAST

    def example(self, row: int, generator: np.random.Generator | None) -> NDArray[np.uint8]:
        """Pixels (S, S, 3) uint8 RGB: the first image; in training any of them, augmented."""
        paths = self.paths[row]
        if generator is None:
            return self._pixels(paths[0], None)
        chosen = paths[generator.integers(len(paths))] if len(paths) > 1 else paths[0]
        return self._pixels(chosen, generator if self.augment else None)

    def views(self, row: int) -> list[NDArray[np.uint8]]:
        """Every image of the product."""
        return [self._pixels(path, None) for path in self.paths[row]]

    def _pixels(self, path: Path, generator: np.random.Generator | None) -> NDArray[np.uint8]:
        image = decode(path, self.max_pixels)
        return prepare(image, self.size, self.resize, generator, self.crop, self.interpolation)

    def cost(self, row: int) -> int:
        """Images."""
        return len(self.paths[row])

    def collate(self, items: Sequence[NDArray[np.uint8]]) -> dict[str, Tensor]:
        """`pixels` (B, S, S, 3) uint8."""
        return {"pixels": torch.from_numpy(np.stack(items))}


@dataclass(frozen=True)
class StoredVectors(Inputs):
    """Inputs of a `Classifier`: `vectors` (n, D), one a product, whose row numbers are `rows` (n,), ascending."""

    rows: NDArray[np.intp]
    vectors: NDArray[np.floating]

    def example(self, row: int, generator: np.random.Generator | None) -> NDArray[np.float32]:  # noqa: ARG002
        """The vector (D,); nothing is augmented, because the backbone does not look again."""
        return np.asarray(self.vectors[np.searchsorted(self.rows, row)], np.float32)

    def collate(self, items: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """`vectors` (B, D) float32."""
        return {"vectors": torch.from_numpy(np.stack(items))}


class Examples(Dataset[dict[str, Any]]):
    """Labelled rows as `Trainer` wants them. Augmentation depends on seed, epoch and row alone, never on the worker."""

    def __init__(self, inputs: Inputs, rows: Sequence[int], labels: Sequence[int], seed: int | None) -> None:
        self.inputs = inputs
        self.rows = list(rows)
        self.labels = list(labels)
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        generator = None if self.seed is None else np.random.default_rng((self.seed, self.epoch, row))
        return {"input": self.inputs.example(row, generator), "labels": self.labels[index]}

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before every epoch."""
        self.epoch = epoch

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """The inputs' tensors and `labels` (B,) int64."""
        return self.inputs.collate([item["input"] for item in items]) | {
            "labels": torch.tensor([item["labels"] for item in items])
        }


def prepare(
    image: NDArray[np.uint8],
    size: int,
    resize: int,
    generator: np.random.Generator | None,
    crop: Crop = Crop.CENTER,
    interpolation: Interpolation = Interpolation.FAST,
) -> NDArray[np.uint8]:
    """One image (H, W, 3) -> (size, size, 3).

    Without a generator: see `pixels.square`. With one: random crop (80 to 100 % of that area), rotation by up to 15 degrees and
    horizontal flip as one affine warp on white.
    """
    if generator is None:
        return square(image, size, resize, crop, interpolation)
    import cv2

    if crop is Crop.SQUASH:
        image = square(image, resize, resize, crop, interpolation)
    height, width = image.shape[:2]
    side = min(height, width) * size / resize
    side *= generator.uniform(0.8, 1.0) ** 0.5
    scale = size / side
    slack = (min(height, width) - side) / 2
    centre = (width / 2 + generator.uniform(-slack, slack), height / 2 + generator.uniform(-slack, slack))
    matrix = cv2.getRotationMatrix2D(centre, generator.uniform(-15, 15), scale)
    matrix[:, 2] += (size / 2 - centre[0], size / 2 - centre[1])
    if generator.random() < 0.5:
        matrix[0] = (0, 0, size - 1) - matrix[0]
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=WHITE), np.uint8)
