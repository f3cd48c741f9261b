"""Which mistakes of text alone fusion repairs, and which it makes.

Shapes: n products; predictions are the votes of each strategy's seeds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.results import Candidate

SHOWN, FEW = 8, 3


@dataclass(frozen=True)
class Pair:
    """Products of type code `truth` that one side calls `mistaken` while the other side is right, and how many."""

    truth: str
    mistaken: str
    products: int


@dataclass(frozen=True)
class Mistake:
    """Products of type code `truth` that are called `mistaken`, how many, and how many of that code there are in all."""

    truth: str
    mistaken: str
    products: int
    of: int


@dataclass(frozen=True)
class Confusions:
    """The commonest pairs that fusion repairs (one feature is wrong, the fusion right) and breaks, and all of them counted."""

    repairs: tuple[Pair, ...]
    breaks: tuple[Pair, ...]
    repaired: int
    broken: int


def mistakes(
    candidate: Candidate, part: str, labels: NDArray[np.integer], classes: tuple[str, ...], shown: int = 12
) -> tuple[Mistake, ...]:
    """The commonest mistakes of a strategy, by the vote of its seeds: those made more than once, or else the first few."""
    said = candidate.voted(part)
    wrong, sizes = said != labels, np.bincount(labels, minlength=len(classes))
    size = dict(zip(classes, sizes.tolist(), strict=True))
    pairs = _pairs(labels[wrong], said[wrong], classes, shown)
    pairs = tuple(pair for pair in pairs if pair.products > 1) or pairs[:FEW]
    return tuple(Mistake(pair.truth, pair.mistaken, pair.products, size[pair.truth]) for pair in pairs)


def confusions(
    fused: Candidate, alone: Candidate, part: str, labels: NDArray[np.integer], classes: tuple[str, ...]
) -> Confusions:
    """Compare a fusion with one feature, product by product."""
    new, old = fused.voted(part), alone.voted(part)
    repaired, broken = (new == labels) & (old != labels), (new != labels) & (old == labels)
    return Confusions(
        _pairs(labels[repaired], old[repaired], classes),
        _pairs(labels[broken], new[broken], classes),
        int(repaired.sum()),
        int(broken.sum()),
    )


def _pairs(
    truth: NDArray[np.integer], mistaken: NDArray[np.integer], classes: tuple[str, ...], shown: int = SHOWN
) -> tuple[Pair, ...]:
    pairs, counts = np.unique(np.stack([truth, mistaken], axis=1), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -counts))[:shown]
    return tuple(Pair(classes[pairs[at, 0]], classes[pairs[at, 1]], int(counts[at])) for at in order)
