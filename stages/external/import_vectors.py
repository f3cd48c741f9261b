"""Vectors of one's own, from any encoder, become a feature like any other: joined by id, streamed, sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusecat.cache.fingerprint import JSON, digest
from fusecat.cache.space import forecast
from fusecat.cache.store import FeatureCache, Rows
from fusecat.stages.external.align import fitted_parts
from fusecat.stages.external.vectors import ExternalVectors, Files
from fusecat.stages.progress import phase, remark


@dataclass(frozen=True)
class Request(Files):
    """What to import. `fitted_on` as `align.fitted_parts` takes it; `dtype` float16 becomes float32 where values need it."""

    fitted_on: str | None = None
    dtype: str = "float16"


@dataclass(frozen=True)
class Imported:
    """What became of it. `state`: `sealed`, or `hit` where the very same was there already.

    `joined`: products that got a vector; `absent`: those that did not; `unknown`: vectors of no product of the study;
    `unknown_fitted`: ids of no product in the file of `fitted_on`; each of the three with its first id ('' for none).
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
    unknown_fitted: int
    first_unknown_fitted: str


@phase("importing vectors")
def import_vectors(request: Request, rows: Rows, cache: FeatureCache) -> Imported:
    """Join vectors to products by id and seal them as a feature; products without one count as lacking the field.

    Raises ForeignFile where a file holds anything but plain finite numbers, one row per id; DataError where no id is known or
    one occurs twice; OSError.
    """
    external = ExternalVectors.join(request, rows.ids, rows.classes)
    fitted_on, unknown = fitted_parts(request.fitted_on, rows)
    recipe = _recipe(request, rows, external.ids, fitted_on)
    with cache.lock(request.feature):
        state = "hit" if cache.holds(request.feature, recipe) else "sealed"
        if state == "sealed":
            logits = 0 if external.logits is None else 4 * len(rows.classes)
            row = external.vectors.width * np.dtype(request.dtype).itemsize + logits
            remark(forecast(cache.folder, 2 * len(rows.ids) * row))  # the blocks, until the feature is sealed
            writer = cache.writer(request.feature, recipe, rows)
            with external.staged(cache.folder) as (embedding, scored):
                for number, block in writer.missing():
                    scores = None if scored is None else scored.read(block)
                    writer.put(number, embedding.read(block), scores, external.present[block])
            dtype = "float32" if embedding.faint else request.dtype
            writer.seal(weights="", fitted_on=fitted_on, versions={"numpy": np.__version__}, dtype=dtype)
    absent = np.flatnonzero(~external.present)
    return Imported(
        feature=request.feature,
        path=cache.path(request.feature),
        state=state,
        products=len(rows.ids),
        joined=int(external.present.sum()),
        absent=len(absent),
        first_absent=rows.ids[absent[0]] if len(absent) else "",
        unknown=len(external.unknown),
        first_unknown=external.unknown[0] if external.unknown else "",
        width=external.vectors.width,
        fitted_on=fitted_on,
        unknown_fitted=len(unknown),
        first_unknown_fitted=unknown[0] if unknown else "",
    )


def _recipe(request: Request, rows: Rows, ids: Sequence[str], fitted_on: tuple[str, ...] | None) -> dict[str, JSON]:
    return {
        "imported": {
            "vectors": digest(request.vectors),
            "key": request.key,
            "vector_ids": digest(list(ids)),
            "logits": None if request.logits is None else digest(request.logits),
        }
        | ({"columns": request.columns} if request.columns else {})
        | ({"attributes": request.attributes.record} if request.attributes else {}),
        "ids": digest(list(rows.ids)),
        "labels": digest([rows.classes[label] if label >= 0 else None for label in rows.labels]),
        "split": digest([rows.parts[code] if code < len(rows.parts) else None for code in rows.split]),
        "fitted_on": fitted_on,
        "storage": request.dtype,
    }
