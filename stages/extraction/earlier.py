"""Features of version 0.1.0 that are not what their recipes say: it taught in half precision, and foreign weights, in silence.

A recipe cannot tell: what was right has the same one, and stays a hit.
"""

from pathlib import Path

from fusecat.cache.layout import Header
from fusecat.cache.records import damaged
from fusecat.stages.errors import ModelError
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.settings import NEW, Library
from fusecat.stages.extraction.text_backbones import OtherWeights, read_backbone

HALF = frozenset({"BF16", "F16"})
"""As safetensors calls them."""


def taught_wrong(encoder: Encoder, header: Header, path: Path, folder: Path) -> str:
    """Why the feature that is sealed in `path`, whose network lies in `folder`, has to be made anew; empty where it has not.

    Raises: ModelError where the weights that it names cannot be taught at all, DamagedFile where those in
    `folder` cannot be read.
    """
    network = encoder.network
    pretrained = network.library is Library.TRANSFORMERS and network.weights != NEW and not network.is_image
    if not pretrained or not header.versions.get("fusecat", "0.1").startswith("0.1."):
        return ""
    kept = folder / "network.safetensors"
    if kept.is_file() and not HALF.isdisjoint(_types(kept, path)):
        return "version 0.1.0 taught it in half precision, where small steps are lost"
    try:
        read_backbone(network)
    except OtherWeights as error:
        raise ModelError(f"{error} So version 0.1.0 made {encoder.feature}: remove {path}, it is of no use") from error
    except ModelError:
        return ""  # weights that are out of reach say nothing against what was made of them
    return ""


def _types(path: Path, made: Path) -> set[str]:
    """How safetensors calls the types of a file's tensors; nothing is loaded. `made`: the feature that it made.

    Raises: DamagedFile where the file says nothing readable.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    except SafetensorError as error:
        way_out = f"remove it and {made}, and 'fusecat extract' makes both anew"
        raise damaged(path, str(error), way_out) from error
