"""Compare ways of fusing text and image on one product catalogue: extract once, then seconds per strategy.

Names are imported when they are first used: `import fusecat` loads neither torch nor numpy.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusecat.cache.table import FeatureTable
    from fusecat.pipeline.compare import compare
    from fusecat.stages.fusion.estimator import FusionClassifier
    from fusecat.stages.fusion.merges import MergeModule
    from fusecat.stages.prediction import classify, load_model

__all__ = ["FusionClassifier", "MergeModule", "__version__", "classify", "compare", "load_model", "open_features"]
__version__ = "0.2.0"

_HOMES = {
    "FusionClassifier": "fusecat.stages.fusion.estimator",
    "MergeModule": "fusecat.stages.fusion.merges",
    "classify": "fusecat.stages.prediction",
    "compare": "fusecat.pipeline.compare",
    "load_model": "fusecat.stages.prediction",
}

if not (Path(__file__).parent / "stages").is_dir():
    # A checkout whose links became text files (Windows without symbolic links): the linked folders lie beside this one.
    __path__.append(str(Path(__file__).parents[1]))


def open_features(workspace: "str | Path" = "workspace", names: "Sequence[str] | None" = None) -> "FeatureTable":
    """Read features of a workspace (all by default) into memory: ids, labels, split, and one (N, D) array per feature.

    Raises: MissingFeature, DamagedFeature, ForeignFile; MismatchedFeatures where they are not of the same products.
    """
    from fusecat.cache.store import FeatureCache
    from fusecat.stages.workspace import Workspace

    return FeatureCache(Workspace(Path(workspace)).features).table(names)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fusecat' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
