"""A feature for other tools: `.npz` (numpy) and Parquet (pyarrow). Piece by piece, so that any feature fits into memory.

Shapes: N products, D width, C classes.
"""

import zipfile
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.disk import replacing
from fusecat.cache.errors import CacheError
from fusecat.cache.fingerprint import canonical
from fusecat.cache.layout import OPTIONAL, decode
from fusecat.cache.reading import SealedFile

FORMATS = (".npz", ".parquet")


def export(file: SealedFile, path: Path) -> None:
    """Write a feature as the ending of `path` says, atomically; everything is checked on its way out.

    `.npz`: the datasets under their names, and `classes`, `parts` and `header` (JSON). Parquet: a row per product, `label` and
    `part` as names. Raises CacheError for another ending, or where pyarrow is needed and not there.
    """
    match path.suffix:
        case ".npz":
            with replacing(path) as target:
                _npz(file, target)
        case ".parquet":
            _parquet(file, path)
        case _:
            raise CacheError(f"--to {path}: the ending says the format; use one of {', '.join(FORMATS)}")


def _npz(file: SealedFile, target: FileIO) -> None:
    header = file.header
    texts = {"classes": np.array(header.classes, str), "parts": np.array(header.parts, str)}
    texts["header"] = np.array(canonical({key: str(value) for key, value in header.attributes().items()}).decode())
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        for name, array in (file.columns() | texts).items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, decode(array) if array.dtype.kind == "S" else array, allow_pickle=False)
        for name in ("embedding", *sorted(OPTIONAL)):
            if name not in file:
                continue
            shape, dtype = file.header.digests[name]["shape"], file.header.digests[name]["dtype"]
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                form: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": tuple(shape)}
                np.lib.format.write_array_header_1_0(member, form)
                for piece in file.pieces(name):
                    member.write(piece.tobytes())


def _parquet(file: SealedFile, path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise CacheError(f"--to {path}: Parquet needs pyarrow; run 'pip install pyarrow', or export to .npz") from error
    columns, header = file.columns(), file.header
    ids = decode(columns["product_id"])
    labels = [header.classes[label] if label >= 0 else None for label in columns["label"]]
    parts = [header.parts[code] if code < len(header.parts) else None for code in columns["split"]]
    vectors = [name for name in ("embedding", *sorted(OPTIONAL)) if name in file]
    fields = [("product_id", pa.string()), ("label", pa.string()), ("part", pa.string()), ("present", pa.bool_())]
    widths = {name: header.digests[name]["shape"][1] for name in vectors}
    schema = pa.schema(fields + [(name, pa.list_(pa.float32(), widths[name])) for name in vectors])
    with replacing(path) as target, pq.ParquetWriter(target, schema) as writer:
        start = 0
        for pieces in zip(*(file.pieces(name) for name in vectors), strict=True):
            cut = slice(start, start + len(pieces[0]))
            table = [ids[cut], labels[cut], parts[cut], columns["present"][cut]]
            table += [_lists(pa, piece) for piece in pieces]
            writer.write_table(pa.table(table, schema=schema))
            start = cut.stop


def _lists(pa: Any, piece: NDArray[Any]) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(piece.astype(np.float32).reshape(-1)), piece.shape[1])
