"""Ids, labels and split of external vectors: those of a catalogue, or of a label file where there is none."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fusecat.cache.errors import ForeignFile
from fusecat.cache.layout import ID_BYTES, decode
from fusecat.cache.sources import ENDINGS, read_column
from fusecat.cache.store import FeatureCache, Rows
from fusecat.stages.catalogue.builder import PARTS as SPLIT_WORDS
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.delimited import open_table
from fusecat.stages.catalogue.duplicates import groups_of
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import Split, catalogue_rows, split
from fusecat.stages.catalogue.text_files import check_file
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.vocabulary import SplitProtocol
from fusecat.stages.workspace import Workspace

ID_COLUMNS = ("id", "integer_id")
ID_NAMES = (*ID_COLUMNS, "product_id", "ids")
"""What a file of nothing but ids may call them: under such a header, and under none at all, stands no id of its own."""
LABELS = "labels"
"""The layout of a catalogue that is nothing but ids and labels."""
_FLOAT = re.compile(r"-?[0-9]+\.0")
LABEL_COLUMNS = ("label", "prdtypecode", "type_code", "code", "class")


def existing_rows(workspace: Workspace) -> Rows | None:
    """What the features of a workspace share; without features, its catalogue and split; None where nothing was ever done."""
    cache = FeatureCache(workspace.features)
    for feature in cache.names():
        with cache.open(feature) as file:
            columns, header = file.columns(), file.header
        ids = decode(columns["product_id"]).tolist()
        return Rows(ids, columns["label"], columns["split"], header.classes, header.parts)
    study = read_study(workspace)
    if not workspace.split.is_file() or study is None or not study.catalogue:
        return None
    catalogue = _catalogue(study)
    return catalogue_rows(catalogue, Split.read(workspace.split, catalogue))


def _catalogue(study: StudyRecord) -> Catalogue:
    """The products that the study was made of, read as they were read then; pictures do not matter here."""
    source = Path(str(study.catalogue))
    if study.layout == LABELS:
        return _labelled(source)
    reading = replace(ReadingOptions.of(study.reading), images=ImageUse.NONE)
    catalogue = read_catalogue(source, reading)
    return catalogue if study.products is None else catalogue.limit(study.products)


def known_split(workspace: Workspace, labels: Path) -> tuple[Catalogue, Split] | None:
    """The products of a file of labels and the split that the workspace drew of them, where `study.json` was lost."""
    if workspace.study.exists() or not workspace.split.is_file():
        return None
    catalogue = _labelled(labels)
    return catalogue, Split.read(workspace.split, catalogue)


def new_split(
    labels: Path,
    *,
    protocol: SplitProtocol,
    head_share: float,
    seed: int,
    group_by: str | None = None,
    split_column: str | None = None,
) -> tuple[Catalogue, Split]:
    """A catalogue of nothing but ids and labels, in the order of the file, and its split, stratified by class.

    `group_by`: the column of that file whose equal values stay in one part; `split_column`: the one that says the part.
    Raises DataError where an id is missing or occurs twice, or where there is too little to split.
    """
    catalogue = _labelled(labels)
    given = None if split_column is None else tuple(_parts_of(labels, split_column))
    keys = [None] * len(catalogue.products) if group_by is None else [value for _, value in _cells(labels, group_by)]
    catalogue = replace(catalogue, given_parts=given)
    return catalogue, split(catalogue, groups_of(keys), protocol=protocol, head_share=head_share, seed=seed)


def _parts_of(labels: Path, column: str) -> Iterator[str | None]:
    for line, value in _cells(labels, column):
        if value is not None and value.casefold() not in SPLIT_WORDS:
            raise DataError(f"{labels}: line {line}, column {column}: '{value}' is no part (train, head, validation, test)")
        yield None if value is None else SPLIT_WORDS[value.casefold()]


def _cells(labels: Path, column: str) -> Iterator[tuple[int, str | None]]:
    """Line and cell of each row in one column, None where it is blank."""
    table = open_table(labels)
    if column not in table.columns:
        raise UsageError(f"{labels} has no column '{column}'; it has {', '.join(table.columns)}")
    number = table.columns.index(column)
    for line, cells in table.rows():
        yield line, cells[number].strip() or None


def _labelled(labels: Path) -> Catalogue:
    """A file of ids and labels as a catalogue."""
    products = tuple(Product(identity, None, None, (), code) for identity, code in read_labels(labels).items())
    return Catalogue(source=labels, layout=LABELS, products=products)


def refuse_other_labels(path: Path, rows: Rows) -> None:
    """Raise DataError unless a file of labels says what the workspace already says."""
    codes = read_labels(path, rows.ids)
    for identity, label in zip(rows.ids, rows.labels, strict=True):
        known = rows.classes[label] if label >= 0 else None
        if identity not in codes or codes[identity] != known:
            here = f"'{codes[identity]}'" if codes.get(identity) else "no label"
            raise DataError(
                f"--labels {path}: product '{identity}' has {here} in this file and '{known}' in the workspace; "
                "leave --labels out, or use another --workspace"
            )


def read_labels(path: Path, products: Sequence[str] = ()) -> dict[str, str | None]:
    """Id -> type code (None where the cell is empty), from a table with a header; CSV or TSV.

    The id is the column named `id` or `Integer_id`, else the first; the label the column named `label`, `Prdtypecode` or alike,
    else the second of two. `products`: ids that are known, see `whole`. Raises DataError naming file, line and column.
    """
    check_file(path, path.parent, follow_symlinks=True)
    table = open_table(path)
    names = [name.lower() for name in table.columns]
    identity = next((names.index(name) for name in ID_COLUMNS if name in names), 0)
    label = next((names.index(name) for name in LABEL_COLUMNS if name in names), 1 if len(names) == 2 else -1)
    if label < 0 or label == identity:
        raise DataError(f"{path} has the columns {', '.join(table.columns)}; name one of them 'label' and one of them 'id'")
    found: dict[str, str | None] = {}
    for line, cells in table.rows():
        _check_id(path, line, cells[identity])
        if cells[identity] in found:
            raise DataError(f"{path}: line {line}: the id '{cells[identity]}' occurs a second time")
        found[cells[identity]] = cells[label].strip() or None
    return dict(zip(whole(list(found), set(products)), found.values(), strict=True))


def read_ids(path: Path, count: int | None = None, products: Collection[str] = (), column: str | None = None) -> list[str]:
    """Ids in the order of a file (CSV, text, .npy, .parquet): its `column`, by default one of `ID_NAMES`, else the first.

    The first line of a text is a header where it says so by its name. Else it is an id where it is one of `products`, or where
    the file has as many lines as there are vectors, `count`. Raises ForeignFile where the numbers do not agree or an id occurs
    twice in a binary file, DataError naming file and line, UsageError where there is no such column.
    """
    under = ""
    if path.suffix.lower() in ENDINGS:
        if path.suffix.lower() not in (".npy", ".parquet"):
            raise UsageError(f"--ids {path}: ids come as CSV, text, .npy or .parquet")
        ids = texts_of(read_column(path, (column,) if column else ID_NAMES), path, once=count is not None)
    else:
        check_file(path, path.parent, follow_symlinks=True)
        table = open_table(path)
        names = [name.lower() for name in table.columns]
        if column and column not in table.columns:
            raise UsageError(f"--id-column {column}: {path} has the columns {', '.join(table.columns)}")
        number = table.columns.index(column) if column else next((names.index(name) for name in ID_NAMES if name in names), 0)
        header = table.columns[number]
        named = not header or bool(column) or names[number] in ID_NAMES
        ids = []
        for line, cells in table.rows():
            _check_id(path, line, cells[number])
            ids.append(cells[number])
        if not named and (header in products or len(ids) + 1 == count):
            ids.insert(0, header)
        under = f" under its header '{header}'" if named else ""
    if count is not None and len(ids) != count:
        raise ForeignFile(
            f"{path} has {len(ids)} ids{under} for {count} vectors; an id per vector, in their order, is expected"
        )
    return whole(ids, products)


def texts_of(chunks: Iterable[NDArray[Any]], path: Path, *, once: bool = True) -> list[str]:
    """Ids that a binary file holds, as text. `once`: raise DataError at the first that occurs twice, else keep one of them."""
    ids: dict[str, None] = {}
    for chunk in chunks:
        new = []
        for row, value in enumerate(chunk.tolist(), len(ids)):
            try:
                new.append(value.decode("utf-8") if isinstance(value, bytes) else str(value))
            except UnicodeDecodeError as error:
                raise ForeignFile(f"{path}: the id in row {row} is not UTF-8: {value!r}; store the ids as text") from error
        before = len(ids)
        ids.update(dict.fromkeys(new))
        if once and len(ids) != before + len(new):  # at once: what comes after it may be a bomb
            refuse_twice([*list(ids)[:before], *new], str(path))
        for row, text in enumerate(new, before):
            if not text.strip() or (chunk.dtype.kind == "f" and text == "nan") or len(text.encode()) > ID_BYTES:
                raise ForeignFile(f"{path}: the id in row {row} is empty, NaN, or longer than {ID_BYTES} bytes")
    return list(ids)


def whole(ids: Sequence[str], products: Collection[str] = ()) -> list[str]:
    """Ids without blanks around them, as a catalogue has; as whole numbers where all end in `.0` and no product's does.

    pandas makes such of numbers beside a gap.
    """
    ids = [identity.strip() for identity in ids]
    if ids and all(_FLOAT.fullmatch(identity) for identity in ids) and not any(identity in products for identity in ids):
        return [identity.removesuffix(".0") for identity in ids]
    return ids


def fitted_parts(text: str | None, rows: Rows) -> tuple[tuple[str, ...] | None, Sequence[str]]:
    """The parts whose labels an encoder has seen: named (`train,head`; `none`), or told from a file with the ids of its rows.

    Returns the parts, None where nothing is said: nobody knows; and the ids of the file that are no product's. Raises
    UsageError for a part that does not exist, DataError where no id is a product's.
    """
    if text is None or text == "unknown":
        return None, ()
    if text == "none":
        return (), ()
    if Path(text).is_file():
        place = {identity: int(code) for identity, code in zip(rows.ids, rows.split, strict=True)}
        seen = dict.fromkeys(read_ids(Path(text), products=place))
        unknown = [identity for identity in seen if identity not in place]
        if len(unknown) == len(seen):
            raise DataError(
                f"--fitted-on {text}: none of its {len(seen)} ids is a product's; the first product is '{rows.ids[0]}'"
            )
        codes = {place.get(identity) for identity in seen}
        return tuple(part for code, part in enumerate(rows.parts) if code in codes), unknown
    parts = [part.strip() for part in text.split(",")]
    unknown = [part for part in parts if part not in rows.parts]
    if unknown:
        raise UsageError(
            f"--fitted-on {text}: '{unknown[0]}' is neither a file nor one of {', '.join(rows.parts)}, none, unknown"
        )
    return tuple(part for part in rows.parts if part in parts), ()


def refuse_twice(ids: Sequence[str], where: str) -> None:
    """Raise DataError, naming it, where an id occurs twice."""
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for number, identity in enumerate(ids):
        if identity in seen:
            raise DataError(f"{where}: the id '{identity}' of vector {number} occurs a second time")
        seen.add(identity)


def _check_id(path: Path, line: int, identity: str) -> None:
    if not identity.strip() or "\0" in identity or len(identity.encode()) > ID_BYTES:
        raise DataError(f"{path}: line {line}: the id is empty, or longer than {ID_BYTES} bytes")
