"""Image networks of transformers, alone or as half of a joint one: the pixels that they see, and their backbones.

Shapes: B products, S side in pixels, D width of the vector.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fusecat.stages.errors import ModelError
from fusecat.stages.extraction.hub import new_config, new_model, read_config, read_image_processor, read_model
from fusecat.stages.extraction.pixels import KEYS, square, three
from fusecat.stages.extraction.settings import NEW, Channels, Crop, Interpolation, Network
from fusecat.stages.extraction.text_backbones import part_of, refuse_other_weights
from fusecat.stages.extraction.weights import hub_source, unavailable

RESAMPLE = {0: Interpolation.NEAREST, 1: Interpolation.LANCZOS, 2: Interpolation.BILINEAR, 3: Interpolation.BICUBIC}
"""Pillow's numbers, as image processors have them."""
APART = 0.02
"""Mean difference of pixels (white is 1) that roundings of two ways to scale explain; a missed crop makes tenths."""


def pixels(network: Network) -> dict[str, Any]:
    """The image processor's settings, held against what it computes."""
    if network.weights == NEW:
        size = network.shape.get("image_size", 224)
        return {"size": size, "resize": size}
    try:
        processor = read_image_processor(hub_source(network), revision=network.revision or "main")
    except (OSError, ValueError, ImportError) as error:
        raise unavailable(network, error) from error
    try:
        found = _of_processor(processor)
        if found is not None and _apart(processor, found) <= APART:
            return found
    except Exception as error:  # every family's asks for other settings, and has its own way to miss them
        raise unavailable(network, error) from error
    raise ModelError(
        f"networks.{network.name}: what its image processor ({type(processor).__name__}) does is no scaling to a square; "
        f"set all of {', '.join(KEYS)}"
    )


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
        "mean": three([value * white for value in processor.image_mean] if normal else (0, 0, 0)),
        "std": three([value * white for value in processor.image_std] if normal else (white, white, white)),
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


def backbone(network: Network, config: Path | None, *, load: bool) -> tuple[nn.Module, Any]:
    """The network and its configuration: of the weights, of a saved `config`, or of the shape. Raises as `_read`."""
    if load and network.weights != NEW:
        return _read(network)
    settings = new_config(network) if config is None else read_config(config, local_files_only=True)
    return _new(settings, network), settings


class ImageTower(nn.Module):
    """An image network of transformers, or the image half of a joint one: pixels -> the library's own pooled vector.

    Where the network has no pooling, or its weights lack its pooler, the class token is the vector; where there is none, the
    mean of all tokens.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.patch = int(model.config.vision_config.patch_size) if model.config.model_type == "siglip2" else 0
        names = [name.rpartition(".")[2] for name, _ in model.named_parameters()]
        self.has_class_token = "cls_token" in names or "class_embedding" in names

    def forward(self, pixels: Tensor) -> Tensor:
        """`pixels` (B, 3, S, S) -> (B, D)."""
        read = getattr(self.model, "get_image_features", self.model)
        output = read(**(self._patches(pixels) if self.patch else {"pixel_values": pixels}))
        vector: Tensor | None = getattr(output, "pooler_output", None)
        if vector is not None:
            return vector.flatten(1) if vector.ndim == 4 else vector
        states: Tensor = output.last_hidden_state
        if states.ndim == 4:
            return states  # maps
        return states[:, 0] if self.has_class_token else states.mean(1)

    def _patches(self, pixels: Tensor) -> dict[str, Tensor]:
        """SigLIP2 is fed patches (B, n, p * p * 3), a mask and the number of rows and columns."""
        batch, colours, side, _ = pixels.shape
        rows = side // self.patch
        cut = pixels.reshape(batch, colours, rows, self.patch, rows, self.patch).permute(0, 2, 4, 3, 5, 1)
        patches = cut.reshape(batch, rows * rows, -1)
        return {
            "pixel_values": patches,
            "pixel_attention_mask": torch.ones(patches.shape[:2], dtype=torch.int32, device=pixels.device),
            "spatial_shapes": torch.full((batch, 2), rows, device=pixels.device),
        }

    def gradient_checkpointing_enable(self) -> None:
        """See `networks.recompute`."""
        self.model.gradient_checkpointing_enable()


def _read(network: Network) -> tuple[ImageTower, Any]:
    """The image network of the checkpoint and its configuration. Raises as `text_backbones.read_backbone`."""
    source, revision = hub_source(network), network.revision or "main"
    try:
        config = read_config(source, revision=revision)
        model, told = read_model(source, config, revision=revision)
        if "pooler.dense.weight" in told["missing_keys"]:
            config.without_pooler = True  # kept with the configuration, so that the network can be built again
            model, told = read_model(source, config, revision=revision, add_pooling_layer=False)
    except (MemoryError, ModelError):
        raise
    except Exception as error:
        raise unavailable(network, error) from error
    model = part_of(model, network)
    refuse_other_weights(network, model.state_dict(), told, model.base_model_prefix)
    return ImageTower(model), config


def _new(config: Any, network: Network) -> ImageTower:
    """An image network of this configuration, its weights drawn at random. Raises ValueError."""
    options = {"add_pooling_layer": False} if getattr(config, "without_pooler", False) else {}
    return ImageTower(part_of(new_model(config, **options), network))
