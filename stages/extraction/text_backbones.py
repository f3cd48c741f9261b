"""Text backbones of transformers: loaded whole or refused, cut down to the part that reads a text.

Shapes: B products, T tokens, H hidden width, D width of the vector.
"""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.hub import new_model, read_config, read_model
from fusecat.stages.extraction.sentence_folder import within
from fusecat.stages.extraction.settings import Network, Tower
from fusecat.stages.extraction.weights import hub_source, unavailable

PADDED = ("siglip", "siglip2", "siglip_text_model", "siglip2_text_model")
"""Families that were taught on texts padded to the full length, without a mask, and read the last position."""
OTHER_TOWER = {Tower.TEXT: ("vision", "visual", "image", "logit"), Tower.IMAGE: ("text", "logit")}
"""How the names of what a tower does not need begin."""


class OtherWeights(ModelError):
    """A checkpoint that is there and is not that of its configuration."""


class TextTower(nn.Module):
    """The text half of a joint network, as an encoder whose `pooler_output` is the library's own feature of the text."""

    def __init__(self, model: Any, pad: int) -> None:
        super().__init__()
        self.model = model
        self.pad = pad
        self.positions = model.config.get_text_config().max_position_embeddings if model.config.model_type in PADDED else 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """`input_ids` and `attention_mask` (B, T) -> output with `last_hidden_state` (B, T, H) and `pooler_output` (B, D)."""
        read = getattr(self.model, "get_text_features", self.model)
        if not self.positions:
            return read(input_ids=input_ids, attention_mask=attention_mask)
        return read(input_ids=F.pad(input_ids, (0, self.positions - input_ids.shape[1]), value=self.pad))

    def gradient_checkpointing_enable(self) -> None:
        """See `networks.recompute`."""
        self.model.gradient_checkpointing_enable()


def read_backbone(network: Network) -> tuple[Any, Any]:
    """The part of the network's checkpoint that is asked for, and the configuration it was built from.

    Raises: ModelError where the weights cannot be had, or are not all there.
    """
    source, revision = hub_source(network), network.revision or "main"
    try:
        config = read_config(source, revision=revision, **within(network))
        _no_cache(config)
        model, told = read_model(source, config, revision=revision, **within(network), **without_pooler(config))
    except (MemoryError, ModelError):
        raise
    except Exception as error:  # a file that is none, or a configuration of nothing, can fail anywhere in the libraries
        raise unavailable(network, error) from error
    backbone = part_of(model, network)
    own = {id(tensor) for tensor in backbone.state_dict(keep_vars=True).values()}
    names = [name for name, tensor in model.state_dict(keep_vars=True).items() if id(tensor) in own]
    names += ["logit_scale"] if network.prompts else []
    refuse_other_weights(network, names, told, model.base_model_prefix)
    return backbone, config


def new_backbone(config: Any, network: Network) -> Any:
    """The same part of a network of this configuration, its weights drawn at random. Raises ValueError."""
    return part_of(new_model(config, **without_pooler(config)), network)


def _no_cache(config: Any) -> None:
    """Keys and values are kept for the next token, and there is none."""
    for settings in (config, config.get_text_config()):
        if getattr(settings, "use_cache", False):
            settings.use_cache = False


def part_of(model: Any, network: Network) -> Any:
    """The encoder of an encoder-decoder, the asked-for tower of a joint network, any other network as it is.

    Raises: UsageError where a joint network is named without its tower, or the other way round.
    """
    joint = hasattr(model, "get_text_features") and hasattr(model, "get_image_features")
    if joint and network.tower is None:
        raise UsageError(
            f"networks.{network.name}: {network.weights} holds a text and an image network ({type(model).__name__}); "
            'say which: tower = "text", or tower = "image"'
        )
    if network.tower is not None and not joint:
        raise UsageError(
            f"networks.{network.name}: {network.weights} is one network ({type(model).__name__}); leave 'tower' out"
        )
    if network.tower is not None:
        learnt = model.state_dict()  # of a pair's logit: see `zero_shot`
        model.similarity = tuple(float(learnt.get(name, 0.0)) for name in ("logit_scale", "logit_bias"))
        for name, _ in [*model.named_children(), *model.named_parameters(recurse=False)]:
            if name.startswith(OTHER_TOWER[network.tower]):
                delattr(model, name)
        return model
    encoder = getattr(model, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) and isinstance(getattr(model, "decoder", None), nn.Module) else model


def refuse_other_weights(network: Network, own: Iterable[str], told: Any, prefix: str) -> None:
    """Raise OtherWeights where a tensor `own` is not that of the file, or where the file has more layers than the network.

    A pooler is left aside: nobody who saves a masked language model saves one, and where it is missing it is not used.
    `prefix`: before the names of whoever saved the network with a head.
    """
    own = set(own)
    besides = {name.removeprefix(f"{prefix}.") for name in told["unexpected_keys"]} - own
    layers = {re.sub(r"\d+", "0", name) for name in own if re.search(r"\d", name)}
    kinds = {
        "lacks": {name for name in told["missing_keys"] if name in own and "pooler" not in name.split(".")},
        "has another shape for": {name for name, *_ in told["mismatched_keys"] if name in own},
        "has more layers than its config.json says:": {name for name in besides if re.sub(r"\d+", "0", name) in layers},
        # a scale of quantised weights, or a bias: the layer would say something else without it
        "has, and its config.json does not ask for,": {name for name in besides if f"{name.rpartition('.')[0]}.weight" in own},
    }
    for kind, names in kinds.items():
        if names:
            raise OtherWeights(
                f"networks.{network.name}: {network.weights} {kind} '{min(names)}' ({len(names)} of {len(own)} tensors); "
                "it would be taught from random numbers: name a folder whose weights fit its config.json"
            )


def without_pooler(config: Any) -> dict[str, bool]:
    """BERT's pooler is never used here, and unused parameters break distributed training."""
    from transformers import MODEL_MAPPING

    kind: Any = MODEL_MAPPING[type(config)]
    accepted = inspect.signature(kind).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def positions(backbone: nn.Module, config: Any) -> int | None:
    """How many tokens the network has positions for; None where it counts distances instead."""
    settings = config.get_text_config()
    most: int | None = getattr(settings, "max_position_embeddings", None)
    if not isinstance(most, int) or most <= 0:
        return None
    for module in backbone.modules():
        # RoBERTa's kind counts from its pad id + 1
        if isinstance(module, nn.Embedding) and module.num_embeddings == most and module.padding_idx is not None:
            return most - module.padding_idx - 1 if most != settings.vocab_size else most
    return most
