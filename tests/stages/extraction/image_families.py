"""Families of image networks, as `families` has those of texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pretrainedmodels
import timm
import torch
import transformers as hf
from pydantic import TypeAdapter
from torch import Tensor, nn

from fusecat.stages.extraction.settings import Library, Network
from fusecat.stages.fields import Field
from tests.stages.extraction.families import VISION, joint

Pooled = Callable[[Any, Tensor], Tensor]
"""The library's own network, normalised pixels (B, 3, S, S) -> vectors (B, D)."""


def pooler(model: Any, pixels: Tensor) -> Tensor:
    return model(pixel_values=pixels).pooler_output.flatten(1)


def image_features(model: Any, pixels: Tensor) -> Tensor:
    return model.get_image_features(pixel_values=pixels).pooler_output


def mean_of_states(model: Any, pixels: Tensor) -> Tensor:
    return model(pixel_values=pixels).last_hidden_state.mean(1)


@dataclass(frozen=True)
class ImageFamily:
    """`model`: its name in timm or pretrainedmodels; `config`: of a network of transformers, with its `processor`."""

    name: str
    known: str
    library: Library
    model: str = ""
    config: Callable[[], Any] | None = None
    processor: Callable[[], Any] | None = None
    reference: Pooled = pooler
    settings: Mapping[str, Any] = field(default_factory=dict)
    shape: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False


def of_timm(name: str, known: str, model: str, *, slow: bool = False, **shape: Any) -> ImageFamily:
    return ImageFamily(name, known, Library.TIMM, model, shape=shape, slow=slow)


def of_pretrainedmodels(name: str, known: str, *, slow: bool = False) -> ImageFamily:
    return ImageFamily(name, known, Library.PRETRAINEDMODELS, name, slow=slow)


def of_transformers(
    name: str, known: str, config: Callable[[], Any], processor: Callable[[], Any], reference: Pooled = pooler, **settings: Any
) -> ImageFamily:
    return ImageFamily(name, known, Library.TRANSFORMERS, name, config, processor, reference, settings)


VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
SQUARE = {"size": {"height": 32, "width": 32}}
SHORT = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
CONV = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}

IMAGE_FAMILIES = (
    of_timm("timm/vit", "ViT, DeiT, AugReg", "vit_tiny_patch16_224", **VIT),
    of_timm("timm/deit3", "DeiT III", "deit3_small_patch16_224", **VIT),
    of_timm("timm/beit", "BEiT", "beit_base_patch16_224", **VIT),
    of_timm("timm/dinov2", "DINOv2 with registers", "vit_small_patch14_reg4_dinov2", **VIT),
    of_timm("timm/dinov3", "DINOv3", "vit_small_patch16_dinov3", **VIT),
    of_timm("timm/siglip", "SigLIP, SigLIP2", "vit_base_patch16_siglip_224", **VIT),
    of_timm("timm/clip", "CLIP, OpenCLIP", "vit_base_patch16_clip_224", **VIT),
    of_timm("timm/eva02", "EVA-02", "eva02_tiny_patch14_224", **VIT),
    of_timm("timm/volo", "VOLO", "volo_d1_224", slow=True, img_size=64),
    of_timm(
        "timm/swin",
        "Swin",
        "swin_tiny_patch4_window7_224",
        img_size=32,
        window_size=2,
        embed_dim=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
    ),
    of_timm(
        "timm/swinv2",
        "Swin v2",
        "swinv2_tiny_window8_256",
        img_size=32,
        window_size=2,
        embed_dim=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
    ),
    of_timm("timm/convnext", "ConvNeXt", "convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)),
    of_timm("timm/convnextv2", "ConvNeXt V2", "convnextv2_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)),
    of_timm("timm/efficientnet", "EfficientNet, EfficientNet-lite", "tf_efficientnet_lite0"),
    of_timm("timm/mobilenetv3", "MobileNet V3", "mobilenetv3_small_050"),
    of_timm("timm/mobilenetv4", "MobileNet V4", "mobilenetv4_conv_small_050"),
    of_timm("timm/resnet", "ResNet, ResNet-RS, timm's SE-ResNeXt", "resnet10t"),
    of_timm("timm/regnet", "RegNet", "regnetx_002"),
    of_timm("timm/edgenext", "EdgeNeXt", "edgenext_xx_small"),
    of_pretrainedmodels("se_resnext50_32x4d", "SE-ResNeXt, SE-ResNet, SENet"),
    of_pretrainedmodels("resnet18", "ResNet"),
    of_pretrainedmodels("resnext101_32x4d", "ResNeXt", slow=True),
    of_pretrainedmodels("densenet121", "DenseNet"),
    of_pretrainedmodels("bninception", "BN-Inception (BGR, 0 to 255)"),
    of_pretrainedmodels("inceptionv3", "Inception v3", slow=True),
    of_pretrainedmodels("xception", "Xception", slow=True),
    of_pretrainedmodels("nasnetamobile", "NASNet, PNASNet"),
    of_pretrainedmodels("dpn68", "Dual path networks"),
    of_pretrainedmodels("alexnet", "AlexNet, VGG: the layer before the last", slow=True),
    of_pretrainedmodels("squeezenet1_1", "SqueezeNet: its last maps, averaged"),
    of_pretrainedmodels("polynet", "PolyNet", slow=True),
    of_transformers("vit", "ViT", lambda: hf.ViTConfig(**VISION), lambda: hf.ViTImageProcessor(**SQUARE)),
    of_transformers(
        "deit",
        "DeiT",
        lambda: hf.DeiTConfig(**VISION),
        lambda: hf.DeiTImageProcessor(size={"height": 36, "width": 36}, crop_size={"height": 32, "width": 32}),
    ),
    of_transformers(
        "beit", "BEiT", lambda: hf.BeitConfig(**VISION), lambda: hf.BeitImageProcessor(**SQUARE, do_center_crop=False)
    ),
    of_transformers("dinov2", "DINOv2", lambda: hf.Dinov2Config(**VISION), lambda: hf.BitImageProcessor(**SHORT)),
    of_transformers(
        "dinov2_with_registers",
        "DINOv2 with registers",
        lambda: hf.Dinov2WithRegistersConfig(**VISION),
        lambda: hf.BitImageProcessor(**SHORT),
    ),
    of_transformers("dinov3_vit", "DINOv3", lambda: hf.DINOv3ViTConfig(**VISION), lambda: hf.DINOv3ViTImageProcessor(**SQUARE)),
    of_transformers(
        "siglip_vision_model",
        "SigLIP, the image half alone",
        lambda: hf.SiglipVisionConfig(**VISION),
        lambda: hf.SiglipImageProcessor(**SQUARE),
    ),
    of_transformers(
        "clip_vision_model",
        "CLIP, the image half alone",
        lambda: hf.CLIPVisionConfig(**VISION),
        lambda: hf.CLIPImageProcessor(**SHORT),
    ),
    of_transformers(
        "clip",
        "CLIP, the image half",
        joint("CLIP", projection_dim=8),
        lambda: hf.CLIPImageProcessor(**SHORT),
        image_features,
        tower="image",
    ),
    of_transformers(
        "siglip",
        "SigLIP, SigLIP2 of a fixed size, the image half",
        joint("Siglip"),
        lambda: hf.SiglipImageProcessor(**SQUARE),
        image_features,
        tower="image",
    ),
    of_transformers(
        "metaclip_2",
        "MetaCLIP 2, the image half",
        joint("MetaClip2", projection_dim=8),
        lambda: hf.CLIPImageProcessor(**SHORT),
        image_features,
        tower="image",
    ),
    of_transformers(
        "altclip",
        "AltCLIP, the image half",
        joint("AltCLIP", projection_dim=8),
        lambda: hf.CLIPImageProcessor(**SHORT),
        image_features,
        tower="image",
    ),
    of_transformers(
        "chinese_clip",
        "ChineseCLIP, the image half",
        joint("ChineseCLIP", projection_dim=8),
        lambda: hf.ChineseCLIPImageProcessor(**SHORT),
        image_features,
        tower="image",
    ),
    of_transformers(
        "blip",
        "BLIP, the image half",
        joint("Blip", projection_dim=8, image_text_hidden_size=8),
        lambda: hf.BlipImageProcessor(**SQUARE),
        image_features,
        tower="image",
    ),
    of_transformers(
        "ijepa", "I-JEPA", lambda: hf.IJepaConfig(**VISION), lambda: hf.ViTImageProcessor(**SQUARE), mean_of_states
    ),
    of_transformers(
        "convnext",
        "ConvNeXt",
        lambda: hf.ConvNextConfig(**CONV),
        lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    of_transformers(
        "convnextv2",
        "ConvNeXt V2",
        lambda: hf.ConvNextV2Config(**CONV),
        lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875),
    ),
    of_transformers(
        "swin",
        "Swin",
        lambda: hf.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2),
        lambda: hf.ViTImageProcessor(**SQUARE),
    ),
    of_transformers(
        "swinv2",
        "Swin v2",
        lambda: hf.Swinv2Config(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2),
        lambda: hf.ViTImageProcessor(**SQUARE),
    ),
    of_transformers(
        "resnet",
        "ResNet",
        lambda: hf.ResNetConfig(embedding_size=8, layer_type="basic", **CONV),
        lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875),
    ),
)


def write_image(family: ImageFamily, folder: Path, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, str]:
    """Save a random network as its library or its hub folder has it; returns the network and what `weights` is to name."""
    torch.manual_seed(0)
    if family.config is not None and family.processor is not None:
        model: Any = hf.AutoModel.from_config(family.config())
    elif family.library is Library.TIMM:
        model = timm.create_model(family.model, pretrained=False, **family.shape)
    else:
        known = pretrainedmodels.pretrained_settings[family.model]
        model = getattr(pretrainedmodels, family.model)(num_classes=next(iter(known.values()))["num_classes"], pretrained=None)
    with torch.no_grad():  # no scale of a layer is so small any more that all images look alike
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * (0.1 * parameter.std() if parameter.unique().numel() > 1 else 0.1))
    model = model.to(dtype).eval()
    if family.config is not None and family.processor is not None:
        model.save_pretrained(folder)
        family.processor().save_pretrained(folder)
        return model.float(), str(folder)
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict(), folder / "weights.pth")
    return model.float(), str(folder / "weights.pth")


def image_network(family: ImageFamily, weights: str, **more: Any) -> Network:
    """The preset's entry."""
    settings = {"shape": dict(family.shape)} | dict(family.settings) | more
    return TypeAdapter(Network).validate_python(
        {
            "name": "mine",
            "library": family.library,
            "model": family.model,
            "weights": weights,
            "fields": [Field.IMAGE],
            **settings,
        }
    )


def library_vector(family: ImageFamily, model: Any, pixels: Tensor) -> Tensor:
    """What the library's own network says of normalised pixels."""
    if family.library is Library.TRANSFORMERS:
        return family.reference(model, pixels)
    if family.library is Library.TIMM:
        return model.forward_head(model.forward_features(pixels), pre_logits=True)
    if family.model.startswith("squeezenet"):
        return model.features(pixels).mean((2, 3))
    model.last_linear = nn.Identity()
    return model(pixels).flatten(1)
