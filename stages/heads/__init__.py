"""Stage two's modules: merges, heads, their fit and what they predict."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.heads.saved import Predictor


def load_head(folder: Path) -> "Predictor":
    """Load what a run (`workspace/runs/<strategy>/seed-<n>`) learnt, whatever its strategy. Raises ModelError."""
    # imported here so that the settings and names in this package stay free of torch
    from stages.heads.saved import load

    return load(folder)
