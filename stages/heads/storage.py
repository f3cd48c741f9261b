"""What a run's head is on disk: arrays in `head.safetensors`, everything else in readable `head.json`. No pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from stages.errors import ModelError

WEIGHTS = "head.safetensors"
DESCRIPTION = "head.json"


def write(folder: Path, description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write both files, each under a temporary name first. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / f"{WEIGHTS}.part")
    os.replace(folder / f"{WEIGHTS}.part", folder / WEIGHTS)
    partial = folder / f"{DESCRIPTION}.part"
    partial.write_text(json.dumps(dict(description), indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(partial, folder / DESCRIPTION)
    return folder


def read(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Description and arrays. Raises ModelError where they are missing or damaged."""
    if not (folder / DESCRIPTION).is_file() or not (folder / WEIGHTS).is_file():
        message = f"{folder} holds no trained head ({DESCRIPTION} and {WEIGHTS}); run 'fusecat fuse' again"
        raise ModelError(message)
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return description, load_file(folder / WEIGHTS)
    except (SafetensorError, ValueError) as error:
        message = f"{folder}: the trained head cannot be read ({error}); run 'fusecat fuse' again"
        raise ModelError(message) from error
