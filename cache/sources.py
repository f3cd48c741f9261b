"""Arrays that somebody else wrote, read as a stream. Nothing in them is trusted."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fusecat.cache.errors import ForeignFile
from fusecat.cache.source import EMBEDDING, Source, fail
from fusecat.cache.source_hdf5 import Hdf5
from fusecat.cache.source_numpy import Npy, Npz, npy_column
from fusecat.cache.source_parquet import ParquetLists, ParquetWide, column_values, open_parquet
from fusecat.cache.source_safetensors import Safetensors

IDS = ("product_id", "ids", "id")
"""Where ids are looked for inside of a file of vectors."""
ENDINGS = (".npy", ".npz", ".parquet", ".h5", ".hdf5", ".safetensors")
_TORCH = (
    'it may be a pickle, which could run anything; where you trust it: python -c "import torch; from safetensors.torch import '
    "save_file; save_file({'embedding': torch.load('FILE').contiguous()}, 'FILE.safetensors')\""
)
_PICKLE = (
    'a pickle could run anything when it is read; where you trust it: python -c "import numpy, pandas; '
    "numpy.save('FILE.npy', numpy.stack(pandas.read_pickle('FILE')))\""
)
_TABLE = "write it as Parquet: pandas.read_{}('FILE').to_parquet('FILE.parquet')"
WAYS = (
    dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), _TORCH)
    | dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE)
    | {f".{kind}": _TABLE.format(kind) for kind in ("csv", "feather", "orc")}
    | {".tsv": _TABLE.format("table"), ".arrow": _TABLE.format("feather"), ".json": _TABLE.format("json")}
    | {".jsonl": "write it as Parquet: pandas.read_json('FILE', lines=True).to_parquet('FILE.parquet')"}
)
"""Ending -> how such a file becomes one that can be read; FILE stands for its path."""


def open_source(path: Path, key: str | None = None, called: str = EMBEDDING, *, columns: str | None = None) -> Source:
    """Open the vectors in a file. `key`: the array, column or dataset to take; needed only where there are several.

    `called`: the name that is taken among several without a `key`. `columns`: names or patterns of the columns of a Parquet
    file that are a dimension each, `emb_*`.
    Raises ForeignFile for anything but a plain matrix of numbers, CacheError where pyarrow is needed and not there, OSError.
    """
    if columns is not None and path.suffix.lower() != ".parquet":
        fail(path, f"columns ('{columns}') are chosen in Parquet files only; leave them out")
    match path.suffix.lower():
        case ".npy":
            return Npy(path)
        case ".npz":
            return Npz(path, key, called)
        case ".parquet":
            return ParquetLists(path, key, called) if columns is None else ParquetWide(path, columns)
        case ".h5" | ".hdf5":
            return Hdf5(path, key, called)
        case ".safetensors":
            return Safetensors(path, key, called)
    way = WAYS.get(path.suffix.lower(), f"the ending says the format; use one of {', '.join(ENDINGS)}")
    raise ForeignFile(f"{path} cannot be imported: {way.replace('FILE', str(path))}")


def read_column(path: Path, names: Sequence[str]) -> Iterator[NDArray[Any]]:
    """The first of these columns of a file with one number or text per row, or its only one; `.npy` or `.parquet`.

    Raises: as `open_source`.
    """
    if path.suffix.lower() == ".npy":
        return npy_column(path)
    file = open_parquet(path)
    found = [name for name in (*names, *file.index) if name in file.columns] or list(file.names)
    if len(found) > 1 and found[0] not in (*names, *file.index):
        fail(path, f"which column holds the ids? pass --id-column with one of: {', '.join(found)}")
    return column_values(path, file, found[0])
