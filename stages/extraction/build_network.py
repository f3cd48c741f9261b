"""From settings to a network: pretrained, new, or as fine-tuning left it."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from fusecat.cache.publish import publish
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.dry_run import check_tokenizer, image_width, pad_of, text_width, try_images, try_texts
from fusecat.stages.extraction.hub import new_config, read_config, read_own_tokenizer, read_tokenizer
from fusecat.stages.extraction.image_sources import SOURCES, with_pixels
from fusecat.stages.extraction.networks import AnyNetwork, FirstToken, ImageNetwork, TextNetwork, UnitLength, pooling_module
from fusecat.stages.extraction.sentence_folder import (
    own_prefix,
    read_pooling,
    refuse_other_case,
    refuse_other_pooling,
    refuse_other_reading,
    within,
)
from fusecat.stages.extraction.sentence_modules import ModelPooling
from fusecat.stages.extraction.settings import NEW, Channels, Network, Pooling
from fusecat.stages.extraction.small_tokenizers import build_camembert_tokenizer, build_flaubert_tokenizer
from fusecat.stages.extraction.text_backbones import PADDED, TextTower, new_backbone, positions, read_backbone
from fusecat.stages.extraction.weights import hub_source, unavailable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
POOLING = "pooling.json"
"""Beside the saved configuration: what lies behind the encoder where that is the model's own."""


def settled(network: Network) -> Network:
    """The network with all said that its library or its folder says. Raises ModelError where that cannot be read."""
    if network.is_image:
        return with_pixels(network)
    if network.prefix is not None:
        return network
    own = network.pooling is Pooling.MODEL and network.tower is None
    return dataclasses.replace(network, prefix=own_prefix(network) if own else "")


def build_tokenizer(network: Network, texts: Sequence[str], folder: Path) -> "PreTrainedTokenizerBase":
    """The network's tokenizer; a new one is learnt from `texts`. It is saved into `folder` either way."""
    if network.weights != NEW:
        own = network.pooling is Pooling.MODEL and network.tower is None
        if own:
            refuse_other_reading(network)
        try:
            tokenizer = read_own_tokenizer(hub_source(network), revision=network.revision or "main", **within(network))
        except (MemoryError, ModelError):
            raise
        except Exception as error:  # a file that is none can fail anywhere in the libraries; Rust's raise Exception itself
            raise unavailable(network, error) from error
        if own:
            refuse_other_case(network, tokenizer)
        tokenizer.save_pretrained(folder)
        return tokenizer
    match network.model:
        case "camembert":
            build_camembert_tokenizer(texts, network.vocabulary, folder)
        case "flaubert":
            build_flaubert_tokenizer(texts, network.vocabulary, folder)
        case _:
            raise UsageError(
                f"networks.{network.name}: a new tokenizer can be learnt for camembert and flaubert, not for "
                f"'{network.model}'; set weights to a hub id, or pass --weights {network.name}=FOLDER"
            )
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """A tokenizer that this workspace saved."""
    return read_tokenizer(folder, local_files_only=True)


def build_text_network(
    network: Network, tokenizer: "PreTrainedTokenizerBase", classes: int, config: Path | None = None
) -> TextNetwork:
    """A text network with the given, downloaded or new weights and a new classification layer, drawn from the training seed.

    `config`: folder of a saved configuration; then nothing but the shape is loaded (the state dict follows). Else the network
    is tried on two texts.

    Raises: ModelError, or UsageError for a setting, where it cannot be had whole or cannot read texts.
    """
    torch.manual_seed(network.training.seed)
    if config is not None:
        settings = read_config(config, local_files_only=True)
        backbone = new_backbone(settings, network)
    elif network.weights == NEW:
        with _of_shape(network):
            settings = _new_config(network, tokenizer)
            backbone = new_backbone(settings, network)
    else:
        backbone, settings = read_backbone(network)
    if config is None:
        check_tokenizer(
            network, tokenizer, getattr(settings.get_text_config(), "vocab_size", None), positions(backbone, settings)
        )
    if own := network.tower is not None or settings.model_type in PADDED:
        backbone = TextTower(backbone, pad_of(tokenizer) or 0)
    pooling, width = _pooling(network, backbone, config, own=own)
    built = TextNetwork(backbone, pooling, width, classes, network.training.dropout)
    built.config = settings
    if config is None:
        try_texts(built, network, tokenizer)
    return built


def _pooling(network: Network, backbone: nn.Module, config: Path | None, *, own: bool) -> tuple[nn.Module | None, int]:
    """What makes a vector of the last hidden states (None: the backbone itself does) and how wide that is."""
    if own and network.pooling in (None, Pooling.MODEL):
        return None, text_width(backbone, network, None)
    if network.pooling is Pooling.MODEL:
        pooling = read_pooling(network) if config is None else ModelPooling(json.loads((config / POOLING).read_text("utf-8")))
        return pooling, text_width(backbone, network, pooling)
    if network.pooling is None and config is None and network.weights != NEW:
        refuse_other_pooling(network)
    hidden = text_width(backbone, network, FirstToken())
    return pooling_module(network.pooling or Pooling.MEAN, network.length, hidden, network.width)


def _new_config(network: Network, tokenizer: "PreTrainedTokenizerBase") -> Any:
    # CamemBERT counts positions from its pad id + 1, so L tokens need L + 2 positions.
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    ids |= {"pad_index": tokenizer.pad_token_id} if network.model == "flaubert" else {}
    return new_config(network, vocab_size=len(tokenizer), max_position_embeddings=network.length + 2, **ids)


@contextmanager
def _of_shape(network: Network) -> Iterator[None]:
    """Whatever a library raises of a shape that cannot be, as one sentence. Raises UsageError."""
    try:
        yield
    except (MemoryError, ModelError, UsageError):
        raise
    except Exception as error:  # every family has its own way to fail
        raise UsageError(
            f"networks.{network.name}: {network.library} builds no '{network.model}' of this shape "
            f"({' '.join(str(error).split()):.120})"
        ) from error


def build_image_network(network: Network, classes: int, *, load: bool = True, config: Path | None = None) -> ImageNetwork:
    """An image network, new layers drawn from the training seed; without `load` only its shape (the state dict follows).

    `config`: folder of a saved configuration, for networks of transformers.

    Raises: ModelError, or UsageError for a setting, where it cannot be had whole or cannot see images of its size.
    """
    network = with_pixels(network)
    assert network.mean and network.std
    torch.manual_seed(network.training.seed)
    with _of_shape(network) if config is None else nullcontext():
        backbone, settings = SOURCES[network.library].backbone(network, config, load=load)
    if network.prompts:
        backbone = UnitLength(backbone)
    width = image_width(backbone, network)
    flipped = network.channels is Channels.BGR
    built = ImageNetwork(backbone, width, classes, network.training.dropout, network.mean, network.std, flipped=flipped)
    built.config = settings
    if load:
        try_images(built, network)
    return built


def save_network(network: AnyNetwork, folder: Path) -> dict[str, Tensor]:
    """Keep what the two functions above, and `Encoder.rebuild`, read; returns the state."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if (config := getattr(network, "config", None)) is not None:
        config.save_pretrained(folder / "backbone")
    if isinstance(network, TextNetwork) and isinstance(network.pooling, ModelPooling):
        publish(folder / "backbone" / POOLING, json.dumps(network.pooling.description, indent=2))
    publish(folder / "network.safetensors", save(state))
    return state
