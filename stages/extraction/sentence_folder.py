"""`pooling = "model"`: what a folder of sentence-transformers says of its encoder, and of the modules behind it.

No class that its files name is ever imported: what `sentence_modules` does not know is refused.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.hub import find_file, read_json
from fusecat.stages.extraction.sentence_modules import LAYERS, VECTOR, ModelPooling, poolings
from fusecat.stages.extraction.settings import Network, Pooling
from fusecat.stages.extraction.weights import no_larger_than, read_state

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
"""Prompts, and what holds for the whole."""
SETTINGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Beside the encoder: how sentence-transformers feeds it. The first that is there."""
HARMLESS = {
    "attn_implementation", "torch_dtype", "dtype", "device_map", "low_cpu_mem_usage", "use_safetensors", "use_cache",
    "use_fast", "add_pooling_layer", "unpad_inputs", "use_memory_efficient_attention", "trust_remote_code",
    "output_hidden_states", "padding", "padding_side", "truncation", "max_length", "model_max_length", "return_tensors",
}  # fmt: skip
"""Of what these settings hand to transformers: what changes no vector of a text that is no longer than `length`."""


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
        places = [(_kind(str(module["type"])), str(module.get("path", ""))) for module in modules]
        if not places:
            raise ValueError("it lists none")
        for _, path in places:
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise ValueError(f"{path} leads out of the folder")
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise _odd(network, MODULES, error) from error
    return places


def _kind(path: str) -> str:
    """The class of a module; of other people's modules all of its path, which is known nowhere here."""
    package, _, name = path.rpartition(".")
    return name if package.partition(".")[0] == "sentence_transformers" else path


def encoder_settings(network: Network) -> dict[str, Any]:
    """How the folder feeds its encoder; empty where it says nothing. Raises ValueError where it does what is not known here."""
    places = _places(network) or [("Transformer", "")]
    kind, folder = places[0]
    if kind != "Transformer":
        raise ValueError(f"the module {kind}")
    found = (_read(network, f"{folder}/{name}".lstrip("/"), dict) for name in SETTINGS)
    settings: dict[str, Any] = next(filter(None, found), {})
    usual = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
    odd = {key: settings[key] for key, value in usual.items() if settings.get(key, value) != value}
    if cut := (_read(network, PROMPTS, dict) or {}).get("truncate_dim"):
        odd["truncate_dim"] = cut
    reads = dict(settings.get("modality_config") or {})
    text = reads.get("text", {"method": "forward", "method_output_name": "last_hidden_state"})
    if "message" in reads or (text["method"], text["method_output_name"]) != ("forward", "last_hidden_state"):
        odd["modality_config"] = reads
    calls = settings.get("processing_kwargs") or {}
    handed = {f"processing_kwargs.{key}": calls.get(key) for key in ("text", "common")}
    handed |= {key: settings.get(key) for key in settings if key.endswith(("_args", "_kwargs")) and key != "processing_kwargs"}
    odd |= {key: value for key, value in handed.items() if not set(value or {}) <= HARMLESS}
    if odd:
        raise ValueError(f"{json.dumps(odd):.150} in its settings")
    return settings


def refuse_other_reading(network: Network) -> None:
    """Raise ModelError where the folder feeds its encoder in a way that is not known here."""
    try:
        encoder_settings(network)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unknown(network, error) from error


def refuse_other_case(network: Network, tokenizer: Any) -> None:
    """Raise UsageError where the folder asks for small letters, and neither its tokenizer nor the preset makes them."""
    made = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    lowers = made is not None and "A" not in made.normalize_str("A")
    if encoder_settings(network).get("do_lower_case") and not (network.lowercase or lowers):
        raise UsageError(
            f"networks.{network.name}: {network.weights} puts texts in small letters first (do_lower_case), its tokenizer does "
            "not; set lowercase = true"
        )


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
            names = {each["settings"].get(f"module_{end}_name") or VECTOR for end in ("input", "output")}
            if each["kind"] not in LAYERS or names != {VECTOR}:
                raise ValueError(f"the module {each['kind']} of {', '.join(sorted(names))}")
        if not described:
            raise ValueError("no pooling")
        if described[0]["settings"].get("include_prompt") is False and network.prefix:
            raise ValueError("a pooling that leaves the prompt out")
        states = [{} if each["kind"] == "Normalize" else _weights(network, each["path"]) for each in described[1:]]
        with no_larger_than({f"{place}.{name}": each for place, one in enumerate(states) for name, each in one.items()}):
            pooling = ModelPooling([{"kind": each["kind"], "settings": each["settings"]} for each in described])
            for layer, state in zip(pooling.layers, states, strict=True):
                layer.load_state_dict(state)
    except (KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise _unknown(network, error) from error
    return pooling


def _unknown(network: Network, error: Exception) -> ModelError:
    asked = " ".join(str(error).split())[:200]
    return ModelError(
        f"networks.{network.name}: {network.weights} asks for {asked}, which is not known here; "
        "compute its vectors with sentence-transformers and bring them with 'fusecat import'"
    )


def _weights(network: Network, folder: str) -> dict[str, Tensor]:
    for name in ("model.safetensors", "pytorch_model.bin"):
        path = find_file(network.weights, f"{folder}/{name}", network.revision)
        if path is not None:
            return {key: tensor.float() for key, tensor in read_state(path).items()}
    raise ModelError(f"networks.{network.name}: {network.weights} lists the module {folder} but holds no weights of it")


def own_prefix(network: Network) -> str:
    """What sentence-transformers puts before every text by default: the folder's default prompt."""
    settings = _read(network, PROMPTS, dict) or {}
    try:
        return str((settings.get("prompts") or {}).get(settings.get("default_prompt_name"), ""))
    except (AttributeError, TypeError) as error:
        raise _odd(network, PROMPTS, error) from error


def refuse_other_pooling(network: Network) -> None:
    """Raise ModelError where nothing is said of the pooling, and the folder's makers did not take the mean."""
    described = listed_modules(network)
    if described is None:
        return
    plain = [each for each in described if each["kind"] != "Normalize"]
    try:
        as_said = len(plain) == 1 and poolings(plain[0]) == ["mean"]
        as_said = as_said and not own_prefix(network) and not encoder_settings(network).get("do_lower_case")
    except (AttributeError, KeyError, ValueError, TypeError):
        as_said = False
    if not as_said:
        kinds = ", ".join(f"{each['kind']} {json.dumps(each['settings']):.60}" for each in plain)
        raise ModelError(
            f"networks.{network.name}: {network.weights} says how its vectors are made (modules.json: {kinds}); "
            'set pooling = "model" to do so, or name another'
        )
