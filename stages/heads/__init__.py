"""Stage two's modules: merges, heads, their fit and what they predict."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.heads.saved import TrainedHead


def load_head(folder: Path) -> "TrainedHead":
    """The trained head of a run folder (`workspace/runs/<strategy>/seed-<n>`). Raises ModelError where there is none."""
    # imported here so that the settings and names in this package stay free of torch
    from stages.heads.saved import load_head as load

    return load(folder)
