"""Whatever holds numbers or words in a notebook, as numpy: one matrix of vectors, or one value per row.

Shapes: n rows.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.source_numpy import SPARSE
from fusecat.stages.external.align import ID_NAMES, LABEL_COLUMNS

DENSE = 2**26
"""Numbers (256 MB) up to which a sparse matrix is filled up with its zeros."""
_NO_DIMENSION = frozenset({*ID_NAMES, *LABEL_COLUMNS, "split", "index", "unnamed: 0"})
"""Columns of a frame, in small letters, that are no dimension of its vectors."""
_NO_NUMBERS = {"M": "dates", "m": "spans of time", "c": "complex numbers"}
"""Kinds of numpy that become float32 without a word, and mean nothing then."""


def matrix(name: str, vectors: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors as float32 (n, width) of one's own, zero where there is no vector, and where there is one, (n,).

    Raises: ValueError, which begins with `name`, for what is no matrix of numbers.
    """
    if isinstance(vectors, str | bytes | dict) or vectors is None:
        way = (
            "pass its values in the order of the labels" if isinstance(vectors, dict) else "load the file first, as numpy.load"
        )
        way = "n vectors are needed" if vectors is None else way
        raise ValueError(f"{name} is a {type(vectors).__name__}, no matrix of numbers: {way}")
    if hasattr(vectors, "toarray"):
        if np.prod(vectors.shape) > DENSE:
            raise ValueError(f"{name} is a sparse matrix of shape {vectors.shape}; {SPARSE}")
        vectors = vectors.toarray()
    try:
        vectors = _known(vectors)
        if hasattr(vectors, "columns") and vectors.shape[1:] == (1,):
            only = vectors[vectors.columns[0]]  # a column of vectors, still in its frame
            vectors = only if str(only.dtype).startswith(("object", "List", "Array")) else vectors
        if hasattr(vectors, "columns"):
            _refuse_columns(vectors)
            options = {"dtype": np.float32, "na_value": np.nan} if hasattr(vectors, "iloc") else {}
            array = np.array(vectors.to_numpy(**options), np.float32)
            return array, np.ones(len(array), bool)
        if not hasattr(vectors, "__iter__") and hasattr(vectors, "__array__"):
            vectors = np.asarray(vectors)
        if isinstance(vectors, np.ndarray | np.generic) and vectors.dtype != object:
            if vectors.dtype.kind in _NO_NUMBERS:
                raise ValueError(f"it holds {_NO_NUMBERS[vectors.dtype.kind]}")
            with np.errstate(over="ignore"):  # becomes infinite, which is refused with its row
                array = np.array(vectors, dtype=np.float32)
            return array, np.ones(len(array) if array.ndim else 0, bool)
        found = [None if is_missing(row) else np.asarray(_known(row), np.float32) for row in vectors]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is no matrix of numbers: {error}") from error
    mask = np.array([row is not None for row in found], bool)
    shapes = [row.shape for row in found if row is not None]
    usual = max(shapes, key=shapes.count) if len(set(shapes)) > 1 else next(iter(shapes), (0,))
    for row, vector in enumerate(found):
        if vector is not None and vector.shape != usual:
            way = "; None says that a vector is absent" if not vector.size else ""
            raise ValueError(f"{name}: row {row} has shape {vector.shape}, others {usual}{way}")
    zero = np.zeros(usual, np.float32)
    return np.array([zero if row is None else row for row in found], np.float32), mask


def column(name: str, values: Any) -> NDArray[Any]:
    """One value per row, (n,). Raises ValueError, which begins with `name`."""
    values = _known(values)
    if isinstance(values, Iterator) or type(values).__name__ in ("dict_values", "dict_keys"):
        values = list(values)
    if isinstance(values, str | bytes | dict | set):
        raise ValueError(f"{name} must be a 1d array, one value per row, not a {type(values).__name__}: {values!s:.40}")
    array = values.to_numpy() if hasattr(values, "to_numpy") else values
    array = array if isinstance(array, np.ndarray) else np.asarray(array, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        ways = "; of one row of numbers per class pass x.argmax(axis=1)" if array.ndim == 2 and name == "labels" else ""
        raise ValueError(f"{name} must be a 1d array, one value per row, not of shape {array.shape}{ways}")
    return np.asarray(array if array.dtype.kind in "biufUSO" else array.astype(str))


def is_missing(value: Any) -> bool:
    """None, NaN, infinity, NaT, pandas' NA and a text of blanks."""
    if isinstance(value, str):
        return not value.strip()
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and not math.isfinite(value))
    )


def _known(values: Any) -> Any:
    """Tensors of torch, whatever their type, layout and place, arrays with a mask and those of Arrow as numpy or pandas."""
    if hasattr(values, "detach"):
        tensor = values.detach()
        tensor = tensor.dequantize() if tensor.is_quantized else tensor.to_dense()
        tensor = tensor.resolve_conj().resolve_neg().cpu()
        try:
            return tensor.numpy()
        except TypeError:  # a type that numpy has not, such as bfloat16
            return tensor.float().numpy()
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(float if values.dtype.kind in "biuf" else object), np.nan)
    return values.to_pandas() if type(values).__module__.startswith("pyarrow") else values


def _refuse_columns(frame: Any) -> None:
    """Raise ValueError for a column that numbers can be made of, and that is no dimension: an id, a class, a date."""
    for each in frame.columns:
        if str(each).lower() in _NO_DIMENSION:
            raise ValueError(f"its column {each!r} is no dimension of a vector; drop it")
        if (kind := getattr(frame[each].dtype, "kind", "")) in _NO_NUMBERS:
            raise ValueError(f"its column {each!r} holds {_NO_NUMBERS[kind]}; drop it")
