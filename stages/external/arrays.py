"""Arrays of a notebook as the table that stage two knows: checked, aligned, split by the laws of the command line.

Shapes: n rows, C classes.
"""

import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusecat.cache.fingerprint import digest
from fusecat.cache.layout import is_file_name
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.catalogue.builder import PARTS as SPLIT_WORDS
from fusecat.stages.catalogue.data_model import Catalogue, Finding, Findings, Product
from fusecat.stages.catalogue.duplicates import groups_of
from fusecat.stages.catalogue.label_doubts import doubt_labels
from fusecat.stages.catalogue.messages import OPTIONS
from fusecat.stages.catalogue.split import split
from fusecat.stages.errors import DataError
from fusecat.stages.external.array_doubts import doubt
from fusecat.stages.external.as_numpy import column, is_missing, matrix
from fusecat.stages.vocabulary import PARTS, SplitProtocol


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
    for option, given in (("features", features), ("present", present), ("logits", logits)):
        if given is not None and (not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given)):
            raise ValueError(f"{option} must be a dict, name of a feature -> array, such as {{'text': ..., 'image': ...}}")
    if not features:
        raise ValueError("there is no feature to compare; pass name -> (n, width)")
    present, logits = present or {}, logits or {}
    for option, given in (("present", present), ("logits", logits)):
        for name in sorted(set(given) - set(features)):
            raise ValueError(f"{option} names '{name}', which is no feature; the features are {', '.join(features)}")
    named = {"labels": labels, **{f"feature '{name}'": vectors for name, vectors in features.items()}}
    named |= {f"present['{name}']": mask for name, mask in present.items()} | {"groups": groups, "split": parts}
    _refuse_other_rows(named | {f"logits['{name}']": values for name, values in logits.items()})
    classes, codes = _classes(labels)
    names, rows = tuple(str(name) for name in classes), len(codes)
    made = {name: _feature(name, vectors, rows, present.get(name)) for name, vectors in features.items()}
    for name, values in logits.items():
        scores = _logits(f"logits['{name}']", values, made[name].present, names)
        made[name] = Feature(name, made[name].embedding, made[name].present, logits=scores, fitted_on=None)
    findings = Findings()
    drawn = _split([names[code] for code in codes], groups, parts, seed, findings)
    marks = {"classes": names, "labels": digest(codes.astype("<i8").tobytes()), "split": digest(drawn.tobytes())}
    ids, tied = np.arange(rows).astype(str), None if groups is None else groups_of(_keys("groups", groups, rows))
    table = FeatureTable(ids, codes.astype(np.int32), drawn, names, PARTS, made, digest(marks), groups=tied)
    doubt(table, findings)
    return table, tuple(findings)


def _classes(labels: Any) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The sorted classes (C,) and the number of each row's (n,)."""
    answers = column("labels", labels)
    missing = []
    for row, answer in enumerate(answers.tolist()):
        if is_missing(answer):
            missing.append(row)
        elif not isinstance(answer, str | bytes | numbers.Number) and not hasattr(answer, "isoformat"):
            what = f"{type(answer).__name__} ({answer!s:.40})"
            raise ValueError(f"labels: row {row} holds a {what}; one text or number per row is needed")
    if missing:
        said = f"{answers[missing[0]]!r}; NaN, None and blanks are no class"
        raise ValueError(f"labels: row {missing[0]} has none ({said}), {len(missing)} in all; leave such rows out")
    if answers.dtype == object:
        answers = np.asarray([each.decode() if isinstance(each, bytes) else each for each in answers.tolist()])
    answers = np.char.decode(answers) if answers.dtype.kind == "S" else answers
    if answers.dtype.kind == "f" and (answers == answers.astype(np.int64)).all():
        answers = answers.astype(np.int64)  # pandas makes such of numbers beside a gap
    classes, codes = np.unique(answers, return_inverse=True)
    return classes, codes


def _logits(name: str, values: Any, present: NDArray[np.bool_], names: tuple[str, ...]) -> NDArray[np.float32]:
    """Scores (n, C), columns in the order of the classes, zero where the feature is absent.

    Columns of a frame that are called as the classes are found by their names.
    """
    own = [str(each) for each in getattr(values, "columns", ())]
    if set(own) & set(names) and own != [str(number) for number in range(len(own))]:
        if set(own) != set(names) or len(own) != len(names):
            raise ValueError(
                f"{name} has the columns {', '.join(own)[:80]}; name each as its class, or none: pass x.to_numpy()"
            )
        values = values[[values.columns[own.index(each)] for each in names]]
    scores, there = matrix(name, values)
    _shaped(name, scores, (len(present), len(names)))
    odd = np.flatnonzero(present & ~(there & np.isfinite(scores).all(axis=1)))
    if len(odd):
        raise ValueError(f"{name} holds NaN or infinity in row {odd[0]}, or nothing; {len(odd)} rows in all with a vector")
    return np.where(present[:, None], scores, np.float32(0))


def _feature(name: str, vectors: Any, rows: int, present: ArrayLike | None) -> Feature:
    if not is_file_name(name):
        raise ValueError(
            f"feature {name!r}: its runs get a folder of that name, so it must be a file's, such as camembert.title"
        )
    array, mask = matrix(f"feature '{name}'", vectors)
    if array.ndim != 2 or len(array) != rows:
        raise ValueError(
            f"feature '{name}' has shape {array.shape}; it must be ({rows}, width): a row for each of the {rows} labels"
        )
    if present is not None:
        mask &= _present(f"present['{name}']", present, rows)
    if not mask.any() or not array.shape[1]:
        raise ValueError(f"feature '{name}' has {'no column' if mask.any() else 'no vector in any row'}; leave it out")
    array[~mask] = 0
    if len(odd := np.flatnonzero(~np.isfinite(array).all(axis=1))):
        absent = f"say what is absent with present={{'{name}': mask}}"
        beyond = "float32 ends at 3.4e38"
        raise ValueError(f"feature '{name}' holds NaN or infinity in row {odd[0]}, {len(odd)} rows in all ({beyond}); {absent}")
    return Feature(name, array, mask, fitted_on=None)


def _present(name: str, values: Any, rows: int) -> NDArray[np.bool_]:
    """A mask (n,) of true and false, or 1 and 0."""
    mask = _shaped(name, column(name, values), (rows,))
    for row, said in enumerate(mask.tolist()):
        if is_missing(said) or said not in (0, 1):
            raise ValueError(f"{name}: row {row} says {said!r}; a mask has True or False for each row")
    return mask.astype(bool)


def _split(codes: list[str], groups: Any, parts: Any, seed: int, findings: Findings) -> NDArray[np.uint8]:
    """The part of every row; what is odd about them and the labels is counted."""
    products = tuple(Product(str(row), None, None, (), code) for row, code in enumerate(codes))
    given = None
    if parts is not None:
        given = tuple(_part(row, word) for row, word in enumerate(_keys("split", parts, len(codes))))
    catalogue = Catalogue(Path("labels"), "arrays", products, given_parts=given)
    together = groups_of(_keys("groups", groups, len(codes)))
    options = OPTIONS.set(frozenset())  # a notebook has none of a command's
    try:
        doubt_labels(Path("labels"), codes, findings)
        made = split(catalogue, together, protocol=SplitProtocol.TEST_20, seed=seed)
    except DataError as error:
        raise ValueError(str(error)) from error
    finally:
        OPTIONS.reset(options)
    findings.extend(made.findings)
    return made.codes


def _part(row: int, word: Any) -> str | None:
    if word is None:
        return None
    if str(word).strip().casefold() not in SPLIT_WORDS:
        raise ValueError(f"split: row {row} says {word!r}; a part is one of train, head, validation, test, or None")
    return SPLIT_WORDS[str(word).strip().casefold()]


def _keys(option: str, values: Any, rows: int) -> list[Any]:
    if values is None:
        return [None] * rows
    keys = column(option, values).tolist()
    if len(keys) != rows:
        what = "; it takes a word per row, no numbers of rows" if option == "split" else ""
        raise ValueError(f"{option} has {len(keys)} rows, labels {rows}{what}")
    return [None if is_missing(key) else key for key in keys]


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


def _shaped(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it must be {shape}")
    return array
