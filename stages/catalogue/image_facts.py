"""What one picture file tells: its bytes, its look, its size, or why it cannot be read."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.catalogue.decoding import MAX_PIXELS, UnreadableImage, decode_bytes, read_bytes

FLAT = 2.0
"""Standard deviation of grey values below which a picture shows nothing: one colour, give or take JPEG noise."""


@dataclass(frozen=True)
class ImageFacts:
    """One file: SHA-256 of its bytes, perceptual hash (64 bits; None if flat), size in pixels, and the cause if unreadable."""

    sha256: str | None
    phash: int | None
    width: int
    height: int
    flat: bool
    cause: str | None


def look_at(path: Path, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Decode one picture and describe it."""
    from PIL import Image

    sha256 = None
    try:
        data = read_bytes(path)
        sha256 = hashlib.sha256(data).hexdigest()
        pixels = decode_bytes(data, max_pixels)
    except UnreadableImage as error:
        return ImageFacts(sha256, None, 0, 0, flat=False, cause=error.cause)
    height, width = pixels.shape[:2]
    small = np.asarray(Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS))
    flat = bool(small.std() < FLAT)
    return ImageFacts(sha256, None if flat else _phash(small), width, height, flat=flat, cause=None)


def _phash(small: NDArray[np.uint8]) -> int:
    """The 64-bit DCT hash of Zauner (2010), as the imagehash library computes it."""
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(small)).hash
    return int("".join("1" if bit else "0" for bit in bits.flat), 2)
