"""What an HDF5 file may hold before anything of it is read: it may have been made by somebody else, to do harm.

Links, external storage and virtual datasets make HDF5 read other files of whoever opens it; a declared shape costs nothing
to write and all memory to read. Nothing here follows a link or reads a value.
"""

import math
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5g, h5o, h5s, h5z

from fusecat.cache.errors import ForeignFile

MAGIC = b"\x89HDF\r\n\x1a\n"
KNOWN_FILTERS = {
    h5z.FILTER_FLETCHER32: "fletcher32",
    h5z.FILTER_DEFLATE: "gzip",
    h5z.FILTER_SHUFFLE: "shuffle",
    h5z.FILTER_LZF: "lzf",
}
LARGEST_CHUNK = 2**28
"""Bytes: HDF5 holds a whole chunk in memory to read one value of it."""
LARGEST_RATIO = 1100
"""Times that data may be longer than their file: deflate cannot do better than 1,032, a constant array included."""


def child(group: h5py.Group, name: str, path: Path) -> h5g.GroupID | h5d.DatasetID:
    """Open a member of a group, only if it is linked to in the ordinary way.

    Raises ForeignFile: no such member, or an external, soft or unknown link.
    """
    key = name.encode("utf-8")
    if key not in group.id:
        raise ForeignFile(f"{path} has no '{name}' in '{group.name}'")
    kind = group.id.links.get_info(key).type
    if kind != h5py.h5l.TYPE_HARD:
        words = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "a link to another file"}.get(
            kind, "an unknown link"
        )
        raise ForeignFile(f"{path}: '{name}' is {words}, which is not followed; store the data in the file itself")
    return h5o.open(group.id, key)


def dataset_at(file: h5py.File, location: str, path: Path, *, texts: bool = False) -> h5py.Dataset:
    """The dataset at a location such as `group/vectors`, every component checked, its storage checked too.

    `texts`: texts of any length will do.
    """
    group = file
    *folders, last = [part for part in location.split("/") if part]
    for folder in folders:
        opened = child(group, folder, path)
        if not isinstance(opened, h5g.GroupID):
            raise ForeignFile(f"{path}: '{folder}' in '{location}' is not a group")
        group = h5py.Group(opened)
    opened = child(group, last, path)
    if not isinstance(opened, h5d.DatasetID):
        raise ForeignFile(f"{path}: '{location}' is not a dataset")
    dataset = h5py.Dataset(opened)
    check_storage(dataset, path, texts=texts)
    return dataset


def check_storage(dataset: h5py.Dataset, path: Path, *, texts: bool = False) -> None:
    """Refuse a dataset whose data lie elsewhere, need unknown code to be read, are objects, or cannot be in this file."""
    problem = _problem(dataset, path.stat().st_size, texts=texts)
    if problem:
        raise ForeignFile(f"{path}: '{(dataset.name or '').lstrip('/')}' {problem}")


def filters(dataset: h5py.Dataset) -> list[int]:
    """The numbers of the filters that a dataset's chunks pass."""
    creation = dataset.id.get_create_plist()
    return [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]


def _problem(dataset: h5py.Dataset, file_size: int, *, texts: bool) -> str | None:
    creation = dataset.id.get_create_plist()
    if creation.get_external_count():
        return "is stored in another file (external storage), which is not read"
    if creation.get_layout() == h5d.VIRTUAL:
        return "is a virtual dataset, put together from other files, which are not read"
    if dataset.id.get_space().get_simple_extent_type() != h5s.SIMPLE:
        return "is not an array"
    plain = dataset.dtype.kind in "biufS" and not dataset.dtype.hasobject and not h5py.check_ref_dtype(dataset.dtype)
    if not plain and not (texts and h5py.check_string_dtype(dataset.dtype)):
        return f"holds {dataset.dtype}, not plain numbers or text of a fixed length"
    unknown = [number for number in filters(dataset) if number not in KNOWN_FILTERS]
    if unknown:
        return f"needs the unknown filter {unknown[0]}; only {', '.join(KNOWN_FILTERS.values())} are read"
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    compressed = bool({h5z.FILTER_DEFLATE, h5z.FILTER_LZF} & set(filters(dataset)))
    stored = dataset.id.get_storage_size()
    stored = min(stored, file_size)  # several chunks may claim the same bytes of the file
    if size > (stored * LARGEST_RATIO if compressed else stored):
        return f"claims {size} bytes of data in a file of {file_size}"
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > max(LARGEST_CHUNK, 0):
        return f"has chunks of {dataset.chunks}, more than {LARGEST_CHUNK} bytes"
    return None


def plain(dtype: np.dtype[np.generic]) -> str:
    """The name of a type as FORMAT.md has it: text of any length is `|S`."""
    return "|S" if dtype.kind == "S" else dtype.str
