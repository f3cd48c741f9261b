"""How many products of each class a part gets, and which: the arithmetic of the split."""

import hashlib
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stages.vocabulary import Part, Protocol

TEST = Fraction(20, 100)
VALIDATION_OF_REST = Fraction(15, 100)
VALIDATION_WITHOUT_TEST = Fraction(10, 100)
ORDER = (Part.TEST, Part.VALIDATION, Part.HEAD, Part.TRAIN)
"""The order in which parts are filled; train takes what is left."""


def quotas(counts: NDArray[np.integer], protocol: Protocol, head_share: float) -> NDArray[np.int64]:
    """(parts in `ORDER`, C) products wanted of each class: a class of one is train's, from three on each part gets one."""
    total = int(counts.sum())
    test = _up(total * TEST) if protocol is Protocol.TEST_20 else 0
    validation = _up((total - test) * VALIDATION_OF_REST) if test else _up(total * VALIDATION_WITHOUT_TEST)
    head = round((total - test - validation) * head_share)
    left = counts.astype(np.int64)
    wanted = []
    for size, others in ((test, 2), (validation, 1), (head, 1)):
        share = _apportion(left, size, others)
        wanted.append(share)
        left = left - share
    return np.stack([*wanted, left])


def _apportion(counts: NDArray[np.int64], size: int, others: int) -> NDArray[np.int64]:
    """Divide `size` among classes in proportion to `counts`, by largest remainder.

    A class of more than `others` members gives one at least; none gives its last.
    """
    if size == 0:
        return np.zeros_like(counts)
    ideal = counts * size / counts.sum()
    most = np.maximum(counts - 1, 0)
    share: NDArray[np.int64] = np.minimum(np.maximum(np.floor(ideal).astype(np.int64), counts > others), most)
    for number in sorted(range(len(counts)), key=lambda number: (share[number] - ideal[number], number)):
        if share.sum() >= size:
            break
        share[number] += share[number] < most[number]
    return share


def _up(value: Fraction) -> int:
    """Round up."""
    return -(-value.numerator // value.denominator)


def _dice(seed: int, identity: str) -> int:
    """A number below 2 ** 64 that only seed and id decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x00{identity}".encode()).digest()[:8], "big")


def assign(
    ids: Sequence[str], labels: NDArray[np.int32], groups: NDArray[np.intp], wanted: NDArray[np.int64], seed: int
) -> Iterable[tuple[int, Part]]:
    """(row, part) of every labelled product: groups first, the largest first, then single products fill what is left."""
    left = wanted.copy()
    dice = {row: _dice(seed, ids[row]) for row in np.flatnonzero(labels >= 0).tolist()}
    members: dict[int, list[int]] = {}
    for row in sorted(dice, key=lambda row: (dice[row], ids[row])):
        members.setdefault(int(groups[row]), []).append(row)
    for group in sorted((group for group in members.values() if len(group) > 1), key=len, reverse=True):
        need = np.bincount(labels[group], minlength=wanted.shape[1])
        fits = (left >= need).all(axis=1)
        # proportional to the room that is left, so that duplicates are spread like everything else
        room = np.where(fits, (left * need).sum(axis=1), 0)
        number = len(ORDER) - 1
        if room.any():
            number = int(np.searchsorted(np.cumsum(room), dice[group[0]] * int(room.sum()) >> 64, side="right"))
        left[number] -= need
        yield from ((row, ORDER[number]) for row in group)
    for group in members.values():
        if len(group) == 1:
            number = int(np.flatnonzero(left[:, labels[group[0]]] > 0)[0])
            left[number, labels[group[0]]] -= 1
            yield group[0], ORDER[number]
