"""Image networks of timm, by name: the pixels that they see, and their backbones.

Shapes: B products, D width of the vector.
"""

import inspect
import json
import math
from pathlib import Path
from typing import Any

from torch import nn

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.hub import read_json
from fusecat.stages.extraction.pixels import three
from fusecat.stages.extraction.settings import NEW, Crop, Interpolation, Network
from fusecat.stages.extraction.weights import load_image_weights, unavailable


def pixels(network: Network) -> dict[str, Any]:
    """`resolve_model_data_config` of these weights, without building the model; an `img_size` of the shape goes before it."""
    try:
        from timm import data
    except ImportError as error:
        raise UsageError(f"networks.{network.name}: timm is not installed; run 'pip install fusecat[timm]'") from error
    resolve: Any = data.resolve_data_config  # type: ignore[attr-defined]
    known = _of_weights(network) or _of_name(network.model, network)
    if not known:
        return {}
    said = resolve(pretrained_cfg=known)
    channels, height, width = said["input_size"]
    size = network.shape.get("img_size", max(height, width))
    size = max(size) if isinstance(size, list | tuple) else int(size)
    squash = said["crop_mode"] != "center" or height != width
    if said["crop_mode"] == "border" and network.crop is None:
        raise ModelError(f"networks.{network.name}: {network.weights} was taught on images with a border; set crop yourself")
    colours = {"mean": three(said["mean"]), "std": three(said["std"])} if channels == 3 else {}
    return {
        "size": size,
        "resize": size if squash else math.floor(size / said["crop_pct"]),
        "crop": Crop.SQUASH if squash else Crop.CENTER,
        "interpolation": _interpolation(said["interpolation"]),
    } | colours


def _of_name(name: str, network: Network | None) -> dict[str, Any]:
    """What timm's own list says of a name, with its tag or the first of its tags; nothing of a name that it does not know.

    Raises: UsageError for an unknown tag of this network's.
    """
    from timm import models

    try:
        found: Any = models.get_pretrained_cfg(name)
    except RuntimeError as error:
        if network is None:
            return {}
        raise UsageError(f"networks.{network.name}: timm: {error}") from error
    return {} if found is None else dict(found.to_dict())


def _of_weights(network: Network) -> dict[str, Any]:
    """What is said of the pixels of these weights; nothing where nobody says it.

    Raises: ModelError where they are those of another network, or of one built otherwise.
    """
    said, usual = _said(network), _of_name(network.model, network)
    own, architecture = usual.get("architecture"), said.get("architecture")
    if own and architecture and architecture != own:
        raise ModelError(
            f"networks.{network.name}: {network.weights} is a '{architecture}', not a '{network.model}'; set model = "
            f'"{architecture}"'
        )
    built = dict(said.get("model_args") or {})
    unsaid = {"in_chans": 3, "img_size": list(usual.get("input_size", ()))[1:]} | dict(network.shape)
    odd = {
        key: value
        for key, value in built.items()
        if key not in ("num_classes", "global_pool") and "drop" not in key and _sizes(unsaid.get(key)) != _sizes(value)
    }
    if odd:
        raise _built_otherwise(network, odd)
    return dict(said.get("pretrained_cfg") or said)


def _sizes(value: Any) -> Any:
    """A pair of equal numbers is that number: so does timm, which saves pairs."""
    pair = list(value) if isinstance(value, list | tuple) else [value, value]
    return pair[0] if len(pair) == 2 and pair[0] == pair[1] else pair


def _built_otherwise(network: Network, settings: dict[str, Any]) -> ModelError:
    shape = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    return ModelError(
        f"networks.{network.name}: {network.weights} was built otherwise (its config.json); set shape = {{ {shape:.200} }}"
    )


def _said(network: Network) -> dict[str, Any]:
    """What lies beside the weights (`config.json`, as timm saves it), or timm's list says of the tag in their hub id.

    The same network was taught on other pixels from tag to tag, and a near relation has the same tensors.
    """
    if network.weights == NEW:
        return {}
    path, (owner, _, name) = Path(network.weights), network.weights.partition("/")
    listed = {} if owner != "timm" or path.exists() or "." not in name else _of_name(name, None)
    return listed or _beside(path, network)


def _beside(path: Path, network: Network) -> dict[str, Any]:
    """The configuration of a hub id, of a folder, or of the folder that a file lies in; empty where it is not timm's."""
    folder = str(path.parent) if path.is_file() else network.weights
    try:
        found = read_json(folder, "config.json", network.revision)
    except (OSError, ValueError) as error:
        raise unavailable(network, error) from error
    return found if isinstance(found, dict) and "architecture" in found else {}


def _interpolation(name: str) -> Interpolation:
    return Interpolation(name) if name in set(Interpolation) else Interpolation.BICUBIC


def backbone(network: Network, config: Path | None, *, load: bool) -> tuple[nn.Module, None]:  # noqa: ARG001
    """A model of timm's own list whose output is its own pooled vector (B, D)."""
    module = _named(network)
    if load and network.weights != NEW:
        pool, own = (_said(network).get("model_args") or {}).get("global_pool"), _pool_of(module)
        if pool and own and pool != own:
            raise _built_otherwise(network, {"global_pool": pool})
        classifiers = module.pretrained_cfg.get("classifier") or ()
        classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
        load_image_weights(module, network, (*classifiers, "fc", "classifier", "head"))
    return module, None


def _pool_of(module: Any) -> str | None:
    """The name of the pooling of a network, where timm keeps it."""
    head = getattr(module, "head", None)
    kept = (getattr(head, "global_pool", None), getattr(head, "pool_type", None), getattr(module, "global_pool", None))
    names = (getattr(each, "pool_type", each) for each in kept)
    return next((name for name in names if isinstance(name, str)), None)


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
