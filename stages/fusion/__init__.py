"""STAGE TWO: `fuse.py` tells it; strategies, heads, merges, late fusion, runs."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusecat.stages.fusion.predictor import Predictor


def load_head(folder: Path, *, merges: Collection[str] = ()) -> "Predictor":
    """Load what a run (`workspace/runs/<strategy>/seed-<n>`) learnt; the members of an ensemble lie in `runs` too.

    `merges`: the merges of one's own, `package.module:Class`, that it may use: no code is run that is not named here.

    Raises: ModelError, UsageError for a merge that is not named.
    """
    # imported here so that the settings and names in this package stay free of torch
    from fusecat.stages.fusion.restore import load

    return load(folder, merges=merges, within=folder.absolute().parents[2])
