"""What our merges cannot merge. Needs no torch, which their classes do."""

from fusecat.stages.vocabulary import Merge

LARGEST = 20_000
"""Columns of tensor fusion that are still sane: the layer behind it has this many weights per class."""


def refuses(merge: Merge, count: int, width: int) -> str | None:
    """Why `count` vectors of this width cannot be merged by one of our merges, or None: what its class says, without torch."""
    columns = (width + 1) ** count
    if merge is Merge.TENSOR and columns > LARGEST:
        return f"tensor fusion of {count} vectors of {width} would have {columns:,} columns"
    return None
