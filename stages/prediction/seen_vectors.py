"""Products of a study of nothing but imported vectors, known again by these vectors whatever their ids are now.

Shapes: N products, D width.
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.layout import PIECE, decode
from fusecat.cache.store import FeatureCache
from fusecat.stages.catalogue.duplicates import COMMON, FEW
from fusecat.stages.external.vectors import ExternalVectors, Files

ABSENT = b""


def same_vectors(
    cache: FeatureCache, external: Mapping[str, Files], seen: Collection[str], ids: Sequence[str], classes: Sequence[str]
) -> frozenset[str]:
    """Those of `ids` (N) whose vectors in `external` are, all of them and bit for bit, those of one product of `seen`.

    `external`: feature of `cache` -> files; vectors are compared as the cache stores them. Vectors that many products of the
    study share, as of a placeholder, tell nothing. Raises as `ExternalVectors.join`.
    """
    known: list[list[bytes]] = []
    new: list[list[bytes]] = []
    before: list[str] = []
    for feature, files in external.items():
        with cache.open(feature) as file:
            columns = file.columns()
            before = decode(columns["product_id"]).tolist()
            known.append(list(_digests(file.pieces("embedding"), columns["present"])))
            storage = file.header.digests["embedding"]["dtype"]
        joined = ExternalVectors.join(files, ids, classes)
        with tempfile.TemporaryDirectory() as folder, joined.staged(Path(folder)) as (vectors, _), np.errstate(over="ignore"):
            pieces = (vectors.read(range(start, min(start + PIECE, len(ids)))) for start in range(0, len(ids), PIECE))
            new.append(list(_digests((piece.astype(storage) for piece in pieces), joined.present)))
    rows = dict(zip(before, zip(*known, strict=True), strict=True))
    counts = Counter(rows[identity] for identity in seen if identity in rows)
    limit = max(FEW, COMMON * len(rows))
    telling = {own for own, count in counts.items() if count <= limit and any(own)}
    return frozenset(identity for identity, own in zip(ids, zip(*new, strict=True), strict=True) if own in telling)


def _digests(pieces: Iterator[NDArray[Any]], present: NDArray[np.bool_]) -> Iterator[bytes]:
    """Ten bytes per row, nothing for one that is absent; 80 bits tell ten million products apart."""
    start = 0
    for piece in pieces:
        for row, there in zip(piece, present[start : start + len(piece)], strict=True):
            yield hashlib.sha256(row.tobytes()).digest()[:10] if there else ABSENT
        start += len(piece)
