"""Rows of an Arrow table as products, their pictures by name from any of pyarrow's file systems.

Shapes: n products.
"""

import posixpath
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.prediction.addresses import FILE, explained, is_address, missing, place

AT_ONCE = 16
"""Pictures that are fetched at a time: an object store answers each after tens of milliseconds."""
WEB = ("http://", "https://", "ftp://")


def columns_of(names: Sequence[str], told: Mapping[str, str], study: Mapping[str, str], texts: Sequence[str]) -> dict[str, str]:
    """Field (id, the `texts`, image) -> column: as `told`, as in the study where it is there, or the one of the field's name.

    Raises: UsageError for a told column that is not there, and where nothing tells products from one another or says anything.
    """
    fields = ("id", *texts, "image")
    for field, name in told.items():
        if field in fields and name not in names:
            raise UsageError(f"--columns {field}={name}: there is no such column; there are {', '.join(map(str, names))[:200]}")
    own = {name.casefold(): name for name in reversed(names)}
    wishes = {field: told.get(field) or study.get(field) for field in fields}
    found = {field: name if name in names else own.get(field) for field, name in wishes.items()}
    chosen = {field: name for field, name in found.items() if name is not None}
    for what, of in (("id", ("id",)), ("text or picture", fields[1:])):
        if not chosen.keys() & set(of):
            raise UsageError(f"no column is the {what}: name it, --columns {of[0]}=COLUMN; there are {', '.join(names)[:200]}")
    return chosen


@dataclass(frozen=True)
class Pictures:
    """Finds pictures by the names that a table gives them, relative to `root`: a folder, or an address (s3://bucket/folder)."""

    root: str

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none of this name.

        Raises: DataError for a web address, and for a file of this machine that lies outside of the folder.
        """
        if name.startswith(WEB):
            raise DataError(f"'{name:.120}': nothing is fetched from the web: copy the pictures to a folder or a bucket first")
        near = not is_address(name)
        files, path = place(self.root if near else name)
        if near:
            folder, wanted = path, place(name)[1] if name.startswith(FILE) else name
            path = posixpath.normpath(posixpath.join(folder, wanted))
            if not path.startswith(folder.rstrip("/") + "/"):
                raise DataError(f"'{name:.120}' lies outside of {self.root}, where pictures are looked for")
        try:
            with files.open_input_stream(path) as file:
                return bytes(file.read())
        except FileNotFoundError:
            if blame := missing(self.root if near else name):
                raise DataError(f"'{name:.120}': {blame}") from None
            return None
        except (OSError, pa.ArrowException) as error:  # a store that refuses must not count as a product without picture
            raise DataError(f"'{name:.120}': {explained(str(error))}") from None


def products_of(table: pa.Table, fields: Mapping[str, str], pictures: Pictures) -> list[dict[str, Any]]:
    """A mapping per row, as a model is called with. A picture is bytes, a name, a list of either, or {bytes, path}.

    Raises: DataError that names the column, and the id where one row is at fault.
    """
    ids = _texts(table, fields["id"])
    cells: dict[str, Sequence[Any]] = {
        name: _texts(table, column) for name, column in fields.items() if name not in ("id", "image")
    }
    if "image" in fields:
        wanted = [_several(cell) for cell in table.column(fields["image"]).to_pylist()]

        def fetch(number: int) -> list[bytes]:
            try:
                found = [pictures.read(each) if isinstance(each, str) else each for each in wanted[number]]
            except DataError as error:
                raise DataError(f"product '{ids[number]}': column {fields['image']}: {error}") from error
            return [each for each in found if each is not None]

        with ThreadPoolExecutor(AT_ONCE) as pool:
            cells["images"] = list(pool.map(fetch, range(len(ids))))
    for number, identity in enumerate(ids):
        if not identity:
            raise DataError(f"column {fields['id']}: row {number} of a block has no id")
    return [{"id": ids[number]} | {name: values[number] for name, values in cells.items()} for number in range(len(ids))]


def _texts(table: pa.Table, name: str) -> list[str | None]:
    column = table.column(name)
    if pa.types.is_floating(column.type) or pa.types.is_nested(column.type):
        raise DataError(f"column {name} is {column.type}, not texts: name another with --columns")
    try:
        return list(column.cast(pa.string()).to_pylist())
    except pa.ArrowInvalid as error:
        raise DataError(f"column {name} is {column.type}, which makes no text ({error})") from error


def _several(cell: Any) -> list[Any]:
    """The pictures of a cell: names or bytes."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, list):
        return [each for one in cell for each in _several(one)]
    if isinstance(cell, Mapping):
        return _several(cell.get("bytes") or cell.get("path"))
    if not isinstance(cell, str | bytes):
        raise DataError(f"a picture is a {type(cell).__name__}: bytes or the name of a file is expected")
    return [cell]
