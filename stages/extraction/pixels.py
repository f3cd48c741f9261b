"""An image as a network sees it: scaled and cropped to a square. S is its side in pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.extraction.settings import Channels, Crop, Interpolation

KEYS = ("size", "resize", "crop", "interpolation", "channels", "mean", "std")
"""Settings of a network that say what it sees."""
IMAGENET: dict[str, Any] = {
    "size": 224,
    "resize": 256,
    "crop": Crop.CENTER,
    "interpolation": Interpolation.FAST,
    "channels": Channels.RGB,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
"""Deviation and mean of ImageNet's pixels, and the crop of most networks that were taught on it."""


def three(values: Any, white: float = 1) -> tuple[float, float, float]:
    """A value for each colour, as shares of white."""
    red, green, blue = (float(value) / white for value in values)
    return red, green, blue


def square(image: NDArray[np.uint8], size: int, resize: int, crop: Crop, interpolation: Interpolation) -> NDArray[np.uint8]:
    """One image (H, W, 3) -> (S, S, 3), S = `size`: the centre of what has been scaled to `resize`.

    Cropping and scaling are one step: no large intermediate whatever the shape.
    """
    height, width = image.shape[:2]
    if interpolation is Interpolation.FAST:
        return _fast(image, size, resize, crop)
    from PIL import Image

    short, share = min(height, width), size / resize
    high, wide = (height * share, width * share) if crop is Crop.SQUASH else (short * share, short * share)
    box = ((width - wide) / 2, (height - high) / 2, (width + wide) / 2, (height + high) / 2)
    scaled = Image.fromarray(image).resize((size, size), Image.Resampling[interpolation.name], box=box)
    return np.array(scaled, np.uint8)


def _fast(image: NDArray[np.uint8], size: int, resize: int, crop: Crop) -> NDArray[np.uint8]:
    import cv2

    height, width = image.shape[:2]
    short = min(height, width)
    down, across = (height, width) if crop is Crop.SQUASH else (short, short)
    high, wide = max(1, round(down * size / resize)), max(1, round(across * size / resize))
    top, left = (height - high) // 2, (width - wide) // 2
    part = image[max(top, 0) : top + high, max(left, 0) : left + wide]
    # INTER_AREA averages what INTER_LINEAR would skip once the scale is below a half.
    how = cv2.INTER_AREA if min(high, wide) > 2 * size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (size, size), interpolation=how), np.uint8)
