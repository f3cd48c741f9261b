"""Where a network's weights come from: a hub id, a local folder, one file, or nowhere (a new network).

Only safetensors and state dicts are read (`torch.load` with `weights_only=True`); code of a model repository is never run.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from fusecat.cache.bounds import GROWTH, at_most
from fusecat.cache.fingerprint import digest
from fusecat.stages.errors import ModelError
from fusecat.stages.extraction.settings import NEW, Network, Pooling
from fusecat.stages.extraction.tensor_names import as_timm

IMAGENET = "imagenet"
"""`weights = "imagenet"`: the weights that pretrainedmodels publishes, from a server with https and a hash."""

IMAGENET_URLS = {
    # The file that pretrainedmodels offers over plain http, in timm's release: the same 384 keys and shapes.
    "se_resnext50_32x4d": "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/"
    "legacy_se_resnext50_32x4d-f3651bad.pth",
}
MODEL_FILES = (
    "*.safetensors",
    "*.bin",
    "*.pth",
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "special_tokens_map.json",
)


FILES = (".safetensors", ".bin", ".pth", ".pt", ".zip", ".json")
"""How the names of files end; of hub ids none does."""

SENTENCE_FILES = ("modules.json", "config_sentence_transformers.json", "*/config.json", "*/*.safetensors", "*/*.bin")
"""What besides decides a vector where the model's own pooling is asked for."""


def identity(network: Network) -> str:
    """What the recipe says of the weights before anything is loaded: `new`, hub id@revision, or a digest of files."""
    path = Path(network.weights)
    if network.weights != NEW and path.exists():
        more = SENTENCE_FILES if network.pooling is Pooling.MODEL else ()
        return f"sha256:{files_digest(path, (*MODEL_FILES, *more))}"
    return f"{network.weights}@{network.revision}" if network.revision else network.weights


def files_digest(path: Path, patterns: Sequence[str] = MODEL_FILES) -> str:
    """SHA-256 over the names and contents of a model folder's files, or of one file."""
    if path.is_file():
        return digest(path)
    files = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
    if not files:
        raise ModelError(f"{path}: no weights in this folder (*.safetensors) and no config.json")
    return digest({file.relative_to(path).as_posix(): digest(file) for file in files})


def tensors_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of a state dict: the provenance written into every feature file."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def are_here(network: Network) -> bool:
    """Whether the weights lie on this machine, or are to be drawn. Raises ModelError where they can be nowhere else."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    if network.weights == NEW or Path(network.weights).exists():
        return True
    if network.weights == IMAGENET:
        _imagenet_url(network)
        return False
    try:
        validate_repo_id(network.weights)
        if not network.weights.endswith(FILES):
            return False
    except HFValidationError:
        pass
    name = network.name
    raise ModelError(
        f"networks.{name}: there is no file or folder {network.weights}, and no hub id is called so; pass --weights {name}=PATH"
    )


def hub_source(network: Network) -> str:
    """The folder or hub id that transformers is to load, with a one-line remedy where a folder is not one."""
    path = Path(network.weights)
    if path.is_file():
        raise ModelError(
            f"networks.{network.name}: weights {path} is a file; a network of transformers needs the folder that holds its "
            "config.json too"
        )
    if (path / "snapshots").is_dir() and not (path / "config.json").exists():
        raise ModelError(f"networks.{network.name}: {path} is a hub's cache; name the folder in its 'snapshots'")
    if (path / ADAPTER).is_file():
        raise adapter(str(path))
    return str(path) if path.is_dir() else network.weights


ADAPTER = "adapter_config.json"


def adapter(source: str) -> ModelError:
    """The refusal of a folder or a hub id that holds one."""
    return ModelError(
        f"{source} holds an adapter ({ADAPTER}), which leads to another network and may name code; merge it into its "
        "network (peft: merge_and_unload), save that, and name its folder"
    )


def unavailable(network: Network, error: Exception) -> ModelError:
    """One line that says where to put weights that cannot be had, or why those that can are not read."""
    reason = " ".join(str(error).split())[:160]
    name, there = network.name, Path(network.weights).exists()
    if "trust_remote_code" in str(error):
        return ModelError(
            f"networks.{name}: '{network.weights}' brings program code of its own, which is never run; compute its vectors "
            f"with its own library and bring them with 'fusecat import', or pass --weights {name}=FOLDER of a family that "
            "transformers itself knows"
        )
    if type(error).__name__ == "UnpicklingError":
        return ModelError(
            f"networks.{name}: a file of {network.weights} is refused, it holds more than tensors; save them as safetensors"
        )
    way_out = (
        f"Pass --weights {name}=FOLDER that holds a whole network."
        if there
        else f"Download them where there is a network, then pass --weights {name}=PATH (folder or file)."
    )
    return ModelError(
        f"networks.{name}: the weights '{network.weights}' cannot be had ({type(error).__name__}: {reason}). {way_out}"
    )


def load_image_weights(backbone: nn.Module, network: Network, classifiers: Sequence[str]) -> None:
    """Load ImageNet weights, a local file or a hub file into an image backbone.

    `classifiers`: how the names of layers begin that a file may have besides, and that are left aside.

    Raises ModelError where the file cannot be had, its digest differs, or its keys and shapes are not those of the network.
    """
    own = backbone.state_dict()
    state = as_timm(_read_state(network), own)
    beginnings = tuple(f"{name}." for name in classifiers)
    # Files of ImageNet networks carry a classifier that this backbone does not have.
    state = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(beginnings)}
    # A file saved before batch norm counted its batches lacks only these counters.
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    foreign = [name for name in state if name not in own]
    shapes = [name for name in state if name in own and state[name].shape != own[name].shape]
    for kind, names in (("lacks", missing), ("has the unknown", foreign), ("has another shape for", shapes)):
        if names:
            what = f"{kind} '{names[0]}' ({len(names)} in all)"
            raise ModelError(f"networks.{network.name}: the file {network.weights} {what}; it is not a {network.model}")
    backbone.load_state_dict(state, strict=False)


def _read_state(network: Network) -> Mapping[str, Tensor]:
    path = Path(network.weights)
    try:
        if network.weights == IMAGENET:
            return _download_imagenet(network)
        if path.is_dir():
            path = _only_file(path, network)
        if not path.is_file():
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(network.weights, "model.safetensors", revision=network.revision))
    except ModelError:
        raise
    except Exception as error:
        raise unavailable(network, error) from error
    if network.sha256 and digest(path) != network.sha256.lower():
        raise ModelError(f"networks.{network.name}: {path} has the digest {digest(path)}, the preset asks for {network.sha256}")
    return read_state(path)


@contextmanager
def no_larger_than(state: Mapping[str, Tensor]) -> Iterator[None]:
    """What is built meanwhile has hardly more, or larger, parameters than this state: settings cost nothing to write.

    Raises: ValueError, MemoryError or RuntimeError where it would.
    """
    left = 2 * len(state) + 1000

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("its settings ask for more layers than its weights have")

    hook = register_module_parameter_registration_hook(count)
    try:
        with at_most(GROWTH + 4 * sum(tensor.nbytes for tensor in state.values())):
            yield
    finally:
        hook.remove()


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from safetensors or from a `.pth` file (tensors only: anything else in it is refused)."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ModelError(f"{path}: not a readable state dict ({' '.join(str(error).split())[:120]})") from error
    except OSError:
        raise  # a disk's trouble is not the file's
    except Exception as error:
        # torch names the refused class in many lines; the type has no public name in all supported versions.
        raise ModelError(f"{path}: refused, it holds more than tensors; save its state dict as safetensors") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path}: not a state dict (names and tensors)")
    return state


def _download_imagenet(network: Network) -> dict[str, Tensor]:
    url = _imagenet_url(network)
    return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True, progress=False)


def _imagenet_url(network: Network) -> str:
    if network.model not in IMAGENET_URLS:
        name = network.name
        raise ModelError(
            f"networks.{name}: no checked ImageNet weights are known for {network.model}; pass --weights {name}=FILE"
        )
    return IMAGENET_URLS[network.model]


def _only_file(folder: Path, network: Network) -> Path:
    files = next(filter(None, (sorted(folder.glob(kind)) for kind in ("*.safetensors", "*.pth", "*.bin"))), [])
    if len(files) != 1:
        raise ModelError(
            f"networks.{network.name}: {folder} holds {len(files)} weights files, one is needed; name the file itself"
        )
    return files[0]
