"""Modules that sentence-transformers puts behind an encoder, built by their names and settings.

Shapes: B products, T tokens, H hidden width, D width of the vector.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.extraction.networks import FirstToken, LastToken, MaskedMean

ACTIVATIONS = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "Sigmoid": nn.Sigmoid,
}
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""How older folders say the poolings below, in the order in which they are put side by side."""


def _max(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(1).values


def _mean_sqrt(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1).sqrt()


def _weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": FirstToken(),
    "max": _max,
    "mean": MaskedMean(),
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "lasttoken": LastToken(),
}
"""(B, T, H) hidden states and (B, T) mask -> (B, H), named as sentence-transformers names them."""


class Dense(nn.Module):
    """A layer that sentence-transformers puts behind the pooling: (B, H) -> (B, D)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        path = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh"))
        name = path.removeprefix("torch.nn.modules.").rpartition(".")[2] if path.startswith("torch.nn.modules.") else path
        if name not in ACTIVATIONS or settings.get("use_residual"):
            raise ValueError(f"a dense layer with the settings {json.dumps(dict(settings)):.200}")
        self.linear = nn.Linear(int(settings["in_features"]), int(settings["out_features"]), bool(settings.get("bias", True)))
        self.activation = ACTIVATIONS[name]()

    def forward(self, vector: Tensor) -> Tensor:
        """(B, H) -> (B, D)."""
        found: Tensor = self.activation(self.linear(vector))
        return found


VECTOR = "sentence_embedding"
"""What sentence-transformers calls the vector on its way through the modules."""


class LayerNorm(nn.Module):
    """(B, D) -> (B, D)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(int(settings["dimension"]))

    def forward(self, vector: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        found: Tensor = self.norm(vector)
        return found


class Normalize(nn.Module):
    """Length 1: (B, D) -> (B, D)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:  # noqa: ARG002
        super().__init__()

    def forward(self, vector: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return F.normalize(vector)


LAYERS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {"Dense": Dense, "LayerNorm": LayerNorm, "Normalize": Normalize}


class ModelPooling(nn.Module):
    """The poolings of a folder side by side, then its layers. `description`: kind and settings of each, as JSON has them."""

    def __init__(self, description: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.description = list(description)
        self.modes = poolings(description[0])
        self.layers = nn.ModuleList([LAYERS[each["kind"]](each["settings"]) for each in description[1:]])

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`hidden` (B, T, H), `mask` (B, T) -> (B, D)."""
        vector = torch.cat([POOLINGS[mode](hidden, mask) for mode in self.modes], 1)
        for layer in self.layers:
            vector = layer(vector)
        return vector


def poolings(described: Mapping[str, Any]) -> list[str]:
    """Which poolings a module stands for. Raises ValueError for one that is not known, KeyError where it is none."""
    settings = described["settings"]
    modes = settings.get("pooling_mode") or [mode for flag, mode in FLAGS.items() if settings.get(flag)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if described["kind"] != "Pooling" or not modes or not set(modes) <= set(POOLINGS):
        raise ValueError(f"the pooling {described['kind']} {modes}")
    return modes
