"""Class probabilities of many products: small on disk, never whole in memory. numpy only, no torch.

Up to `WHOLE` probabilities are an array. Of more, each row keeps exactly what figures are made of: the predicted class, its
probability and the truth's. Of the rest, what reaches `FLOOR` of the largest is kept in half precision; below, one mean stands
for all. The truth has no place of its own in what is read back as a row: an average of such rows would know the answer.

Shapes: n products of a part, m of a block, C classes, K probabilities that are kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.archive import Sliced, open_arrays, read_arrays
from fusecat.stages.scores import Outcome

WHOLE = 4_000_000
"""Probabilities of a part that stay an array, 16 MB: 27 classes x 148,000 products."""

FLOOR = 2.0**-10
"""Share of a row's largest probability from which one is kept: a fixed number of them made averages of flat heads name another
class for 1 product in 500, this for 1 in 10,000."""

LIKELY = 3
"""One probability in so many is kept at most by likely heads, for a forecast: 80 MB of 230 at 3,000 classes of noisy logits."""

BLOCK = 2**22
"""Probabilities that are worked on at a time."""

LAZY = ("classes", "shares")
"""The arrays of `Kept` of which rows are read when they are asked for."""

_BELOW = np.float16(1 - 2.0**-11)
"""The largest share below 1: nothing but the predicted class may be the largest again."""


class Probabilities(Protocol):
    """(n, C) float32: an array, or what reads the rows that it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, C)."""

    def __getitem__(self, rows: slice, /) -> Any:
        """(m, C) of these rows."""

    def __array__(self) -> NDArray[Any]:
        """All of them."""


Parts: TypeAlias = Mapping[str, Probabilities]
"""Part (`validation`, `test`) -> probabilities of its products."""


def outcome_of(probabilities: Probabilities, labels: NDArray[np.integer]) -> Outcome:
    """Reduce the probabilities of products whose classes are `labels` (n,), block by block."""
    if isinstance(probabilities, Kept):
        kept = probabilities
        return Outcome(labels, kept.predicted.astype(np.int32), kept.rank.astype(np.int32), kept.truth, kept.confidence)
    found = outcome_of_blocks((probabilities[rows] for rows in blocks(probabilities.shape)), labels)
    exact = probabilities.truth() if isinstance(probabilities, Mean) else None
    return found if exact is None else replace(found, truth=exact)


def outcome_of_blocks(found: Iterable[NDArray[np.floating]], labels: NDArray[np.integer]) -> Outcome:
    """The same of blocks (m, C) that come one after the other."""
    several, start = [], 0
    for block in found:
        several.append(Outcome.of(block, labels[start : start + len(block)]))
        start += len(block)
    return Outcome.joined(several)


def finite(outcome: Outcome) -> bool:
    """Whether all probabilities are numbers: one that is none is the largest of its row."""
    return bool(np.isfinite(outcome.confidence).all() and np.isfinite(outcome.truth).all())


def blocks(shape: tuple[int, ...], members: int = 1) -> Iterator[slice]:
    """Rows of (n, C), block after block; `members`: how many such blocks are held at once."""
    step = max(1, BLOCK // max(1, shape[1] * members))
    yield from (slice(start, min(start + step, shape[0])) for start in range(0, max(shape[0], 1), step))


@dataclass(frozen=True)
class Kept(Sliced):
    """What is kept of (n, C) probabilities; arrays, or what reads them from a file.

    Of each row `predicted` (n,), `confidence` (n,) its probability, `truth` (n,) that of the true class, `rank` (n,) its place
    among all, `rest` (n,) the mean of what is not kept, `counts` (n,) how many of the others are: their `classes` (K,), and
    `shares` (K,) of `confidence`.
    """

    shape: tuple[int, ...]
    predicted: NDArray[np.unsignedinteger]
    confidence: NDArray[np.float32]
    truth: NDArray[np.float32]
    rank: NDArray[np.unsignedinteger]
    rest: NDArray[np.float32]
    counts: NDArray[np.uint32]
    classes: Any
    shares: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)]))

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """(m, C): the predicted class is the largest of each row. Raises ValueError where it names a class beyond C."""
        start, stop, _ = rows.indices(self.shape[0])
        cut, (first, last) = slice(start, stop), self._starts[[start, stop]]  # type: ignore[attr-defined]
        found = np.repeat(self.rest[cut, None], self.shape[1], axis=1)
        counts, columns = self.counts[cut], self.classes[first:last]
        if max(columns.max(initial=0), self.predicted[cut].max(initial=0)) >= self.shape[1]:
            raise ValueError(f"names a class beyond {self.shape[1]}")
        found[np.repeat(np.arange(stop - start), counts), columns] = np.repeat(self.confidence[cut], counts) * self.shares[
            first:last
        ].astype(np.float32)
        found[np.arange(stop - start), self.predicted[cut]] = self.confidence[cut]
        return found


class Mean(Sliced):
    """The mean of several runs' probabilities of one part."""

    def __init__(self, members: Sequence[Probabilities]) -> None:
        self.members = members
        self.shape = members[0].shape

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return _mean([member[rows] for member in self.members])

    def truth(self) -> NDArray[np.float32] | None:
        """(n,) probability of the true class, where the members keep theirs apart."""
        kept = [member.truth for member in self.members if isinstance(member, Kept)]
        return _mean(kept) if len(kept) == len(self.members) else None


def keep(
    found: Iterable[NDArray[np.floating]], labels: NDArray[np.integer], classes: int, truth: NDArray[np.floating] | None = None
) -> NDArray[np.float32] | Kept:
    """Blocks (m, C) of products whose classes are `labels` (n,), one after the other, as what is kept of them.

    `truth` (n,): what the true classes get, where the blocks come from what was kept and know it less exactly.
    """
    if len(labels) * classes <= WHOLE:
        return np.concatenate([np.empty((0, classes), np.float32), *found]).astype(np.float32, copy=False)
    kept: dict[str, list[NDArray[Any]]] = {each.name: [] for each in fields(Kept) if each.name != "shape"}
    start = 0
    for block in found:
        cut = slice(start, start + len(block))
        for name, array in _reduced(block, labels[cut]).items():
            kept[name].append(array)
        start += len(block)
    if truth is not None:
        kept["truth"] = [truth.astype(np.float32)]
    return Kept((start, classes), **{name: np.concatenate(kept.pop(name)) for name in list(kept)})


def _reduced(block: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
    """What is kept of (m, C)."""
    outcome, rows, classes = Outcome.of(block, labels), np.arange(len(block)), block.shape[1]
    confidence = outcome.confidence
    chosen = (block >= confidence[:, None] * np.float32(FLOOR)) & (block > 0)
    left = (block * ~chosen).sum(1, dtype=np.float64)  # nothing of a row that holds no numbers: its confidence tells
    chosen[rows, outcome.predicted] = False
    counts = chosen.sum(1)
    places, columns = np.nonzero(chosen)
    with np.errstate(invalid="ignore"):
        shares = np.minimum((block[places, columns] / confidence[places]).astype(np.float16), _BELOW)
    small = np.min_scalar_type(classes - 1)
    return {
        "predicted": outcome.predicted.astype(small),
        "confidence": confidence,
        "truth": outcome.truth,
        "rank": outcome.rank.astype(small),
        "rest": (left / np.maximum(classes - 1 - counts, 1)).astype(np.float32),
        "counts": counts.astype(np.uint32),
        "classes": columns.astype(small),
        "shares": shares,
    }


def stored_bytes(rows: int, classes: int) -> int:
    """About how many bytes a part of (n, C) takes on disk."""
    return 4 * rows * classes if rows * classes <= WHOLE else rows * (20 + 4 * classes // LIKELY)


def arrays(parts: Parts) -> dict[str, NDArray[Any]]:
    """What an `.npz` holds of these parts: `PART`, or `PART.NAME` for each array that is kept of it."""
    found: dict[str, NDArray[Any]] = {}
    for part, probabilities in parts.items():
        if isinstance(probabilities, Kept):
            found |= {f"{part}.{each.name}": np.asarray(getattr(probabilities, each.name)) for each in fields(Kept)}
        else:
            found[part] = np.asarray(probabilities)
    return found


class StoredParts(Parts):
    """The parts in an `.npz`. Each is opened when it is asked for: arrays of up to `WHOLE` are read, others when rows are.

    Raises: ValueError where the file is damaged or none of ours; OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, part: str) -> Probabilities:
        found = open_arrays(self.path)
        if part in found:
            whole = found[part]
            return read_arrays(self.path, [part])[part] if whole.size <= WHOLE else whole
        names = {each.name: f"{part}.{each.name}" for each in fields(Kept)}
        if names["shape"] not in found:
            raise KeyError(part)
        own = read_arrays(self.path, [name for each, name in names.items() if each not in LAZY])
        told: dict[str, Any] = {each: own.get(name, found.get(name)) for each, name in names.items()}
        lengths = {each: None if array is None else array.shape for each, array in told.items()}
        if lengths.pop("shape") != (2,) or None in lengths.values():
            raise ValueError(f"'{part}' does not have the arrays that are kept of probabilities")
        rows, classes = (int(length) for length in told.pop("shape"))
        total = int(told["counts"].sum(dtype=np.int64))
        if lengths != {each: ((total,) if each in LAZY else (rows,)) for each in lengths}:
            raise ValueError(f"the arrays that are kept of '{part}' do not belong together")
        return Kept((rows, classes), **told)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.partition(".")[0] for name in open_arrays(self.path)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _mean(several: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    total = several[0].astype(np.float32)
    for array in several[1:]:
        total = total + array
    return total / np.float32(len(several))
