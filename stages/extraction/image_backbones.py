"""Image backbones, from normalised pixels to a vector or to the last maps: pretrainedmodels, timm and transformers by name.

Shapes: B products, S side in pixels, D width of the vector.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.hub import new_model, read_config, read_model
from fusecat.stages.extraction.settings import NEW, Network
from fusecat.stages.extraction.text_backbones import part_of, refuse_other_weights
from fusecat.stages.extraction.weights import hub_source, load_image_weights, unavailable

RECTIFIED = ("densenet", "nasnet", "pnasnet", "xception")
"""Names in pretrainedmodels that set what is negative to 0 before they average the last maps."""


def pretrainedmodels_backbone(network: Network, *, load: bool) -> nn.Module:
    """A network of pretrainedmodels that gives its last maps (B, D, h, w), or the vector before its last layer.

    Its own pooling has a fixed window in most families, so the maps are averaged by `ImageNetwork`, which is the same number.
    """
    module: Any = _pretrainedmodels_network(network)
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
    backbone: nn.Module = module
    return backbone


def _pretrainedmodels_network(network: Network) -> Any:
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


def timm_backbone(network: Network, *, load: bool) -> nn.Module:
    """A model of timm's own list whose output is its own pooled vector (B, D)."""
    module = _timm_network(network)
    if load and network.weights != NEW:
        classifiers = module.pretrained_cfg.get("classifier") or ()
        classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
        load_image_weights(module, network, (*classifiers, "fc", "classifier", "head"))
    backbone: nn.Module = module
    return backbone


def _timm_network(network: Network) -> Any:
    """Without weights: neither its name nor its shape may lead to a file or to a hub."""
    import timm

    if not timm.is_model(network.model.partition(".")[0]):  # what follows is the tag of pretrained weights
        raise UsageError(f"networks.{network.name}: timm knows no model '{network.model}'")
    makers = (timm.create_model, timm.models.build_model_with_cfg)
    loading = {parameter for maker in makers for parameter in inspect.signature(maker).parameters}
    for key in network.shape:
        if key in loading:
            raise UsageError(f"networks.{network.name}: shape.{key} is no shape; weights are named by 'weights'")
    try:
        return timm.create_model(network.model, pretrained=False, num_classes=0, **dict(network.shape))
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            f"networks.{network.name}: timm builds no '{network.model}' of this shape ({' '.join(str(error).split()):.120})"
        ) from error


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
            return vector.flatten(1)
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


def read_image_tower(network: Network) -> tuple[ImageTower, Any]:
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
    refuse_other_weights(network, model.state_dict(), told)
    return ImageTower(model), config


def new_image_tower(config: Any, network: Network) -> ImageTower:
    """An image network of this configuration, its weights drawn at random. Raises ValueError."""
    options = {"add_pooling_layer": False} if getattr(config, "without_pooler", False) else {}
    return ImageTower(part_of(new_model(config, **options), network))
