"""Vectors that somebody brings along, from any encoder: opened, joined to products by id, streamed into their order.

Shapes: N products, n vectors brought along, D their width, C classes.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cache.disk import reserve, write_all
from cache.errors import ForeignFile
from cache.source import Source
from cache.sources import IDS, open_source
from stages.errors import DataError, UsageError
from stages.joining import read_ids, refuse_twice


@dataclass(frozen=True)
class Files:
    """Where the vectors of a feature lie. `key` names the array in a file that holds several."""

    feature: str
    vectors: Path
    ids: Path | None = None
    logits: Path | None = None
    key: str | None = None


@dataclass(frozen=True)
class Brought:
    """Vectors and the products that they belong to.

    `ids`: of the vectors, in their order; `targets` (n,): row of each vector's product, -1 where there is none or the file
    itself says that the vector is absent; `present` (N,): whether the product has a vector; `unknown`: the ids of no product.
    """

    vectors: Source
    logits: Source | None
    ids: Sequence[str]
    targets: NDArray[np.intp]
    present: NDArray[np.bool_]
    unknown: Sequence[str]

    @classmethod
    def join(cls, files: Files, products: Sequence[str], classes: Sequence[str]) -> Self:
        """Open the files and find each vector's product among the ids of `products`.

        Raises: ForeignFile where a file holds anything but a plain matrix, a row per id; DataError where no id is known or one
        occurs twice; UsageError where nobody says whose the vectors are; OSError.
        """
        vectors = open_source(files.vectors, files.key)
        logits = None if files.logits is None else open_source(files.logits)
        if logits is not None and (logits.rows, logits.width) != (vectors.rows, len(classes)):
            message = (
                f"{files.logits} is {logits.rows} x {logits.width}; for {vectors.rows} vectors and {len(classes)} classes "
                f"it must be {vectors.rows} x {len(classes)}, columns in the order {', '.join(classes[:4])}, ..."
            )
            raise ForeignFile(message)
        ids = vector_ids(files, vectors)
        place = {identity: row for row, identity in enumerate(products)}
        targets = np.array([place.get(identity, -1) for identity in ids], np.intp)
        if (targets < 0).all():
            message = (
                f"{files.ids or files.vectors}: none of the {len(ids)} ids is a product's; the first is '{ids[0]}', the first "
                f"product is '{products[0]}'"
            )
            raise DataError(message)
        unknown = [ids[row] for row in np.flatnonzero(targets < 0)]
        said = vectors.column("present")
        if said is not None:
            targets[~said.astype(bool)] = -1
        present = np.zeros(len(products), bool)
        present[targets[targets >= 0]] = True
        return cls(vectors, logits, ids, targets, present, unknown)

    @contextmanager
    def staged(self, folder: Path) -> Iterator[tuple["Staging", "Staging | None"]]:
        """Vectors (N, D) and logits (N, C) in the order of the products, in files without a name that lie in `folder`."""
        with Staging(folder, len(self.present), self.vectors.width) as embedding:
            embedding.fill(self.vectors, self.targets)
            if self.logits is None:
                yield embedding, None
                return
            with Staging(folder, len(self.present), self.logits.width) as logits:
                logits.fill(self.logits, self.targets)
                yield embedding, logits


def vector_ids(files: Files, vectors: Source | None = None) -> list[str]:
    """The id of each vector, from the file of ids or from the file of vectors itself. Raises as `Brought.join`."""
    vectors = vectors or open_source(files.vectors, files.key)
    if files.ids is not None:
        ids = read_ids(files.ids, vectors.rows)
        refuse_twice(ids, str(files.ids))
        return ids
    found = vectors.column(*IDS)
    if found is None:
        message = (
            f"--ids: {files.vectors} does not say which vector belongs to which product; pass a file with an id per vector"
        )
        raise UsageError(message)
    ids = [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in found.tolist()]
    refuse_twice(ids, str(files.vectors))
    return ids


class Staging:
    """A float32 matrix (N, width) in a file without a name, zero at first: whatever happens, nothing of it is left over."""

    def __init__(self, folder: Path, rows: int, width: int) -> None:
        self._width, self._row = width, 4 * width
        self._file: Any = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__
        try:
            reserve(self._file, rows * self._row)
            self._file.truncate(rows * self._row)
        except OSError as error:
            error.filename = str(folder)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fill(self, source: Source, targets: NDArray[np.intp]) -> None:
        """Write each vector to the row of its product."""
        start = 0
        for chunk in source.chunks():
            self.put(chunk, targets[start : start + len(chunk)])
            start += len(chunk)
        if start != len(targets):
            message = f"{len(targets)} vectors were announced and {start} came"
            raise ForeignFile(message)

    def put(self, vectors: NDArray[Any], targets: NDArray[np.intp]) -> None:
        """Write vectors (n, width) to these rows, those with -1 nowhere; consecutive rows in one go."""
        known = targets[targets >= 0]
        with np.errstate(over="ignore"):  # becomes infinite, which whoever reads it refuses with the product's id
            kept = vectors[targets >= 0].astype(np.float32)
        cuts = (np.flatnonzero(np.diff(known) != 1) + 1).tolist()
        for first, last in zip([0, *cuts], [*cuts, len(known)], strict=True):
            if last > first:
                self._file.seek(int(known[first]) * self._row)
                write_all(self._file, kept[first:last].tobytes())

    def read(self, rows: range) -> NDArray[np.float32]:
        """The vectors of some products."""
        self._file.seek(rows.start * self._row)
        return np.fromfile(self._file, np.float32, len(rows) * self._width).reshape(len(rows), self._width)
