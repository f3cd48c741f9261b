"""Ids, labels and split of external vectors: those of a catalogue, or of a label file where there is none."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusecat.cache.errors import ForeignFile
from fusecat.cache.layout import ID_BYTES, decode
from fusecat.cache.store import FeatureCache, Rows
from fusecat.cache.table import NO_PART
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.delimited import open_table
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import Split, split
from fusecat.stages.catalogue.text_files import check_file
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.vocabulary import Part, SplitProtocol
from fusecat.stages.workspace import Workspace

PARTS = tuple(part.value for part in Part)
ID_COLUMNS = ("id", "integer_id")
ID_NAMES = (*ID_COLUMNS, "product_id", "ids")
"""What a file of nothing but ids may call them: under such a header, and under none at all, stands no id of its own."""
LABELS = "labels"
"""The layout of a catalogue that is nothing but ids and labels."""
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


def new_split(labels: Path, *, protocol: SplitProtocol, head_share: float, seed: int) -> tuple[Catalogue, Split]:
    """A catalogue of nothing but ids and labels, in the order of the file, and its split, stratified by class.

    Raises DataError where an id is missing or occurs twice, or where there is too little to split.
    """
    catalogue = _labelled(labels)
    groups = np.arange(len(catalogue.products), dtype=np.intp)
    return catalogue, split(catalogue, groups, protocol=protocol, head_share=head_share, seed=seed)


def _labelled(labels: Path) -> Catalogue:
    """A file of ids and labels as a catalogue."""
    products = tuple(Product(identity, None, None, (), code) for identity, code in read_labels(labels).items())
    return Catalogue(source=labels, layout=LABELS, products=products)


def catalogue_rows(catalogue: Catalogue, parting: Split) -> Rows:
    """Ids, labels and split of every product, in catalogue order."""
    codes = [NO_PART if part is None else PARTS.index(part.value) for part in parting.parts]
    ids = [product.id for product in catalogue.products]
    return Rows(ids, catalogue.labels, np.array(codes, np.uint8), catalogue.classes, PARTS)


def refuse_other_labels(path: Path, rows: Rows) -> None:
    """Raise DataError unless a file of labels says what the workspace already says."""
    codes = read_labels(path)
    for identity, label in zip(rows.ids, rows.labels, strict=True):
        known = rows.classes[label] if label >= 0 else None
        if identity not in codes or codes[identity] != known:
            here = f"'{codes[identity]}'" if codes.get(identity) else "no label"
            message = (
                f"--labels {path}: product '{identity}' has {here} in this file and '{known}' in the workspace; "
                "leave --labels out, or use another --workspace"
            )
            raise DataError(message)


def read_labels(path: Path) -> dict[str, str | None]:
    """Id -> type code (None where the cell is empty), from a table with a header; CSV or TSV.

    The id is the column named `id` or `Integer_id`, else the first; the label the column named `label`, `Prdtypecode` or alike,
    else the second of two. Raises DataError naming file, line and column.
    """
    check_file(path, path.parent, follow_symlinks=True)
    table = open_table(path)
    names = [name.lower() for name in table.columns]
    identity = next((names.index(name) for name in ID_COLUMNS if name in names), 0)
    label = next((names.index(name) for name in LABEL_COLUMNS if name in names), 1 if len(names) == 2 else -1)
    if label < 0 or label == identity:
        message = f"{path} has the columns {', '.join(table.columns)}; name one of them 'label' and one of them 'id'"
        raise DataError(message)
    found: dict[str, str | None] = {}
    for line, cells in table.rows():
        _check_id(path, line, cells[identity])
        if cells[identity] in found:
            message = f"{path}: line {line}: the id '{cells[identity]}' occurs a second time"
            raise DataError(message)
        found[cells[identity]] = cells[label].strip() or None
    return found


def read_ids(path: Path, count: int | None = None, products: Collection[str] = ()) -> list[str]:
    """Ids in the order of a file: the column named as one of `ID_NAMES`, else the first.

    The first line is a header where it says so by its name. Else it is an id where it is one of `products`, or where the file
    has as many lines as there are vectors, `count`. Raises ForeignFile where the numbers do not agree, DataError naming file
    and line.
    """
    check_file(path, path.parent, follow_symlinks=True)
    table = open_table(path)
    names = [name.lower() for name in table.columns]
    column = next((names.index(name) for name in ID_NAMES if name in names), 0)
    header = table.columns[column]
    named = not header or names[column] in ID_NAMES
    ids = []
    for line, cells in table.rows():
        _check_id(path, line, cells[column])
        ids.append(cells[column])
    if not named and (header in products or len(ids) + 1 == count):
        ids.insert(0, header)
    if count is not None and len(ids) != count:
        under = f" under its header '{header}'" if named else ""
        message = f"{path} has {len(ids)} ids{under} for {count} vectors; an id per vector, in their order, is expected"
        raise ForeignFile(message)
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
            message = f"--fitted-on {text}: none of its {len(seen)} ids is a product's; the first product is '{rows.ids[0]}'"
            raise DataError(message)
        codes = {place.get(identity) for identity in seen}
        return tuple(part for code, part in enumerate(rows.parts) if code in codes), unknown
    parts = [part.strip() for part in text.split(",")]
    unknown = [part for part in parts if part not in rows.parts]
    if unknown:
        message = f"--fitted-on {text}: '{unknown[0]}' is neither a file nor one of {', '.join(rows.parts)}, none, unknown"
        raise UsageError(message)
    return tuple(part for part in rows.parts if part in parts), ()


def refuse_twice(ids: Sequence[str], where: str) -> None:
    """Raise DataError, naming it, where an id occurs twice."""
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for number, identity in enumerate(ids):
        if identity in seen:
            message = f"{where}: the id '{identity}' of vector {number} occurs a second time"
            raise DataError(message)
        seen.add(identity)


def _check_id(path: Path, line: int, identity: str) -> None:
    if not identity.strip() or "\0" in identity or len(identity.encode()) > ID_BYTES:
        message = f"{path}: line {line}: the id is empty, or longer than {ID_BYTES} bytes"
        raise DataError(message)
