"""Which fold a training product falls into.

Shapes: N products.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stratified_group_folds(
    ids: Sequence[str], labels: NDArray[np.int32], groups: NDArray[np.intp], rows: NDArray[np.intp], count: int, seed: int
) -> NDArray[np.int8]:
    """(N,) fold of each of `rows`, -1 elsewhere: stratified by class, each group of duplicates in one fold.

    Groups are dealt first, the largest first, then single products; each goes to the fold that has fewest of its classes. Like
    the split's, the dice are SHA-256 of seed and id: neither the order of the rows nor a library's version matters.
    """
    folds = np.full(len(ids), -1, np.int8)
    dice = {row: hashlib.sha256(f"{seed}\x00fold\x00{ids[row]}".encode()).digest() for row in rows.tolist()}
    members: dict[int, list[int]] = {}
    for row in sorted(dice, key=lambda row: dice[row]):
        members.setdefault(int(groups[row]), []).append(row)
    dealt = np.zeros((count, int(labels.max()) + 1), np.int64)
    for group in sorted(members.values(), key=len, reverse=True):  # a stable sort: equals stay in the order of the dice
        own = labels[group]
        fold = min(range(count), key=lambda number: (dealt[number, own].sum(), dealt[number].sum(), number))
        folds[group] = fold
        np.add.at(dealt[fold], own, 1)
    return folds
