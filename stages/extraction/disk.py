"""What features take on the disk, reckoned before there are any: of a hub's network the width is known once it is loaded."""

from collections.abc import Sequence

from fusecat.cache.store import FeatureCache
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.settings import Library, Network, Pooling
from fusecat.stages.workspace import Workspace

TEXT, IMAGE = 768, 2048
"""Widths of base-size networks."""


def disk_needed(study: Study, chosen: Sequence[Encoder], workspace: Workspace) -> int:
    """Bytes of the features that are not there, and the blocks of one, until it is sealed."""
    cache = FeatureCache(workspace.features)
    sizes = [feature_bytes(encoder, study) for encoder in chosen if not cache.path(encoder.feature).exists()]
    return sum(sizes) + max(sizes, default=0)


def feature_bytes(encoder: Encoder, study: Study) -> int:
    """Bytes of a feature file."""
    width = _likely_width(encoder.network) * (2 if encoder.extraction.storage == "float16" else 4)
    logits = 4 * len(study.rows.classes) * (2 if encoder.extraction.folds else 1)
    return len(study.rows.ids) * (width + logits)


def _likely_width(network: Network) -> int:
    if network.is_image:
        return IMAGE
    if network.pooling is Pooling.FLATTEN or network.library is Library.SCIKIT_LEARN:
        return network.width
    said = network.shape.get("hidden_size", network.shape.get("emb_dim"))
    return said if isinstance(said, int) else TEXT
