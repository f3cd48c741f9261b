"""From settings to a network: the one place that knows transformers, pretrainedmodels and timm by name."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import torch
from torch import nn

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.hub import new_model, read_config, read_model, read_tokenizer
from fusecat.stages.extraction.networks import ImageNetwork, TextNetwork, pooling_module
from fusecat.stages.extraction.settings import NEW, Library, Network
from fusecat.stages.extraction.small_tokenizers import build_camembert_tokenizer, build_flaubert_tokenizer
from fusecat.stages.extraction.weights import load_image_weights, text_source, unavailable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def build_tokenizer(network: Network, texts: Sequence[str], folder: Path) -> "PreTrainedTokenizerBase":
    """The network's tokenizer; a new one is learnt from `texts`. It is saved into `folder` either way."""
    if network.weights != NEW:
        try:
            tokenizer = read_tokenizer(text_source(network), revision=_revision(network))
        except (OSError, ValueError, ImportError) as error:
            raise unavailable(network, error) from error
        tokenizer.save_pretrained(folder)
        return tokenizer
    match network.model:
        case "camembert":
            build_camembert_tokenizer(texts, network.vocabulary, folder)
        case "flaubert":
            build_flaubert_tokenizer(texts, network.vocabulary, folder)
        case _:
            message = (
                f"networks.{network.name}: a new tokenizer can be learnt for camembert and flaubert, not for "
                f"'{network.model}'; pass --weights {network.name}=FOLDER"
            )
            raise UsageError(message)
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """A tokenizer that this workspace saved."""
    return read_tokenizer(folder, local_files_only=True)


def build_text_network(
    network: Network, tokenizer: "PreTrainedTokenizerBase", classes: int, config: Path | None = None
) -> TextNetwork:
    """A text network with the given, downloaded or new weights and a new classification layer, drawn from the training seed.

    `config`: folder of a saved configuration; then nothing but the shape is loaded (the state dict follows).
    """
    torch.manual_seed(network.training.seed)
    try:
        if config is not None:
            backbone = _from_config(read_config(config, local_files_only=True))
        elif network.weights == NEW:
            backbone = _from_config(_new_config(network, tokenizer))
        else:
            source, revision = text_source(network), _revision(network)
            settings = read_config(source, revision=revision)
            backbone = read_model(source, settings, revision=revision, **_without_pooler(settings))
    except (OSError, ValueError) as error:
        if config is not None:
            raise
        raise unavailable(network, error) from error
    hidden = backbone.config.hidden_size
    pooling, width = pooling_module(network.pooling, network.length, hidden, network.width)
    return TextNetwork(backbone, pooling, width, classes, network.training.dropout)


def build_image_network(network: Network, classes: int, *, load: bool = True) -> ImageNetwork:
    """An image network, new layers drawn from the training seed; without `load` only its shape (the state dict follows)."""
    torch.manual_seed(network.training.seed)
    backbone, width, mean, std = _image_backbone(network)
    if load and network.weights != NEW:
        load_image_weights(backbone, network)
    return ImageNetwork(backbone, width, classes, network.training.dropout, mean, std)


def _revision(network: Network) -> str:
    return network.revision or "main"


def _new_config(network: Network, tokenizer: "PreTrainedTokenizerBase") -> Any:
    from transformers import AutoConfig

    # CamemBERT counts positions from its pad id + 1, so L tokens need L + 2 positions.
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    ids |= {"pad_index": tokenizer.pad_token_id} if network.model == "flaubert" else {}
    return AutoConfig.for_model(
        network.model, vocab_size=len(tokenizer), max_position_embeddings=network.length + 2, **ids, **dict(network.shape)
    )


def _from_config(config: Any) -> Any:
    return new_model(config, **_without_pooler(config))


def _without_pooler(config: Any) -> dict[str, bool]:
    """BERT's pooler is never used here, and unused parameters break distributed training."""
    from transformers import MODEL_MAPPING

    kind: Any = MODEL_MAPPING[type(config)]
    accepted = inspect.signature(kind).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def _image_backbone(network: Network) -> tuple[nn.Module, int, tuple[float, ...], tuple[float, ...]]:
    """Module from normalised images to feature maps, width of the maps, mean and deviation of the channels."""
    match network.library:
        case Library.PRETRAINEDMODELS:
            module: Any = _pretrainedmodels_network(network)
            width = module.last_linear.in_features
            mean, std = getattr(module, "mean", IMAGENET_MEAN), getattr(module, "std", IMAGENET_STD)
            module.last_linear = nn.Identity()
            module.forward = module.features
            return module, width, tuple(mean), tuple(std)
        case Library.TIMM:
            module = _timm_network(network)
            return module, module.num_features, tuple(module.pretrained_cfg["mean"]), tuple(module.pretrained_cfg["std"])
        case Library.TRANSFORMERS | Library.SCIKIT_LEARN:
            message = f"networks.{network.name}: image networks come from pretrainedmodels or timm"
            raise UsageError(message)
        case _:
            assert_never(network.library)


def _timm_network(network: Network) -> Any:
    """A model of timm's own list without weights: neither its name nor its shape may lead to a file or to a hub."""
    import timm

    if not timm.is_model(network.model.partition(".")[0]):  # what follows is the tag of pretrained weights
        message = f"networks.{network.name}: timm knows no model '{network.model}'"
        raise UsageError(message)
    makers = (timm.create_model, timm.models.build_model_with_cfg)
    loading = {parameter for maker in makers for parameter in inspect.signature(maker).parameters}
    for key in network.shape:
        if key in loading:
            message = f"networks.{network.name}: shape.{key} is no shape; weights are named by 'weights'"
            raise UsageError(message)
    try:
        return timm.create_model(network.model, pretrained=False, num_classes=0, global_pool="", **dict(network.shape))
    except RuntimeError as error:
        message = f"networks.{network.name}: timm knows no model '{network.model}'"
        raise UsageError(message) from error


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
        message = f"networks.{network.name}: pretrainedmodels knows no model '{network.model}'"
        raise UsageError(message)
    return getattr(pretrainedmodels, network.model)(num_classes=1000, pretrained=None)
