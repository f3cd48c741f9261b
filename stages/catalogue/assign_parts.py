"""How many products of each class a part gets, and which: the arithmetic of the split."""

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.vocabulary import Part, SplitProtocol

TEST = Fraction(20, 100)
VALIDATION_OF_REST = Fraction(15, 100)
VALIDATION_WITHOUT_TEST = Fraction(10, 100)
ORDER = (Part.TEST, Part.VALIDATION, Part.HEAD, Part.TRAIN)
"""The order in which parts are filled; train takes what is left."""


def assign_parts(
    ids: Sequence[str],
    labels: NDArray[np.int32],
    groups: NDArray[np.intp],
    *,
    protocol: SplitProtocol,
    head_share: float,
    seed: int,
) -> Iterator[tuple[int, Part]]:
    """(row, part) of every labelled product: groups first, the largest first, then single products fill what is left.

    `labels` (N,): -1 for no label. Only which products share a class matters, not what the class is called.
    """
    dice = {row: _dice(seed, ids[row]) for row in np.flatnonzero(labels >= 0).tolist()}
    thrown = sorted(dice, key=lambda row: (dice[row], ids[row]))
    wanted = _quotas(labels, thrown, protocol, head_share)
    members: dict[int, list[int]] = {}
    for row in thrown:
        members.setdefault(int(groups[row]), []).append(row)
    left = wanted.copy()
    for group in sorted((group for group in members.values() if len(group) > 1), key=len, reverse=True):
        need = np.bincount(labels[group], minlength=wanted.shape[1])
        room = np.cumsum(_room(left, need, learned=(wanted - left)[-1]))
        number = int(np.searchsorted(room, dice[group[0]] * int(room[-1]) >> 64, side="right")) if room[-1] else len(ORDER) - 1
        left[number] -= need
        yield from ((row, ORDER[number]) for row in group)
    rest = left.T.tolist()
    for group in members.values():
        if len(group) == 1:
            open_parts = rest[labels[group[0]]]
            number = next(number for number, count in enumerate(open_parts) if count > 0)
            open_parts[number] -= 1
            yield group[0], ORDER[number]


def _quotas(labels: NDArray[np.int32], thrown: Sequence[int], protocol: SplitProtocol, head_share: float) -> NDArray[np.int64]:
    """(parts in `ORDER`, C) products wanted of each class: a class of one is train's, from three on each part gets one."""
    left = np.bincount(labels[thrown]).astype(np.int64)
    total = len(thrown)
    test = ceil(total * TEST) if protocol is SplitProtocol.TEST_20 else 0
    validation = ceil((total - test) * VALIDATION_OF_REST) if test else ceil(total * VALIDATION_WITHOUT_TEST)
    head = round((total - test - validation) * head_share)
    ties = np.full(len(left), total)  # classes by their first product in the order of the dice
    np.minimum.at(ties, labels[thrown], np.arange(total))
    wanted = []
    for size, others in ((test, 2), (validation, 1), (head, 1)):
        share = _apportion(left, size, others, ties)
        wanted.append(share)
        left = left - share
    return np.stack([*wanted, left])


def _apportion(counts: NDArray[np.int64], size: int, others: int, ties: NDArray[np.intp]) -> NDArray[np.int64]:
    """Divide `size` among classes in proportion to `counts`, by largest remainder.

    A class of more than `others` members gives one at least; none gives its last. `ties` (C,) ranks classes of equal remainder.
    """
    if size == 0:
        return np.zeros_like(counts)
    ideal = counts * size / counts.sum()
    most = np.maximum(counts - 1, 0)
    share: NDArray[np.int64] = np.minimum(np.maximum(np.floor(ideal).astype(np.int64), counts > others), most)
    for number in sorted(range(len(counts)), key=lambda number: (share[number] - ideal[number], ties[number])):
        if share.sum() >= size:
            break
        share[number] += share[number] < most[number]
    return share


def _dice(seed: int, identity: str) -> int:
    """A number below 2 ** 64 that only seed and id decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x00{identity}".encode()).digest()[:8], "big")


def _room(left: NDArray[np.int64], need: NDArray[np.intp], learned: NDArray[np.int64]) -> NDArray[np.int64]:
    """(parts,) how likely each part is to get a group that needs `need` (C,): in proportion to the room that it has left.

    A group that no part has room for, class by class, may go where there is room for half of it, as long as train has `learned`
    each of its classes, or half of the class remains; failing that, nowhere (and so to train).
    """
    fits = (left >= need).all(axis=1)
    if not fits.any() and ((2 * need <= left.sum(axis=0)) | (learned > 0))[need > 0].all():
        fits = 2 * left.sum(axis=1) >= need.sum()
    room: NDArray[np.int64] = np.where(fits, (np.minimum(left.clip(0), need) * left.clip(0)).sum(axis=1), 0)
    return room
