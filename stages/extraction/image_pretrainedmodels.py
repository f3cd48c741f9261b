"""Image networks of pretrainedmodels, by name: the pixels that they see, and their backbones.

Shapes: B products, D width of the vector.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.pixels import three
from fusecat.stages.extraction.settings import NEW, Channels, Network
from fusecat.stages.extraction.weights import load_image_weights

RECTIFIED = ("densenet", "nasnet", "pnasnet", "xception")
"""Names in pretrainedmodels that set what is negative to 0 before they average the last maps."""


def pixels(network: Network) -> dict[str, Any]:
    """`pretrained_settings` of a name; a crop as in the library's own `TransformImage` (0.875)."""
    from pretrainedmodels import pretrained_settings

    variants = pretrained_settings.get(network.model)
    if not variants:
        return {}
    said = variants.get("imagenet") or next(iter(variants.values()))
    size, white = int(said["input_size"][1]), said["input_range"][1]
    return {
        "size": size,
        "resize": math.floor(size / 0.875),
        "channels": Channels(said["input_space"].lower()),
        "mean": three(said["mean"], white),
        "std": three(said["std"], white),
    }


def backbone(network: Network, config: Path | None, *, load: bool) -> tuple[nn.Module, None]:  # noqa: ARG001
    """A network of pretrainedmodels that gives its last maps (B, D, h, w), or the vector before its last layer.

    Its own pooling has a fixed window in most families, so the maps are averaged by `ImageNetwork`, which is the same number.
    """
    module: Any = _named(network)
    for name in ("last_linear", "last_conv", "AuxLogits"):  # unused parameters break distributed training
        if hasattr(module, name):
            setattr(module, name, nn.Identity())
    if network.model.startswith(("alexnet", "vgg")):  # whose vector comes from layers behind the maps
        module._features.register_forward_hook(lambda *given: given[-1].contiguous())  # they read it as one row
    elif network.model.startswith(RECTIFIED):
        module.forward = lambda pixels: F.relu(module.features(pixels))
    else:
        module.forward = lambda pixels: module.features(pixels)
    if load and network.weights != NEW:
        load_image_weights(module, network, ("last_linear", "last_conv", "AuxLogits", "fc", "classifier", "head"))
    return module, None


def _named(network: Network) -> Any:
    import pretrainedmodels
    from pretrainedmodels.models import senet

    torch.manual_seed(network.training.seed)  # again: pretrainedmodels draws numbers while it is imported
    if network.shape:
        # SE-ResNeXt-50's own class and bottleneck; only depth, groups and the first width are smaller.
        shape = {"layers": [3, 4, 6, 3], "groups": 32, "inplanes": 64} | dict(network.shape)
        return senet.SENet(
            senet.SEResNeXtBottleneck,
            **shape,
            reduction=16,
            dropout_p=None,
            input_3x3=False,
            downsample_kernel_size=1,
            downsample_padding=0,
            num_classes=1,
        )
    if network.model not in pretrainedmodels.model_names:
        raise UsageError(f"networks.{network.name}: pretrainedmodels knows no model '{network.model}'")
    settings = pretrainedmodels.pretrained_settings[network.model]
    classes = (settings.get("imagenet") or next(iter(settings.values())))["num_classes"]
    return getattr(pretrainedmodels, network.model)(num_classes=classes, pretrained=None)
