"""The structure of a feature file, checked before anything of it is read: attributes, members, types, shapes, storage.

Shapes: N products, D width, C classes, P pieces of 256 rows.
"""

import json
from pathlib import Path
from typing import NoReturn

import h5py
from h5py import h5a, h5d, h5s, h5t, h5z

from fusecat.cache.errors import DamagedFeature, ForeignFile
from fusecat.cache.fingerprint import digest
from fusecat.cache.foreign import check_storage, child, filters, plain
from fusecat.cache.layout import FORMAT, OPTIONAL, PIECE, TEXTS, TYPES, VERSION, Header, chunk_rows

LONGEST_ATTRIBUTE = 2**26
"""Bytes; a class list of 10,000 names takes a hundredth of it."""


def read_header(file: h5py.File, path: Path) -> Header:
    """Read the attributes and check them against the content digest. Raises ForeignFile, DamagedFeature."""
    texts = _attributes(file, path)
    stated = texts.pop("content_digest")
    if digest(dict(texts)) != stated:
        damaged(path, "its attributes are not what was sealed")
    value = {name: json.loads(str(texts[name])) for name in ("classes", "parts", "recipe", "fitted_on", "versions", "digests")}
    lists = [value[name] for name in ("classes", "parts", "fitted_on") if name != "fitted_on" or value[name] is not None]
    if not all(isinstance(items, list) and all(isinstance(item, str) for item in items) for items in lists):
        foreign(path, "its classes, parts or fitted parts are not lists of texts")
    return Header(
        feature=str(texts["feature"]),
        classes=tuple(value["classes"]),
        parts=tuple(value["parts"]),
        recipe=value["recipe"],
        weights=str(texts["weights"]),
        fitted_on=None if value["fitted_on"] is None else tuple(value["fitted_on"]),
        versions=value["versions"],
        digests=value["digests"],
    )


def read_members(file: h5py.File, header: Header, path: Path) -> dict[str, h5py.Dataset]:
    """Open the datasets; each has the type, shape and storage that the format and the header say. Raises ForeignFile."""
    names = {name.decode("utf-8", "replace") for name in file.id}
    if not set(TYPES) - OPTIONAL <= names <= set(TYPES) or names != set(header.digests):
        foreign(path, f"it holds {', '.join(sorted(names)) or 'nothing'}")
    found: dict[str, h5py.Dataset] = {}
    for name in sorted(names):
        opened = child(file, name, path)
        if not isinstance(opened, h5d.DatasetID):
            foreign(path, f"'{name}' is not a dataset")
        found[name] = dataset = h5py.Dataset(opened)
        check_storage(dataset, path)
        entry = header.digests[name]
        if plain(dataset.dtype) not in TYPES[name] or plain(dataset.dtype) != entry["dtype"]:
            foreign(path, f"'{name}' has the type {dataset.dtype}")
        if list(dataset.shape) != list(entry["shape"]) or dataset.shape != _shape(name, dataset, header):
            foreign(path, f"'{name}' has the shape {dataset.shape}")
        chunks = (chunk_rows(name, dataset.shape, dataset.dtype.itemsize), *dataset.shape[1:])
        if filters(dataset) != [h5z.FILTER_FLETCHER32] or dataset.chunks != chunks:
            foreign(path, f"'{name}' is not stored in chunks of {chunks} with fletcher32 alone")
    return found


def damaged(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise DamagedFeature."""
    raise DamagedFeature(f"{path} is damaged: {reason}. Remove it, and the command that made it makes it again") from cause


def foreign(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise ForeignFile."""
    raise ForeignFile(f"{path} is not a feature file of this version: {reason}") from cause


def _attributes(file: h5py.File, path: Path) -> dict[str, str | int]:
    root = file["/"].id
    found: dict[str, str | int] = {}
    names = sorted(h5a.open(root, index=number).name.decode() for number in range(h5a.get_num_attrs(root)))
    if not {"format", "format_version"} <= set(names):
        foreign(path, "its root does not say what it is")
    for name in names:
        attribute = h5a.open(root, name.encode())
        kind = attribute.get_type()
        if attribute.get_space().get_simple_extent_type() != h5s.SCALAR:
            foreign(path, f"the attribute '{name}' is not a single value")
        if name == "format_version":
            if not isinstance(kind, h5t.TypeIntegerID):
                foreign(path, "the attribute 'format_version' is not a whole number")
            found[name] = int(file.attrs[name])
            continue
        if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or kind.get_size() > LONGEST_ATTRIBUTE:
            foreign(path, f"the attribute '{name}' is not a text of fixed length")
        found[name] = bytes(file.attrs[name]).decode("utf-8")
    if found["format"] != FORMAT:
        foreign(path, f"it calls itself {found['format']!r}")
    if found["format_version"] != VERSION:
        foreign(
            path,
            f"it has version {found['format_version']}, this fusecat reads version {VERSION}; install the one that wrote it",
        )
    if set(names) != {*TEXTS, "format_version"}:
        foreign(path, f"its attributes are {', '.join(names)}")
    return found


def _shape(name: str, dataset: h5py.Dataset, header: Header) -> tuple[int, ...]:
    """Compute the shape that a dataset must have."""
    match name:
        case "embedding":
            return (header.rows, max(1, dataset.shape[1])) if dataset.ndim == 2 and header.rows else (-1, -1)
        case "embedding_digest":
            return (-(-header.rows // PIECE), 32)
        case "logits" | "logits_oof":
            return (header.rows, len(header.classes))
        case _:
            return (header.rows,)
