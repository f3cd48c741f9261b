"""Image networks of timm, by name: the pixels that they see, and their backbones.

Shapes: B products, D width of the vector.
"""

import inspect
import math
from pathlib import Path
from typing import Any

from torch import nn

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.pixels import three
from fusecat.stages.extraction.settings import NEW, Crop, Interpolation, Network
from fusecat.stages.extraction.weights import load_image_weights


def pixels(network: Network) -> dict[str, Any]:
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
        "interpolation": _interpolation(said["interpolation"]),
        "mean": three(said["mean"]) if channels == 3 else None,
        "std": three(said["std"]) if channels == 3 else None,
    }


def _interpolation(name: str) -> Interpolation:
    return Interpolation(name) if name in set(Interpolation) else Interpolation.BICUBIC


def backbone(network: Network, config: Path | None, *, load: bool) -> tuple[nn.Module, None]:  # noqa: ARG001
    """A model of timm's own list whose output is its own pooled vector (B, D)."""
    module = _named(network)
    if load and network.weights != NEW:
        classifiers = module.pretrained_cfg.get("classifier") or ()
        classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
        load_image_weights(module, network, (*classifiers, "fc", "classifier", "head"))
    return module, None


def _named(network: Network) -> Any:
    """Without weights: neither its name nor its shape may lead to a file or to a hub."""
    import timm

    if not timm.is_model(network.model.partition(".")[0]):  # what follows is the tag of pretrained weights
        raise UsageError(f"networks.{network.name}: timm knows no model '{network.model}'")
    makers = (timm.create_model, timm.models.build_model_with_cfg)
    loading = {parameter for maker in makers for parameter in inspect.signature(maker).parameters}
    for key in network.shape:
        if key in loading:
            raise UsageError(f"networks.{network.name}: shape.{key} is no shape; weights are named by 'weights'")
    return timm.create_model(network.model, pretrained=False, num_classes=0, **dict(network.shape))
