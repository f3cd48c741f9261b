"""A workspace with sealed features but without stage one."""

from pathlib import Path

from fusecat.cache.store import FeatureCache
from fusecat.cache.table import FeatureTable
from fusecat.cache.writing import Rows


def seal(table: FeatureTable, workspace: Path, dtype: str = "float16") -> Path:
    """Write the features of a table where `fusecat fuse --workspace` looks for them."""
    rows = Rows(list(table.ids), table.labels, table.split, table.classes, table.parts)
    cache = FeatureCache(workspace / "features")
    for feature in table.features.values():
        writer = cache.writer(feature.name, {"made": "by a test"}, rows)
        for block, span in writer.missing():
            part = slice(span.start, span.stop)
            logits = None if feature.logits is None else feature.logits[part]
            writer.put(block, feature.embedding[part], logits, feature.present[part])
        writer.seal(weights="none", fitted_on=feature.fitted_on, versions={}, dtype=dtype)
    return workspace
