"""External vectors, from any encoder: opened, aligned with products by id, streamed in catalogue order.

Shapes: N products, n external vectors, D their width, C classes.
"""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.disk import reserve, write_all
from fusecat.cache.errors import ForeignFile
from fusecat.cache.source import Source
from fusecat.cache.sources import IDS, open_source
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.external.align import read_ids, refuse_twice, texts_of, whole
from fusecat.stages.external.attributes import Attributes, AttributeTable

SMALLEST_HALF = float(np.finfo(np.float16).tiny)
"""What is smaller than this, 6.1e-5, loses digits in half precision, and below 3e-8 becomes zero."""


@dataclass(frozen=True)
class Files:
    """Where the vectors of a feature lie.

    `key` names the array in a file that holds several, `columns` those of a Parquet file that are a dimension each (`emb_*`),
    `id_column` the column of the ids: of the file of ids, or without one of the file of vectors. `attributes`: the file is a
    table, and this makes vectors of it.
    """

    feature: str
    vectors: Path
    ids: Path | None = None
    logits: Path | None = None
    key: str | None = None
    columns: str | None = None
    id_column: str | None = None
    attributes: Attributes | None = None

    def open(self) -> Source:
        """The vectors. Raises as `open_source`."""
        if self.attributes is not None:
            return AttributeTable(self.vectors, self.attributes, self.id_column)
        return open_source(self.vectors, self.key, columns=self.columns)


@dataclass(frozen=True)
class ExternalVectors:
    """Vectors and the products that they belong to.

    `ids`: of the vectors, in their order; `targets` (n,): row of each vector's product, -1 where there is none or the file
    itself says that the vector is absent; `logit_targets`: the same of the logits; `present` (N,): whether the product has a
    vector; `unknown`: the ids of no product.
    """

    vectors: Source
    logits: Source | None
    ids: Sequence[str]
    targets: NDArray[np.intp]
    logit_targets: NDArray[np.intp]
    present: NDArray[np.bool_]
    unknown: Sequence[str]

    @classmethod
    def join(cls, files: Files, products: Sequence[str], classes: Sequence[str]) -> Self:
        """Open the files and find each vector's product among the ids of `products`.

        Logits are joined by the ids in their own file, and where it has none, they lie in the order of the vectors.

        Raises: ForeignFile where a file holds anything but a plain matrix, a row per id; DataError where no id is known, one
        occurs twice or a vector has no logits; UsageError where nobody says whose the vectors are; OSError.
        """
        vectors = files.open()
        place = {identity: row for row, identity in enumerate(products)}
        ids = vector_ids(files, vectors, place)
        targets = np.array([place.get(identity, -1) for identity in ids], np.intp)
        if (targets < 0).all():
            raise DataError(
                f"{files.ids or files.vectors}: none of the {len(ids)} ids is a product's; the first is '{ids[0]}', the first "
                f"product is '{products[0]}'"
            )
        unknown = [ids[row] for row in np.flatnonzero(targets < 0)]
        targets[_absent(vectors, files.vectors)] = -1
        present = np.zeros(len(products), bool)
        present[targets[targets >= 0]] = True
        logits, logit_targets = None, targets
        if files.logits is not None:
            logits = open_source(files.logits, called="logits")
            own = _ids_inside(logits, files.logits)
            own = None if own is None else whole(own, place)
            _refuse_shape(logits, files.logits, vectors.rows if own is None else logits.rows, classes)
            if own is not None:
                logit_targets = np.array([place.get(identity, -1) for identity in own], np.intp)
                logit_targets[~present[logit_targets]] = -1
            if own is not None or len(logits.gaps()):
                logit_targets = logit_targets.copy()
                logit_targets[logits.gaps()] = -1
                _refuse_gaps(files.logits, products, present, logit_targets)
        return cls(vectors, logits, ids, targets, logit_targets, present, unknown)

    @contextmanager
    def staged(self, folder: Path) -> Iterator[tuple["Staging", "Staging | None"]]:
        """Vectors (N, D) and logits (N, C) in the order of the products, in files without a name that lie in `folder`."""
        with Staging(folder, len(self.present), self.vectors.width) as embedding:
            embedding.fill(self.vectors, self.targets)
            if self.logits is None:
                yield embedding, None
                return
            with Staging(folder, len(self.present), self.logits.width) as logits:
                logits.fill(self.logits, self.logit_targets)
                yield embedding, logits


def vector_ids(files: Files, vectors: Source | None = None, products: Collection[str] = ()) -> list[str]:
    """The id of each vector, from the file of ids or from the file of vectors itself. Raises as `ExternalVectors.join`.

    `products`: ids that tell a file's first id from a header.
    """
    vectors = vectors or files.open()
    if files.ids is not None:
        ids = read_ids(files.ids, vectors.rows, products, files.id_column)
        refuse_twice(ids, str(files.ids))
        return ids
    inside = _ids_inside(vectors, files.vectors, files.id_column)
    if inside is None:
        way = "pass a file with an id per vector"
        if others := [name for name in vectors.names if name not in (files.key, vectors.key)]:
            way += f", or --id-column with the name of a column beside the vectors ({', '.join(others[:8])})"
        raise UsageError(f"--ids: {files.vectors} does not say which vector belongs to which product; {way}")
    return whole(inside, products)


def _ids_inside(source: Source, path: Path, column: str | None = None) -> list[str] | None:
    """The ids that lie beside an array in its own file, a row each; None where there are none."""
    found = source.column(*((column,) if column else (*IDS, *source.index)))
    if found is None and column:
        has = f"it has {', '.join(source.names)}" if source.names else "it holds nothing but vectors: pass --ids"
        raise UsageError(f"--id-column {column}: {path} has no such column; {has}")
    return None if found is None else texts_of(found, path)


def _absent(vectors: Source, path: Path) -> NDArray[np.bool_]:
    """Which vectors their own file calls absent: by a null, or in a column `present` (n,)."""
    absent = np.zeros(vectors.rows, bool)
    absent[vectors.gaps()] = True
    row = 0
    for said in vectors.column("present") or ():
        odd = np.flatnonzero((said != 0) & (said != 1)) if said.dtype.kind in "biuf" else np.arange(1)
        if len(odd):
            told = f"'present' is {said[odd[0]]!s:.20} in row {row + odd[0]}"
            raise ForeignFile(f"{path}: {told}; store it as true or false (bool), or as 0 or 1")
        absent[row : row + len(said)] |= said == 0
        row += len(said)
    return absent


def _refuse_shape(logits: Source, path: Path, rows: int, classes: Sequence[str]) -> None:
    if (logits.rows, logits.width) != (rows, len(classes)):
        raise ForeignFile(
            f"{path} is {logits.rows} x {logits.width}; for {rows} vectors and {len(classes)} classes "
            f"it must be {rows} x {len(classes)}, columns in the order {', '.join(classes[:4])}, ..."
        )


def _refuse_gaps(path: Path, products: Sequence[str], present: NDArray[np.bool_], targets: NDArray[np.intp]) -> None:
    """Raise DataError unless every product that has a vector has logits too."""
    lacking = present.copy()
    lacking[targets[targets >= 0]] = False
    if lacking.any():
        raise DataError(
            f"{path}: {lacking.sum()} of {present.sum()} products with a vector have no logits in it; the first is "
            f"'{products[int(lacking.argmax())]}'; bring a row for each"
        )


class Staging(AbstractContextManager["Staging"]):
    """A float32 matrix (N, width) in a file without a name, zero at first: whatever happens, nothing of it is left over."""

    def __init__(self, folder: Path, rows: int, width: int) -> None:
        self._faint_row, self._peaks = False, np.zeros(width, np.float32)
        self._width, self._row = width, 4 * width
        self._file: Any = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__
        try:
            reserve(self._file, rows * self._row)
            self._file.truncate(rows * self._row)
        except OSError as error:
            error.filename = str(folder)
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the disk."""
        self._file.close()

    @property
    def faint(self) -> bool:
        """Whether half precision would wipe something out: a whole row, or a whole column, of nothing but tiny values."""
        return self._faint_row or bool(_faint(self._peaks).any())

    def fill(self, source: Source, targets: NDArray[np.intp]) -> None:
        """Write each vector to the row of its product."""
        start = 0
        for chunk in source.chunks():
            self.put(chunk, targets[start : start + len(chunk)])
            start += len(chunk)
        if start != len(targets):
            raise ForeignFile(f"{len(targets)} vectors were announced and {start} came")

    def put(self, vectors: NDArray[Any], targets: NDArray[np.intp]) -> None:
        """Write vectors (n, width) to these rows, those with -1 nowhere; consecutive rows in one go."""
        known = targets[targets >= 0]
        with np.errstate(over="ignore"):  # becomes infinite, which whoever reads it refuses with the product's id
            kept = vectors[targets >= 0].astype(np.float32)
        sizes = np.abs(kept)
        self._faint_row |= bool(_faint(sizes.max(axis=1)).any())
        self._peaks = np.maximum(self._peaks, sizes.max(axis=0, initial=0))
        cuts = (np.flatnonzero(np.diff(known) != 1) + 1).tolist()
        for first, last in zip([0, *cuts], [*cuts, len(known)], strict=True):
            if last > first:
                self._file.seek(int(known[first]) * self._row)
                write_all(self._file, kept[first:last].tobytes())

    def read(self, rows: range) -> NDArray[np.float32]:
        """The vectors of some products."""
        self._file.seek(rows.start * self._row)
        return np.fromfile(self._file, np.float32, len(rows) * self._width).reshape(len(rows), self._width)


def _faint(peaks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which greatest absolute values are too small for half precision, but not zero."""
    return (peaks > 0) & (peaks < SMALLEST_HALF)
