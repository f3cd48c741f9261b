"""Feature files side by side, as one aligned table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.errors import MismatchedFeatures
from fusecat.cache.fingerprint import JSON, digest
from fusecat.cache.layout import OPTIONAL, Header, decode
from fusecat.cache.reading import SealedFile
from fusecat.cache.table import Feature, FeatureTable, Logits


def load(paths: Mapping[str, Path]) -> FeatureTable:
    """Read and check feature files (name -> path). Raises MismatchedFeatures, DamagedFeature, ForeignFile, OSError."""
    features: dict[str, Feature] = {}
    first: tuple[Header, dict[str, NDArray[Any]]] | None = None
    for name, path in paths.items():
        with SealedFile(path, name) as file:
            columns = file.columns()
            if first is None:
                first = file.header, columns
            refuse_mismatch(first, (file.header, columns))
            logits = {each: file.vectors(each, columns) for each in OPTIONAL if each in file}
            features[name] = feature_of(file, columns["present"], file.vectors("embedding", columns), logits)
    if first is None:
        raise ValueError("a table needs at least one feature")
    header, columns = first
    ids = decode(columns["product_id"])
    return FeatureTable(ids, columns["label"], columns["split"], header.classes, header.parts, features, header.fingerprint)


def feature_of(file: SealedFile, present: NDArray[np.bool_], embedding: NDArray[Any], logits: Mapping[str, Logits]) -> Feature:
    """What a file holds, beside vectors and logits that were read from it or that stay there."""
    sealed: dict[str, JSON] = {name: described["sha256"] for name, described in file.header.digests.items()}
    return Feature(
        file.header.feature,
        embedding,
        present,
        logits.get("logits"),
        logits.get("logits_oof"),
        file.header.fitted_on,
        digest(sealed),
    )


def refuse_mismatch(one: tuple[Header, Mapping[str, NDArray[Any]]], two: tuple[Header, Mapping[str, NDArray[Any]]]) -> None:
    """Raise MismatchedFeatures, naming both and what differs, unless both describe the same products in the same order."""
    if one[0].fingerprint == two[0].fingerprint:
        return
    difference = _difference(one, two)
    raise MismatchedFeatures(
        f"{one[0].feature} and {two[0].feature} cannot be fused: {difference}. "
        "Run 'fusecat extract' again for all of them, or use another workspace"
    )


def _difference(one: tuple[Header, Mapping[str, NDArray[Any]]], two: tuple[Header, Mapping[str, NDArray[Any]]]) -> str:
    (header, columns), (other, others) = one, two
    if header.rows != other.rows:
        return f"they hold {header.rows} and {other.rows} products"
    words = {"product_id": "product id", "label": "label", "split": "part of the split"}
    for name, word in words.items():
        rows = np.flatnonzero(columns[name] != others[name])
        if len(rows):
            values = [_word(name, columns_of[name][rows[0]], head) for columns_of, head in ((columns, header), (others, other))]
            return f"the {word} of row {rows[0]} is {values[0]} in one and {values[1]} in the other ({len(rows)} rows differ)"
    lists = [(header.classes, other.classes, "classes"), (header.parts, other.parts, "parts")]
    for left, right, word in lists:
        if left != right:
            only = sorted(set(left) ^ set(right))
            return f"their {word} differ ({len(left)} and {len(right)}" + (
                f"; not in both: {', '.join(only[:5])})" if only else ")"
            )
    return "their rows differ"


def _word(name: str, value: Any, header: Header) -> str:
    match name:
        case "product_id":
            return repr(value.decode("utf-8", "replace"))
        case "label":
            return repr(header.classes[value]) if value >= 0 else "none"
        case _:
            return header.parts[value] if value < len(header.parts) else "none"
