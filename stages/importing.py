"""Vectors of one's own, from any encoder, become a feature like any other: joined by id, streamed, sealed.

Shapes: N products of the study, n vectors brought along, D their width, C classes.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cache.disk import reserve, write_all
from cache.errors import ForeignFile
from cache.fingerprint import JSON, digest
from cache.source import Source
from cache.sources import IDS, open_source
from cache.store import FeatureCache, Rows
from cache.writing import FeatureWriter
from stages.errors import DataError, UsageError
from stages.joining import fitted_parts, read_ids, refuse_twice


@dataclass(frozen=True)
class Request:
    """What to import. `key` names the array in a file that holds several; `fitted_on` as `joining.fitted_parts` takes it."""

    feature: str
    vectors: Path
    ids: Path | None = None
    logits: Path | None = None
    key: str | None = None
    fitted_on: str | None = None
    dtype: str = "float16"


@dataclass(frozen=True)
class Imported:
    """What became of it. `state`: `sealed`, or `hit` where the very same was there already.

    `joined`: products that got a vector; `absent`: those that did not; `unknown`: vectors of no product of the study; each of
    the two with its first id ('' where there is none).
    """

    feature: str
    path: Path
    state: str
    products: int
    joined: int
    absent: int
    first_absent: str
    unknown: int
    first_unknown: str
    width: int
    fitted_on: tuple[str, ...] | None


def import_vectors(request: Request, rows: Rows, cache: FeatureCache) -> Imported:
    """Join vectors to products by id and seal them as a feature; products without one count as lacking the field.

    Raises ForeignFile where a file holds anything but plain finite numbers, one row per id; DataError where no id is known or
    one occurs twice; OSError.
    """
    vectors = open_source(request.vectors, request.key)
    logits = None if request.logits is None else open_source(request.logits)
    if logits is not None and (logits.rows, logits.width) != (vectors.rows, len(rows.classes)):
        message = (
            f"{request.logits} is {logits.rows} x {logits.width}; for {vectors.rows} vectors and {len(rows.classes)} classes "
            f"it must be {vectors.rows} x {len(rows.classes)}, columns in the order {', '.join(rows.classes[:4])}, ..."
        )
        raise ForeignFile(message)
    ids = _ids(request, vectors)
    targets = _join(ids, rows, vectors, str(request.ids or request.vectors))
    present = np.zeros(len(rows.ids), bool)
    present[targets[targets >= 0]] = True
    fitted_on = fitted_parts(request.fitted_on, rows)
    recipe = _recipe(request, rows, ids, fitted_on)
    with cache.lock(request.feature):
        state = "hit" if cache.holds(request.feature, recipe) else "sealed"
        if state == "sealed":
            writer = cache.writer(request.feature, recipe, rows)
            _write(writer, vectors, logits, targets, present, cache.folder)
            versions = {"numpy": np.__version__}
            writer.seal(weights="", fitted_on=fitted_on, versions=versions, dtype=request.dtype)
    absent, unknown = np.flatnonzero(~present), np.flatnonzero(_missing(ids, rows))
    return Imported(
        feature=request.feature,
        path=cache.path(request.feature),
        state=state,
        products=len(rows.ids),
        joined=int(present.sum()),
        absent=len(absent),
        first_absent=rows.ids[absent[0]] if len(absent) else "",
        unknown=len(unknown),
        first_unknown=ids[unknown[0]] if len(unknown) else "",
        width=vectors.width,
        fitted_on=fitted_on,
    )


def _ids(request: Request, vectors: Source) -> list[str]:
    """The id of each vector, from --ids or from the file of vectors itself."""
    if request.ids is not None:
        ids = read_ids(request.ids, vectors.rows)
        refuse_twice(ids, str(request.ids))
        return ids
    found = vectors.column(*IDS)
    if found is None:
        message = (
            f"--ids: {request.vectors} does not say which vector belongs to which product; pass a file with an id per vector"
        )
        raise UsageError(message)
    ids = [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in found.tolist()]
    refuse_twice(ids, str(request.vectors))
    return ids


def _missing(ids: Sequence[str], rows: Rows) -> NDArray[np.bool_]:
    known = set(rows.ids)
    return np.array([identity not in known for identity in ids], bool)


def _join(ids: Sequence[str], rows: Rows, vectors: Source, where: str) -> NDArray[np.intp]:
    """The product (row) of each vector (n,), -1 where there is none or the vector's own file says that it is absent."""
    place = {identity: row for row, identity in enumerate(rows.ids)}
    targets = np.array([place.get(identity, -1) for identity in ids], np.intp)
    if (targets < 0).all():
        message = (
            f"{where}: none of the {len(ids)} ids is a product's; the first is '{ids[0]}', the first product is '{rows.ids[0]}'"
        )
        raise DataError(message)
    present = vectors.column("present")
    if present is not None:
        targets[~present.astype(bool)] = -1
    return targets


def _recipe(request: Request, rows: Rows, ids: Sequence[str], fitted_on: tuple[str, ...] | None) -> dict[str, JSON]:
    return {
        "imported": {
            "vectors": digest(request.vectors),
            "key": request.key,
            "vector_ids": digest(list(ids)),
            "logits": None if request.logits is None else digest(request.logits),
        },
        "ids": digest(list(rows.ids)),
        "labels": digest([rows.classes[label] if label >= 0 else None for label in rows.labels]),
        "split": digest([rows.parts[code] if code < len(rows.parts) else None for code in rows.split]),
        "fitted_on": fitted_on,
        "storage": request.dtype,
    }


def _write(
    writer: FeatureWriter,
    vectors: Source,
    logits: Source | None,
    targets: NDArray[np.intp],
    present: NDArray[np.bool_],
    folder: Path,
) -> None:
    """Bring vectors and logits into the order of the products on disk, then hand them over block by block."""
    with _Staging(folder, len(present), vectors.width) as embedding:
        embedding.fill(vectors, targets)
        if logits is None:
            for number, rows in writer.missing():
                writer.put(number, embedding.read(rows), None, present[rows])
            return
        with _Staging(folder, len(present), logits.width) as scores:
            scores.fill(logits, targets)
            for number, rows in writer.missing():
                writer.put(number, embedding.read(rows), scores.read(rows), present[rows])


class _Staging:
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
        """Write each vector to the row of its product; consecutive rows in one go."""
        start = 0
        for chunk in source.chunks():
            rows = targets[start : start + len(chunk)]
            known = rows[rows >= 0]
            with np.errstate(over="ignore"):  # becomes infinite, which the writer refuses with the product's id
                kept = chunk[rows >= 0].astype(np.float32)
            cuts = (np.flatnonzero(np.diff(known) != 1) + 1).tolist()
            for first, last in zip([0, *cuts], [*cuts, len(known)], strict=True):
                if last > first:
                    self._file.seek(int(known[first]) * self._row)
                    write_all(self._file, kept[first:last].tobytes())
            start += len(chunk)
        if start != len(targets):
            message = f"{len(targets)} vectors were announced and {start} came"
            raise ForeignFile(message)

    def read(self, rows: range) -> NDArray[np.float32]:
        """The vectors of some products."""
        self._file.seek(rows.start * self._row)
        return np.fromfile(self._file, np.float32, len(rows) * self._width).reshape(len(rows), self._width)
