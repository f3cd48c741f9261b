"""The libraries that image networks come from, a module for each, and what a preset leaves to them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction import image_pretrainedmodels, image_timm, image_transformers
from fusecat.stages.extraction.pixels import IMAGENET, KEYS
from fusecat.stages.extraction.settings import Library, Network


class ImageSource(Protocol):
    """What a module says of its library. Shapes: B products, S side in pixels, D width of the vector."""

    def pixels(self, network: Network) -> dict[str, Any]:
        """What the library says of `pixels.KEYS`; nothing of a network that it does not know. Raises ModelError, UsageError."""

    def backbone(self, network: Network, config: Path | None, *, load: bool) -> tuple[nn.Module, Any]:
        """Normalised pixels (B, 3, S, S) -> vectors (B, D) or maps (B, D, h, w); and a configuration to be saved, or None.

        `load`: with the weights that the settings name; `config`: folder of a saved configuration.

        Raises: ModelError, UsageError.
        """


SOURCES: Mapping[Library, ImageSource] = {
    Library.PRETRAINEDMODELS: image_pretrainedmodels,
    Library.TIMM: image_timm,
    Library.TRANSFORMERS: image_transformers,
}


def with_pixels(network: Network) -> Network:
    """The network with every pixel setting said: the preset's, else its library's.

    A `size` of one's own keeps the library's share of the picture. Raises ModelError where the library says nothing,
    UsageError where what is said makes no sense.
    """
    if not network.is_image or all(getattr(network, key) is not None for key in KEYS):
        return network
    found = IMAGENET | SOURCES[network.library].pixels(network)
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
