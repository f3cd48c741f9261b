"""Features that are larger than memory, read in windows of many small shuffled pieces.

Shapes: N products, n rows of one batch, D width of one feature.
"""

import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cache.layout import PIECE, Header, decode
from cache.loading import refuse_mismatch
from cache.reading import SealedFile

WINDOW = 2**29
"""Bytes of vectors held at a time by default: at seven features of thesis width (13 kB a product) 156 pieces of 256 rows.
Where rows lie in class order, many small pieces matter: windows of few large ones lost two points of macro-F1."""

PENDING = 8
"""Pieces that may wait to be checked; none is handed on before."""

Batch: TypeAlias = tuple[NDArray[np.int32], dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]
"""Labels (n,), embedding (n, D) of each feature, present (n,) of each feature."""


class FeatureStream:
    """Features side by side, like a `FeatureTable`, but their vectors stay on disk; `with cache.stream() as stream`.

    `ids`, `labels`, `split`, `classes`, `parts`, `fingerprint` as in `FeatureTable`; `present` (N,) and `widths` by feature.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._files: dict[str, SealedFile] = {}
        self._digests: dict[str, NDArray[np.uint8]] = {}
        self._known: dict[str, dict[int, int]] = {}
        self._checker = ThreadPoolExecutor(1, "checking")
        self.present: dict[str, NDArray[np.bool_]] = {}
        self.widths: dict[str, int] = {}
        first: tuple[Header, dict[str, NDArray[Any]]] | None = None
        try:
            for name, path in paths.items():
                file = self._files[name] = SealedFile(path, name)
                columns = file.columns()
                first = first or (file.header, columns)
                refuse_mismatch(first, (file.header, columns))
                self._digests[name] = file.piece_digests()
                self._known[name] = {}
                self.present[name] = columns["present"]
                self.widths[name] = int(file.header.digests["embedding"]["shape"][1])
            if first is None:
                message = "a stream needs at least one feature"
                raise ValueError(message)
        except BaseException:
            self.close()
            raise
        header, columns = first
        self._encoded: NDArray[np.bytes_] = columns["product_id"]
        self.labels: NDArray[np.int32] = columns["label"]
        self.split: NDArray[np.uint8] = columns["split"]
        self.classes, self.parts, self.fingerprint = header.classes, header.parts, header.fingerprint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._checker.shutdown()
        for file in self._files.values():
            file.close()

    @property
    def ids(self) -> NDArray[np.str_]:
        """The ids of all products, in order (N,)."""
        return decode(self._encoded)

    def rows(self, *parts: str) -> NDArray[np.intp]:
        """Row numbers of the labelled products of these parts, in catalogue order."""
        codes = [self.parts.index(part) for part in parts]
        return np.flatnonzero(np.isin(self.split, codes) & (self.labels >= 0))

    def batches(self, rows: NDArray[np.intp], size: int, *, seed: int | None = None, window: int = WINDOW) -> Iterator[Batch]:
        """Yield these rows once, `size` at a time (the last batch may be shorter).

        With a `seed` in an order drawn from it: windows of as many pieces of 256 rows as fit `window` bytes come one after the
        other, each with pieces from everywhere in the file, and the rows of a window are shuffled. Without one in ascending
        order. Memory: one window and a batch. Raises DamagedFeature before a piece that is not what was sealed.
        """
        random = None if seed is None else np.random.default_rng(seed)
        wanted = np.sort(np.asarray(rows))
        pieces, starts = np.unique(wanted // PIECE, return_index=True)
        groups = np.split(wanted, starts[1:])
        windows = _windows(len(pieces), max(1, window // (PIECE * self._row_bytes())), random)
        left, rest = np.empty(0, np.intp), {name: np.empty((0, width), np.float16) for name, width in self.widths.items()}
        space: dict[str, NDArray[Any]] = {}
        for number, chosen in enumerate(windows):
            last = number + 1 == len(windows)
            added = np.concatenate([groups[piece] for piece in chosen])
            numbers = np.concatenate([left, added])
            vectors = {name: self._gather(name, pieces[chosen], added, rest[name], space) for name in self._files}
            if not last:
                for file in self._files.values():
                    file.announce(pieces[windows[number + 1]])
            shuffled = np.arange(len(numbers)) if random is None else random.permutation(len(numbers))
            stop = len(numbers) if last else len(numbers) - len(numbers) % size
            for cut in range(0, stop, size):
                picked = shuffled[cut : min(cut + size, stop)]
                yield self._batch(numbers[picked], {name: array[picked] for name, array in vectors.items()})
            left, rest = numbers[shuffled[stop:]], {name: array[shuffled[stop:]] for name, array in vectors.items()}

    def _batch(self, numbers: NDArray[np.intp], vectors: dict[str, NDArray[Any]]) -> Batch:
        wide = {name: array.astype(np.float32, copy=False) for name, array in vectors.items()}
        return self.labels[numbers], wide, {name: present[numbers] for name, present in self.present.items()}

    def _gather(
        self,
        name: str,
        pieces: NDArray[np.intp],
        numbers: NDArray[np.intp],
        rest: NDArray[Any],
        space: dict[str, NDArray[Any]],
    ) -> NDArray[Any]:
        """The vectors left over from before, then those of the rows `numbers` (ascending), which all lie in `pieces`.

        `space`: where the window before lay, to be overwritten: one window in memory, and its pages are there already.
        """
        file, start = self._files[name], len(rest)
        if len(space.get(name, ())) < start + len(numbers):
            space.pop(name, None)
            space[name] = np.empty((start + len(numbers), self.widths[name]), file.header.digests["embedding"]["dtype"])
        found = space[name][: start + len(numbers)]
        found[:start] = rest
        checks: deque[Future[None]] = deque()
        bounds = [*np.searchsorted(numbers, pieces * PIECE).tolist(), len(numbers)]
        for piece, first, last in zip(pieces.tolist(), bounds[:-1], bounds[1:], strict=True):
            array = file.chunk(piece)
            checks.append(self._checker.submit(self._check, name, piece, array))
            if len(checks) > PENDING:
                checks.popleft().result()
            found[start + first : start + last] = array[numbers[first:last] - piece * PIECE]
        for check in checks:
            check.result()
        return found

    def _check(self, name: str, piece: int, array: NDArray[Any]) -> None:
        """Check a piece by SHA-256 the first time, later by the CRC-32 that the first time leaves.

        That is enough for what a disk does meanwhile. Runs beside the reading, since hashing needs no Python.
        """
        file, known = self._files[name], self._known[name].get(piece)
        if known is None:
            file.check_piece(piece, array, self._digests[name])
            cut = slice(piece * PIECE, piece * PIECE + len(array))
            file.check_values("embedding", array, self.present[name][cut], self._encoded[cut])
            self._known[name][piece] = zlib.crc32(array.data)
        elif known != zlib.crc32(array.data):
            file.refuse_piece(piece)

    def _row_bytes(self) -> int:
        """Bytes of one product's vectors as they are stored."""
        sizes = {"<f2": 2, "<f4": 4}
        return sum(self.widths[name] * sizes[file.header.digests["embedding"]["dtype"]] for name, file in self._files.items())


def _windows(count: int, held: int, random: np.random.Generator | None) -> list[NDArray[np.intp]]:
    """Part `count` pieces into windows of at most `held`, each ascending, because a disk reads forwards faster.

    With `random`, a window takes one piece of every stretch of the file, drawn by lot: on rows in class order all windows then
    hold all classes in about the same shares, which a plain shuffle of the pieces leaves to chance.
    """
    if random is None:
        return [np.arange(start, min(start + held, count)) for start in range(0, count, held)]
    stretch = -(-count // held)
    places = np.arange(held * stretch).reshape(held, stretch)
    columns = random.permuted(places, axis=1).T if count else places[:0]
    windows = [column[column < count] for column in columns]
    return [windows[number] for number in random.permutation(len(windows)) if len(windows[number])]
