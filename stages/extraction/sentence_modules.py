"""`pooling = "model"`: the modules behind the encoder that a sentence-transformers folder lists in its `modules.json`.

Only the kinds below are built, by their names and settings; no class that the file names is ever imported.
Shapes: B products, T tokens, H hidden width, D width of the vector.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusecat.stages.errors import ModelError
from fusecat.stages.extraction.hub import find_file, read_json
from fusecat.stages.extraction.networks import FirstToken, LastToken, MaskedMean
from fusecat.stages.extraction.settings import Network, Pooling
from fusecat.stages.extraction.weights import no_larger_than, read_state

MODULES = "modules.json"
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
        name = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
        if name not in ACTIVATIONS or settings.get("use_residual") or settings.get("module_input_name", VECTOR) != VECTOR:
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


def listed_modules(network: Network) -> list[dict[str, Any]] | None:
    """Kind, path and settings of the modules behind the encoder; None where the weights have no `modules.json`."""
    places = _places(network)
    if places is None:
        return None
    return [
        {"kind": kind, "path": path, "settings": _read(network, f"{path}/config.json", dict) or {} if path else {}}
        for kind, path in places[1:]
    ]


def within(network: Network) -> dict[str, str]:
    """How `from_pretrained` finds the encoder: older folders keep it in one of its own below."""
    places = _places(network) if network.pooling is Pooling.MODEL else None
    return {"subfolder": places[0][1]} if places and places[0][1] else {}


def _places(network: Network) -> list[tuple[str, str]] | None:
    """Kind and folder of every module, the encoder's first. Raises ModelError where one lies elsewhere, or is none."""
    modules = _read(network, MODULES, list)
    if modules is None:
        return None
    try:
        places = [(str(module["type"]).rpartition(".")[2], str(module.get("path", ""))) for module in modules]
        if not places:
            raise ValueError("it lists none")
        for _, path in places:
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise ValueError(f"{path} leads out of the folder")
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise _odd(network, MODULES, error) from error
    return places


def _read(network: Network, name: str, kind: type) -> Any:
    """A JSON file of the weights, None where there is none. Raises ModelError where it holds anything but a `kind`."""
    try:
        found = read_json(network.weights, name, network.revision)
        if found is not None and not isinstance(found, kind):
            raise TypeError(f"a {type(found).__name__}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _odd(network, name, error) from error
    return found


def _odd(network: Network, name: str, error: Exception) -> ModelError:
    return ModelError(
        f"networks.{network.name}: {name} of {network.weights} is not what sentence-transformers writes "
        f"({' '.join(f'{type(error).__name__}: {error}'.split()):.120}); take the file as its makers published it"
    )


def read_pooling(network: Network) -> ModelPooling:
    """The folder's modules with their weights.

    Raises: ModelError where there are none, or one that is not known here.
    """
    described = listed_modules(network)
    if described is None:
        raise ModelError(
            f'networks.{network.name}: pooling = "model" reads modules.json, as sentence-transformers writes it, and '
            f"{network.weights} has none; name the pooling itself"
        )
    try:
        for each in described[1:]:
            if each["kind"] not in LAYERS:
                raise ValueError(f"the module {each['kind']}")
        if not described or (described[0]["settings"].get("include_prompt") is False and network.prefix):
            raise ValueError("a pooling that leaves the prompt out")
        states = [{} if each["kind"] == "Normalize" else _weights(network, each["path"]) for each in described[1:]]
        with no_larger_than({f"{place}.{name}": each for place, one in enumerate(states) for name, each in one.items()}):
            pooling = ModelPooling([{"kind": each["kind"], "settings": each["settings"]} for each in described])
            for layer, state in zip(pooling.layers, states, strict=True):
                layer.load_state_dict(state)
    except (KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        asked = " ".join(str(error).split())[:200]
        raise ModelError(
            f"networks.{network.name}: {network.weights} asks for {asked}, which is not known here; "
            "compute its vectors with sentence-transformers and bring them with 'fusecat import'"
        ) from error
    return pooling


def _weights(network: Network, folder: str) -> dict[str, Tensor]:
    for name in ("model.safetensors", "pytorch_model.bin"):
        path = find_file(network.weights, f"{folder}/{name}", network.revision)
        if path is not None:
            return {key: tensor.float() for key, tensor in read_state(path).items()}
    raise ModelError(f"networks.{network.name}: {network.weights} lists the module {folder} but holds no weights of it")


def own_prefix(network: Network) -> str:
    """What sentence-transformers puts before every text by default: the folder's default prompt."""
    name = "config_sentence_transformers.json"
    settings = _read(network, name, dict) or {}
    try:
        return str((settings.get("prompts") or {}).get(settings.get("default_prompt_name"), ""))
    except (AttributeError, TypeError) as error:
        raise _odd(network, name, error) from error


def refuse_other_pooling(network: Network) -> None:
    """Raise ModelError where nothing is said of the pooling, and the folder's makers did not take the mean."""
    described = listed_modules(network)
    if described is None:
        return
    plain = [each for each in described if each["kind"] != "Normalize"]
    try:
        as_said = len(plain) == 1 and poolings(plain[0]) == ["mean"]
    except (KeyError, ValueError, TypeError):
        as_said = False
    if not as_said:
        kinds = ", ".join(f"{each['kind']} {json.dumps(each['settings']):.60}" for each in plain)
        raise ModelError(
            f"networks.{network.name}: {network.weights} says how its vectors are made (modules.json: {kinds}); "
            'set pooling = "model" to do so, or name another'
        )
