"""Features of version 0.1.0 that are not what their recipes say: it taught in half precision, and foreign weights, in silence.

A recipe cannot tell: what was right has the same one, and stays a hit.
"""

import json
from pathlib import Path

from fusecat.cache.layout import Header
from fusecat.stages.errors import ModelError
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.settings import NEW, Library
from fusecat.stages.extraction.text_backbones import OtherWeights, read_backbone

HALF = ("BF16", "F16")
"""As safetensors calls them."""


def taught_wrong(encoder: Encoder, header: Header, path: Path, folder: Path) -> str:
    """Why the feature that is sealed in `path`, whose network lies in `folder`, has to be made anew; empty where it has not.

    Raises: ModelError where the weights that it names cannot be taught at all.
    """
    network = encoder.network
    pretrained = network.library is Library.TRANSFORMERS and network.weights != NEW and not network.is_image
    if not pretrained or not header.versions.get("fusecat", "0.1").startswith("0.1."):
        return ""
    kept = folder / "network.safetensors"
    if kept.is_file() and any(tensor.get("dtype") in HALF for tensor in _tensors(kept)):
        return "version 0.1.0 taught it in half precision, where small steps are lost"
    try:
        read_backbone(network)
    except OtherWeights as error:
        raise ModelError(f"{error} So version 0.1.0 made {encoder.feature}: remove {path}, it is of no use") from error
    except ModelError:
        return ""  # weights that are out of reach say nothing against what was made of them
    return ""


def _tensors(path: Path) -> list[dict[str, object]]:
    """What a safetensors file says of each tensor; nothing is loaded. A file that says nothing readable has none."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            found = json.loads(file.read(min(size, path.stat().st_size)))
        except ValueError:
            return []
    return [value for name, value in found.items() if name != "__metadata__" and isinstance(value, dict)]
