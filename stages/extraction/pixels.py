"""What an image becomes before a network sees it: as the library that built the network has it, where a preset says nothing.

S is the side in pixels.
"""

import dataclasses
import math
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.settings import NEW, Channels, Crop, Interpolation, Library, Network

KEYS = ("size", "resize", "crop", "interpolation", "channels", "mean", "std")
"""Settings of a network that this module fills in."""
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
RESAMPLE = {0: Interpolation.NEAREST, 1: Interpolation.LANCZOS, 2: Interpolation.BILINEAR, 3: Interpolation.BICUBIC}
"""Pillow's numbers, as image processors have them."""
APART = 0.02
"""Mean difference of pixels (white is 1) that roundings of two ways to scale explain; a missed crop makes tenths."""


def with_pixels(network: Network) -> Network:
    """The network with every pixel setting said: the preset's, else its library's.

    A `size` of one's own keeps the library's share of the picture. Raises ModelError where the library says nothing,
    UsageError where what is said makes no sense.
    """
    if not network.is_image or all(getattr(network, key) is not None for key in KEYS):
        return network
    found = IMAGENET | _of_library(network)
    given = {key: getattr(network, key) for key in KEYS if getattr(network, key) is not None}
    if "size" in given and "resize" not in given:
        given["resize"] = max(given["size"], round(given["size"] * found["resize"] / found["size"]))
    if "resize" in given and "size" not in given:
        given["size"] = min(found["size"], given["resize"])
    filled = dataclasses.replace(network, **(found | given))
    assert filled.size and filled.resize and filled.std
    if not 0 < filled.size <= filled.resize or min(filled.std) <= 0:
        message = f"networks.{network.name}: size = {filled.size}, resize = {filled.resize}, std = {filled.std}: "
        raise UsageError(message + "0 < size <= resize and 0 < std are needed")
    return filled


def _of_library(network: Network) -> dict[str, Any]:
    match network.library:
        case Library.PRETRAINEDMODELS:
            return _pretrainedmodels(network.model)
        case Library.TIMM:
            return _timm(network)
        case Library.TRANSFORMERS:
            return _transformers(network)
        case Library.SCIKIT_LEARN:
            return {}
        case _:
            assert_never(network.library)


def _pretrainedmodels(model: str) -> dict[str, Any]:
    """`pretrained_settings` of a name; a crop as in the library's own `TransformImage` (0.875)."""
    from pretrainedmodels import pretrained_settings

    variants = pretrained_settings.get(model)
    if not variants:
        return {}
    said = variants.get("imagenet") or next(iter(variants.values()))
    size, white = int(said["input_size"][1]), said["input_range"][1]
    return {
        "size": size,
        "resize": math.floor(size / 0.875),
        "channels": Channels(said["input_space"].lower()),
        "mean": _three(said["mean"], white),
        "std": _three(said["std"], white),
    }


def _three(values: Any, white: float = 1) -> tuple[float, float, float]:
    red, green, blue = (float(value) / white for value in values)
    return red, green, blue


def _timm(network: Network) -> dict[str, Any]:
    """`resolve_model_data_config`, without building the model; an `img_size` of the shape goes before it."""
    try:
        from timm import data, models
    except ImportError as error:
        raise UsageError(f"networks.{network.name}: timm is not installed; run 'pip install fusecat[timm]'") from error
    resolve: Any = data.resolve_data_config  # type: ignore[attr-defined]
    known: Any = models.get_pretrained_cfg(network.model)
    if known is None:
        return {}
    said = resolve(pretrained_cfg=known.to_dict())
    channels, height, width = said["input_size"]
    size = network.shape.get("img_size", max(height, width))
    size = max(size) if isinstance(size, list | tuple) else int(size)
    squash = said["crop_mode"] != "center" or height != width
    return {
        "size": size,
        "resize": size if squash else math.floor(size / said["crop_pct"]),
        "crop": Crop.SQUASH if squash else Crop.CENTER,
        "interpolation": _named(said["interpolation"]),
        "mean": _three(said["mean"]) if channels == 3 else None,
        "std": _three(said["std"]) if channels == 3 else None,
    }


def _named(interpolation: str) -> Interpolation:
    return Interpolation(interpolation) if interpolation in set(Interpolation) else Interpolation.BICUBIC


def _transformers(network: Network) -> dict[str, Any]:
    """The image processor's settings, held against what it computes."""
    from fusecat.stages.extraction.hub import read_image_processor
    from fusecat.stages.extraction.weights import hub_source, unavailable

    if network.weights == NEW:
        size = network.shape.get("image_size", 224)
        return {"size": size, "resize": size}
    try:
        processor = read_image_processor(hub_source(network), revision=network.revision or "main")
    except (OSError, ValueError, ImportError) as error:
        raise unavailable(network, error) from error
    found = _of_processor(processor)
    if found is None or _apart(processor, found) > APART:
        raise ModelError(
            f"networks.{network.name}: what its image processor ({type(processor).__name__}) does is no scaling to a square; "
            f"set all of {', '.join(KEYS)}"
        )
    return found


def _of_processor(processor: Any) -> dict[str, Any] | None:
    """Settings that do as the image processor does; None where they cannot."""
    size: Any = processor.size or {}
    crop: Any = getattr(processor, "crop_size", None) or {}
    short, exact = size.get("shortest_edge"), size.get("height")
    if not processor.do_resize or not (short or exact) or size.get("height") != size.get("width"):
        return None
    resize, kind = (short, Crop.CENTER) if short else (exact, Crop.SQUASH)
    share, cropped = getattr(processor, "crop_pct", None), bool(getattr(processor, "do_center_crop", False))
    side = crop.get("height") if cropped else resize
    if share and short and not cropped and short >= 384:  # ConvNeXt's own rule: large pictures are not cropped
        kind, share = Crop.SQUASH, None
    if share and short:
        resize = int(short / share)
    elif short and not cropped and kind is Crop.CENTER:
        return None
    if not side or side > resize:
        return None
    white = 1 / (255 * (processor.rescale_factor if processor.do_rescale else 1))
    normal = bool(processor.do_normalize)
    return {
        "size": int(side),
        "resize": int(resize),
        "crop": kind,
        "interpolation": RESAMPLE.get(int(processor.resample), Interpolation.BICUBIC),
        "channels": Channels.BGR if getattr(processor, "do_flip_channel_order", False) else Channels.RGB,
        "mean": _three([value * white for value in processor.image_mean] if normal else (0, 0, 0)),
        "std": _three([value * white for value in processor.image_std] if normal else (white, white, white)),
    }


def _apart(processor: Any, found: dict[str, Any]) -> float:
    """Mean difference between the processor's pixels of a smooth oblong image and those of the settings."""
    down, right = np.mgrid[0:120, 0:200].astype(np.float32)
    image = np.stack([down * 2, right, 120 + 60 * np.sin(right / 9 + down / 20)], 2).astype(np.uint8)
    theirs = np.asarray(processor(image, return_tensors="np")["pixel_values"])[0]
    if theirs.shape != (3, found["size"], found["size"]):
        return math.inf
    mine = square(image, found["size"], found["resize"], found["crop"], found["interpolation"]).astype(np.float32) / 255
    mine = mine[..., ::-1] if found["channels"] is Channels.BGR else mine
    difference = np.abs((mine - found["mean"]) / found["std"] - theirs.transpose(1, 2, 0)) * found["std"]
    return float(difference.mean())


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
