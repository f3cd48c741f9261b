"""What a run's head is on disk: arrays in `head.safetensors`, everything else in readable `head.json`. No pickle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fusecat.cache.errors import DamagedFile
from fusecat.cache.fingerprint import digest
from fusecat.cache.publish import publish
from fusecat.cache.records import damaged, read_record, write_record
from fusecat.stages.errors import ModelError
from fusecat.stages.fusion.strategy import Strategy

WEIGHTS = "head.safetensors"
DESCRIPTION = "head.json"
WAY_OUT = "run 'fusecat fuse' again (a refitted head: 'fusecat refit', an exported one: 'fusecat export')"
DIGEST = "weights"
"""The key of the arrays' SHA-256 in the description."""


def write(
    folder: Path, kind: str, strategy: Strategy, classes: Sequence[str], arrays: Mapping[str, NDArray[Any]], **more: Any
) -> Path:
    """Write both files; the description holds the digest of the arrays, and `more`. Returns the folder."""
    description = {"kind": kind, "strategy": strategy.name, "classes": list(classes), **more}
    weights = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    publish(folder / WEIGHTS, weights)
    write_record(folder / DESCRIPTION, {**description, DIGEST: digest(weights)})
    return folder


def read(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Description and arrays. Raises ModelError where they are missing, DamagedFile where they are not as they were written."""
    if not (folder / DESCRIPTION).is_file() or not (folder / WEIGHTS).is_file():
        raise ModelError(f"{folder} holds no trained head ({DESCRIPTION} and {WEIGHTS}); {WAY_OUT}")
    description = read_record(folder / DESCRIPTION, WAY_OUT)
    weights = (folder / WEIGHTS).read_bytes()
    if description.pop(DIGEST, None) not in (None, digest(weights)):
        raise damaged(folder / WEIGHTS, "not what was written", WAY_OUT)
    try:
        return description, load(weights)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder / WEIGHTS, str(error), WAY_OUT) from error


def unusable(folder: Path, error: Exception) -> DamagedFile:
    """The error of a head whose description makes no sense."""
    return damaged(folder / DESCRIPTION, f"the trained head cannot be read, {type(error).__name__}: {error}", WAY_OUT)
