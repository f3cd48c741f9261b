"""Features that are larger than memory, read in windows of many small shuffled pieces.

Shapes: N products, n rows of one batch, D width of one feature.
"""

import os
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.layout import OPTIONAL, PIECE, Header, decode
from fusecat.cache.lazy import StoredLogits
from fusecat.cache.loading import feature_of, refuse_mismatch
from fusecat.cache.reading import SealedFile
from fusecat.cache.table import FeatureTable

WINDOW = 5 * 2**26
"""Bytes of vectors shuffled at a time by default: at seven features of thesis width (13 kB a product) 97 pieces of 256 rows.
Where rows lie in class order, many small pieces matter: windows of few large ones lost two points of macro-F1."""

READERS = 2
"""Threads that read and check."""

Batch: TypeAlias = tuple[NDArray[np.int32], dict[str, NDArray[np.floating]], dict[str, NDArray[np.bool_]]]
"""Labels (n,), embedding (n, D) of each feature in the precision of the file, present (n,) of each feature."""


class FeatureStream(AbstractContextManager["FeatureStream"]):
    """Features side by side, like a `FeatureTable`, but their vectors stay on disk; `with cache.stream() as stream`.

    Every byte of them is checked whenever it is read: against its SHA-256 the first time, then against the CRC-32 that it had.
    `labels`, `split`, `classes`, `parts`, `fingerprint` as in `FeatureTable`; `present` (N,) and `widths` by feature.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._files: dict[str, SealedFile] = {}
        self._digests: dict[str, NDArray[np.uint8]] = {}
        self._checksums: dict[str, NDArray[np.int64]] = {}
        self._spare: list[dict[str, NDArray[Any]]] = []
        self._readers = ThreadPoolExecutor(READERS, "reading", initializer=_give_way)
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
                self._checksums[name] = np.full(len(self._digests[name]), -1)
                self.present[name] = columns["present"]
                self.widths[name] = file.header.width
            if first is None:
                raise ValueError("a stream needs at least one feature")
        except BaseException:
            self.close()
            raise
        header, columns = first
        self._encoded: NDArray[np.bytes_] = columns["product_id"]
        self.labels: NDArray[np.int32] = columns["label"]
        self.split: NDArray[np.uint8] = columns["split"]
        self.classes, self.parts, self.fingerprint = header.classes, header.parts, header.fingerprint

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._readers.shutdown()
        for file in self._files.values():
            file.close()

    def table(self) -> "StreamedTable":
        """Everything but vectors and logits in memory."""
        features = {}
        for name, file in self._files.items():
            nowhere = np.broadcast_to(np.array(np.nan, np.float16), (len(self.labels), self.widths[name]))
            present = self.present[name]
            logits = {each: StoredLogits(file, each, present, self._encoded) for each in OPTIONAL if each in file}
            features[name] = feature_of(file, present, nowhere, logits)
        known = (decode(self._encoded), self.labels, self.split, self.classes, self.parts)
        return StreamedTable(*known, features, self.fingerprint, stream=self)

    @property
    def paths(self) -> dict[str, Path]:
        """The file of each feature."""
        return {name: file.path for name, file in self._files.items()}

    def batches(
        self,
        rows: NDArray[np.intp],
        size: int,
        *,
        seed: int | None = None,
        features: Sequence[str] | None = None,
        window: int = WINDOW,
    ) -> Iterator[Batch]:
        """Yield these rows of these features (all by default) once, `size` at a time (the last batch may be shorter).

        With a `seed` in an order drawn from it: windows of as many pieces of 256 rows as fit `window` bytes come one after the
        other, each with pieces from everywhere in the file, and the rows of a window are shuffled. Without one in ascending
        order. The next window is read while one is used. Memory: two windows and a batch. Raises DamagedFeature before a
        window that holds a piece that is not what was sealed.
        """
        files = {name: self._files[name] for name in (self._files if features is None else features)}
        random = None if seed is None else np.random.default_rng(seed)
        wanted = np.sort(np.asarray(rows))
        pieces, starts = np.unique(wanted // PIECE, return_index=True)
        groups = np.split(wanted, starts[1:])
        held = max(1, window // sum(file.piece_bytes for file in files.values()))
        windows = _windows(len(pieces), held, random)
        # the first slots hold what a window leaves over, less than a batch
        kept = -(-size // PIECE)
        slots = kept + min(held, len(pieces))
        spaces = self._rooms(list(files), slots, len(windows[:2]))
        left, left_at = np.empty(0, np.intp), np.empty(0, np.intp)
        reading: list[Future[None]] = []
        try:
            for number, chosen in enumerate(windows):
                space, other = spaces[number % 2], spaces[number % 2 - 1]
                reading = reading or self._read(pieces[chosen], space, kept)
                for task in reading:
                    task.result()
                for name, each in space.items():
                    each[: len(left_at)] = other[name].take(left_at, axis=0)
                last = number + 1 == len(windows)
                reading = [] if last else self._read(pieces[windows[number + 1]], other, kept)
                slots_of = np.repeat(np.arange(kept, kept + len(chosen)), [len(groups[piece]) for piece in chosen])
                added = np.concatenate([groups[piece] for piece in chosen])
                places = np.concatenate([np.arange(len(left)), slots_of * PIECE + added % PIECE])
                numbers = np.concatenate([left, added])
                shuffled = np.arange(len(numbers)) if random is None else random.permutation(len(numbers))
                stop = len(numbers) if last else len(numbers) - len(numbers) % size
                for cut in range(0, stop, size):
                    picked = shuffled[cut : min(cut + size, stop)]
                    vectors = {name: each.take(places[picked], axis=0) for name, each in space.items()}
                    present = {name: self.present[name][numbers[picked]] for name in files}
                    yield self.labels[numbers[picked]], vectors, present
                left, left_at = numbers[shuffled[stop:]], places[shuffled[stop:]]
        finally:
            for task in reading:
                task.cancel()
            wait(reading)
            self._spare = spaces

    def _rooms(self, names: list[str], slots: int, count: int) -> list[dict[str, NDArray[Any]]]:
        """Room for pieces of each feature, slot s beginning at row 256 s: what the last call left if it was for these features.

        Else new: memory never touched may be slower than reading. Room for other features is given up first, so that no more
        than the last call's is held.
        """
        spare, self._spare = self._spare, []
        fit = [room for room in spare if list(room) == names and all(len(each) >= slots * PIECE for each in room.values())]
        del spare
        headers = {name: self._files[name].header for name in names}
        new = {name: ((slots * PIECE, header.width), header.storage) for name, header in headers.items()}
        return [fit.pop() if fit else {name: np.empty(*room) for name, room in new.items()} for _ in range(count)]

    def _read(self, pieces: NDArray[np.intp], space: Mapping[str, NDArray[Any]], first: int) -> list[Future[None]]:
        """Begin to read pieces into the slots from `first` on, and to check them: hashing needs no Python."""

        def one(slot: int, piece: int) -> None:
            for name in space:
                self._check(name, piece, self._files[name].chunk(piece, space[name][slot * PIECE :]))

        # announcing may wait for the disk as reading does
        announced = [self._readers.submit(self._files[name].announce, pieces) for name in space]
        return announced + [self._readers.submit(one, first + place, piece) for place, piece in enumerate(pieces.tolist())]

    def _check(self, name: str, piece: int, array: NDArray[Any]) -> None:
        """Raise unless a piece is what was sealed and holds what it may; a CRC-32 costs less than a SHA-256."""
        file, checksum = self._files[name], zlib.crc32(array.data.cast("B"))
        if checksum == self._checksums[name][piece]:
            return
        file.check_piece(piece, array, self._digests[name])
        cut = slice(piece * PIECE, piece * PIECE + len(array))
        file.check_values("embedding", array, self.present[name][cut], self._encoded[cut])
        self._checksums[name][piece] = checksum


@dataclass(frozen=True, kw_only=True)
class StreamedTable(FeatureTable):
    """A table whose vectors and logits stay on disk; each `embedding` has its shape and is NaN throughout.

    `stream` reads the vectors, and logits are read when rows of them are asked for: it must stay open while the table is used.
    """

    stream: FeatureStream


def _give_way() -> None:
    """Let this thread work where nobody else wants to: it reads ahead, and whoever trains a head should not wait for a core."""
    if sys.platform == "linux":  # the only system where a thread has a priority of its own by this call
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + 10))


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
