"""Arrays of a notebook as the table that stage two knows: checked, aligned, split by the laws of the command line.

Shapes: n rows, C classes.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import assert_all_finite

from fusecat.cache.fingerprint import digest
from fusecat.cache.layout import is_file_name
from fusecat.cache.source_numpy import SPARSE
from fusecat.cache.table import NO_PART, Feature, FeatureTable
from fusecat.stages.catalogue.builder import PARTS
from fusecat.stages.catalogue.data_model import Catalogue, Finding, Product
from fusecat.stages.catalogue.duplicates import groups_of
from fusecat.stages.catalogue.split import split
from fusecat.stages.errors import DataError
from fusecat.stages.vocabulary import Part, SplitProtocol

DENSE = 2**26
"""Numbers (256 MB) up to which a sparse matrix is filled up with its zeros."""
ORDER = tuple(part.value for part in Part)


def table_of(
    features: Mapping[str, Any],
    labels: Any,
    *,
    present: Mapping[str, ArrayLike] | None = None,
    logits: Mapping[str, ArrayLike] | None = None,
    groups: Any = None,
    parts: Any = None,
    seed: int = 0,
) -> tuple[FeatureTable, tuple[Finding, ...]]:
    """Arrays, row for row, as a table with a split, and what is odd about the split.

    `features`: name -> (n, width): arrays, data frames, tensors, sparse matrices, or n vectors, None for one that is absent.
    `labels` (n,); `present`: name -> (n,) bool; `logits`: name -> (n, C), columns as the sorted labels; `groups` (n,): rows of
    one group stay in one part, None is a group of its own; `parts` (n,): a split of one's own in words (train, validation,
    test), None for rows in no part. Otherwise `split` draws one, 80-20.

    Raises: ValueError that names the array and the row where they do not agree, hold gaps, or cannot be split.
    """
    if not features:
        raise ValueError("there is no feature to compare; pass name -> (n, width)")
    present, logits = present or {}, logits or {}
    for option, given in (("present", present), ("logits", logits)):
        _refuse_unknown(option, given, features)
    named = {"labels": labels, **{f"feature '{name}'": vectors for name, vectors in features.items()}}
    named |= {f"present['{name}']": mask for name, mask in present.items()} | {"groups": groups, "split": parts}
    _refuse_other_rows(named | {f"logits['{name}']": values for name, values in logits.items()})
    answers = _column("labels", labels)
    if missing := [row for row, answer in enumerate(answers.tolist()) if _is_missing(answer)]:
        said = f"{answers[missing[0]]!r}; NaN, None and blanks are no class"
        raise ValueError(f"labels: row {missing[0]} has none ({said}), {len(missing)} in all; leave such rows out")
    classes, codes = np.unique(np.asarray(answers.tolist()) if answers.dtype == object else answers, return_inverse=True)
    names, rows = tuple(str(name) for name in classes), len(codes)
    made = {name: _feature(name, vectors, rows, present.get(name)) for name, vectors in features.items()}
    for name, values in logits.items():
        scores = _shaped(f"logits['{name}']", np.asarray(values, np.float32), (rows, len(names)))
        kept = np.where(made[name].present[:, None], scores, 0)
        assert_all_finite(kept, input_name=f"logits['{name}']")
        made[name] = Feature(name, made[name].embedding, made[name].present, logits=kept, fitted_on=None)
    drawn, findings = _split([names[code] for code in codes], groups, parts, seed)
    marks = {"classes": names, "labels": digest(codes.astype("<i8").tobytes()), "split": digest(drawn.tobytes())}
    ids, tied = np.arange(rows).astype(str), None if groups is None else groups_of(_keys("groups", groups, rows))
    return FeatureTable(ids, codes.astype(np.int32), drawn, names, ORDER, made, digest(marks), groups=tied), findings


def _feature(name: str, vectors: Any, rows: int, present: ArrayLike | None) -> Feature:
    if not is_file_name(name):
        raise ValueError(
            f"feature {name!r}: its runs get a folder of that name, so it must be a file's, such as camembert.title"
        )
    array, mask = _matrix(name, vectors)
    if array.ndim != 2 or len(array) != rows:
        raise ValueError(f"feature '{name}' has shape {array.shape}; it must be ({rows}, width)")
    if present is not None:
        mask &= _shaped(f"present['{name}']", np.array(present, dtype=bool), (rows,))
    array[~mask] = 0
    if len(odd := np.flatnonzero(~np.isfinite(array).all(axis=1))):
        absent = f"say what is absent with present={{'{name}': mask}}"
        raise ValueError(f"feature '{name}' holds NaN or infinity in row {odd[0]}, {len(odd)} rows in all; {absent}")
    return Feature(name, array, mask, fitted_on=None)


def _matrix(name: str, vectors: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Float32 of one's own, zero where there is no vector, and where there is one."""
    if hasattr(vectors, "toarray"):
        if np.prod(vectors.shape) > DENSE:
            raise ValueError(f"feature '{name}' is a sparse matrix of shape {vectors.shape}; {SPARSE}")
        vectors = vectors.toarray()
    if hasattr(vectors, "detach"):  # a tensor of torch, whatever its type, wherever it lies
        vectors = vectors.detach().cpu().float().numpy()
    try:
        if isinstance(vectors, np.ndarray | np.generic) and vectors.dtype != object:
            array = np.array(vectors, dtype=np.float32)
            return array, np.ones(len(array) if array.ndim else 0, bool)
        if hasattr(vectors, "iloc") and vectors.shape[1:] == (1,) and vectors.iloc[:, 0].dtype == object:
            vectors = vectors.iloc[:, 0]  # a column of vectors, still in its frame
        if hasattr(vectors, "columns"):
            options = {"dtype": np.float32, "na_value": np.nan} if hasattr(vectors, "iloc") else {}
            array = np.array(vectors.to_numpy(**options), np.float32)
            return array, np.ones(len(array), bool)
        found = [None if _is_missing(row) else np.asarray(row, np.float32) for row in vectors]
    except (TypeError, ValueError) as error:
        raise ValueError(f"feature '{name}' is no matrix of numbers: {error}") from error
    mask = np.array([row is not None for row in found], bool)
    shapes = {row.shape for row in found if row is not None}
    if len(shapes) > 1:
        first = found[int(mask.argmax())]
        row = next(row for row, vector in enumerate(found) if vector is not None and vector.shape != first.shape)  # type: ignore[union-attr]
        message = f"feature '{name}': row {row} has shape {found[row].shape}, others {first.shape}"  # type: ignore[union-attr]
        raise ValueError(message)
    zero = np.zeros(next(iter(shapes), (0,)), np.float32)
    return np.array([zero if row is None else row for row in found], np.float32), mask


def _split(codes: list[str], groups: Any, parts: Any, seed: int) -> tuple[NDArray[np.uint8], tuple[Finding, ...]]:
    """The part of every row, and what is odd about them."""
    products = tuple(Product(str(row), None, None, (), code) for row, code in enumerate(codes))
    given = None
    if parts is not None:
        given = tuple(_part(row, word) for row, word in enumerate(_keys("split", parts, len(codes))))
    catalogue = Catalogue(Path("labels"), "arrays", products, given_parts=given)
    together = groups_of(_keys("groups", groups, len(codes)))
    try:
        made = split(catalogue, together, protocol=SplitProtocol.TEST_20, seed=seed)
    except DataError as error:
        raise ValueError(str(error)) from error
    return np.array([NO_PART if part is None else ORDER.index(part.value) for part in made.parts], np.uint8), made.findings


def _part(row: int, word: Any) -> str | None:
    if word is None:
        return None
    if str(word).strip().casefold() not in PARTS:
        raise ValueError(f"split: row {row} says {word!r}; a part is one of train, head, validation, test, or None")
    return PARTS[str(word).strip().casefold()]


def _keys(option: str, values: Any, rows: int) -> list[Any]:
    if values is None:
        return [None] * rows
    keys = _column(option, values).tolist()
    if len(keys) != rows:
        raise ValueError(f"{option} has {len(keys)} rows, labels {rows}")
    return [None if _is_missing(key) else key for key in keys]


def _column(name: str, values: Any) -> NDArray[Any]:
    """One value per row."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = values.to_numpy() if hasattr(values, "to_numpy") else values
    array = array if isinstance(array, np.ndarray) else np.asarray(array, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} must be a 1d array, one value per row, not of shape {array.shape}")
    return np.asarray(array if array.dtype.kind in "biufUSO" else array.astype(str))


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT, pandas' NA and a text of blanks."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)


def _refuse_other_rows(named: Mapping[str, Any]) -> None:
    """Raise ValueError where two pandas objects have other indexes: by name or by position, only their owner knows."""
    indexed = {name: values.index for name, values in named.items() if hasattr(values, "iloc")}
    first = next(iter(indexed), "")
    for name, index in indexed.items():
        if len(index) != len(indexed[first]) or not index.equals(indexed[first]):
            same = len(index) == len(indexed[first]) and set(index) == set(indexed[first])
            what = "the same index in another order" if same else "another index"
            ways = "align them by it (x.loc[labels.index]), or pass x.to_numpy() where they agree row by row"
            raise ValueError(f"{name} has {what} than {first}; {ways}")


def _refuse_unknown(option: str, given: Collection[str], features: Collection[str]) -> None:
    for name in sorted(set(given) - set(features)):
        raise ValueError(f"{option} names '{name}', which is no feature; the features are {', '.join(features)}")


def _shaped(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it must be {shape}")
    return array
