"""Other people's names for the same tensors: files whose keys differ from those of the library that builds the network."""

import re
from collections.abc import Mapping

from torch import Tensor

EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
"""Layers of an inverted bottleneck: EfficientNet-PyTorch's name -> timm's."""
PLAIN = EXPANDING | {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""The same for a block that does not expand its channels: timm counts from its first layer."""
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
"""Layers before and behind the blocks."""


def as_timm(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A file of EfficientNet-PyTorch's family under the names of timm's network `own`; any other file as it is.

    That family numbers its blocks through (`_blocks.4`), timm numbers stages and blocks within them (`blocks.2.1`). A name that
    has no counterpart is kept, so that whoever loads the state names it.
    """
    if "_conv_stem.weight" not in state:
        return state
    places = sorted({(int(found[1]), int(found[2])) for name in own if (found := re.match(r"blocks\.(\d+)\.(\d+)\.", name))})
    expanding = {name.split(".")[1] for name in state if "._expand_conv." in name}
    renamed = {}
    for name, tensor in state.items():
        layer, _, rest = name.partition(".")
        if layer == "_blocks":
            number, layer, rest = rest.split(".", 2)
            layers = EXPANDING if number in expanding else PLAIN
            if layer in layers and int(number) < len(places):
                stage, block = places[int(number)]
                name = f"blocks.{stage}.{block}.{layers[layer]}.{rest}"
        elif layer in OUTSIDE:
            name = f"{OUTSIDE[layer]}.{rest}"
        renamed[name] = tensor
    return renamed
