"""What our merges cannot merge, and what would take hours. Needs no torch, which their classes do."""

from fusecat.stages.vocabulary import Late, Merge

LARGEST = 20_000
"""Columns of tensor fusion that are still sane: the layer behind it has this many weights per class."""


def refuses(merge: Merge, count: int, width: int) -> str | None:
    """Why `count` vectors of this width cannot be merged by one of our merges, or None: what its class says, without torch."""
    columns = (width + 1) ** count
    if merge is Merge.TENSOR and columns > LARGEST:
        return f"tensor fusion of {count} vectors of {width} would have {columns:,} columns"
    return None


SECONDS = {Late.LIGHTGBM: 70e-9, Late.LOGISTIC: 10e-9}
"""Of one core, per product, feature and class squared: a tree, or a row of weights, per class, each over the columns of all
classes. Measured on 4,000 and 8,000 products of 27 to 400 classes; of few classes it is more, and does not matter."""
PATIENCE = 3600.0
"""Seconds of one run beyond which it is left out. Of 1,000 classes and two features, 5,000 products of validation take trees as
long, 36,000 the logistic regression."""


def takes_hours(late: Late, products: int, features: int, classes: int) -> str | None:
    """Why a late fusion is not fitted on so many products, or None: it would run for hours and say nothing meanwhile."""
    seconds = SECONDS.get(late, 0.0) * products * features * classes**2
    if seconds <= PATIENCE:
        return None
    return f"{late} of {classes:,} classes learns for about {seconds / 3600:,.0f} hours, its cost grows with their square"
