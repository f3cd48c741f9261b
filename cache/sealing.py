"""Blocks become one feature file, which appears whole or not at all.

Shapes: N products, n rows of a piece, D width, C classes.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5f, h5fd, h5p
from numpy.typing import NDArray

from fusecat.cache.blocks import Block
from fusecat.cache.disk import Target, replacing, reserve, write_all
from fusecat.cache.fingerprint import digest
from fusecat.cache.layout import PIECE, Header, chunk_rows, digest_dataset, digest_pieces

MARGIN = 2**16
"""Bytes reserved for HDF5's own structures beside data, indexes and attributes."""


@dataclass(frozen=True)
class Content:
    """What is to be sealed. `header.digests` is empty: it is filled while the data are written.

    `columns`: the datasets of one value per product. `blocks`: the rows, in order, in blocks of any size.
    """

    header: Header
    columns: Mapping[str, NDArray[Any]]
    blocks: Iterator[Block]
    width: int
    classes: int | None
    dtype: np.dtype[Any]
    logits_oof: NDArray[np.float32] | None = None


def seal(path: Path, content: Content) -> None:
    """Write the feature file, then its `.sha256` beside it, then let the file appear under its name.

    Raises OSError (disk full, ...); the earlier file, if any, is then as it was.
    """
    with replacing(path) as file:
        reserve(file, _size(content))
        target = Target(file)
        try:
            _write(target, content)
        finally:
            target.finish()
        write_sidecar(path, digest(Path(path.with_name(path.name + ".part"))))


def write_sidecar(path: Path, sha256: str) -> None:
    """Write `<name>.h5.sha256`, as `sha256sum --check` reads it."""
    with replacing(sidecar(path)) as file:
        write_all(file, f"{sha256}  {path.name}\n".encode())


def sidecar(path: Path) -> Path:
    """The small file with the digest of the whole feature file."""
    return path.with_name(path.name + ".sha256")


def _write(target: Target, content: Content) -> None:
    rows = len(content.columns["present"])
    with h5py.File(_create(target)) as file:
        embedding = _dataset(file, "embedding", (rows, content.width), content.dtype)
        logits = None if content.classes is None else _dataset(file, "logits", (rows, content.classes), np.dtype("<f4"))
        pieces, logits_sha256, start = [], hashlib.sha256(), 0
        for piece in _pieces(content.blocks):
            stop = start + len(piece.present)
            vectors = piece.embedding.astype(content.dtype)
            embedding[start:stop] = vectors
            pieces.append(digest_pieces(vectors))
            if logits is not None and piece.logits is not None:
                logits[start:stop] = piece.logits
                logits_sha256.update(piece.logits.tobytes())
            start = stop
            if target.error is not None:
                return
        columns = dict(content.columns) | {"embedding_digest": np.concatenate(pieces)}
        if content.logits_oof is not None:
            columns["logits_oof"] = content.logits_oof
        digests = {"embedding": _entry(embedding, digest(columns["embedding_digest"].tobytes()))}
        if logits is not None:
            digests["logits"] = _entry(logits, logits_sha256.hexdigest())
        for name, array in sorted(columns.items()):
            dataset = _dataset(file, name, array.shape, array.dtype)
            dataset[...] = array.astype(dataset.dtype)  # text: h5py wants to be told that it is UTF-8
            digests[name] = _entry(dataset, digest_dataset(name, array))
        for name, value in sorted(replace(content.header, digests=digests).attributes().items()):
            file.attrs.create(name, _fixed(value) if isinstance(value, str) else np.int64(value))


def _create(target: Target) -> h5f.FileID:
    """A new HDF5 file whose bytes depend on its content only: one fixed version of the format, no time stamps."""
    access, creation = h5p.create(h5p.FILE_ACCESS), h5p.create(h5p.FILE_CREATE)
    # Not 'latest', which moves with the library: 1.10 has checksums on all metadata, and Debian's hdf5-tools read it.
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fileobj_driver(h5fd.fileobj_driver, target)
    creation.set_obj_track_times(False)
    return h5f.create(b"feature", h5f.ACC_TRUNC, fcpl=creation, fapl=access)


def _dataset(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    if dtype.kind == "S":
        dtype = h5py.string_dtype("utf-8", dtype.itemsize)
    chunks = (chunk_rows(name, shape, dtype.itemsize), *shape[1:])
    return file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True, track_times=False)


def _entry(dataset: h5py.Dataset, sha256: str) -> dict[str, Any]:
    dtype = "|S" if dataset.dtype.kind == "S" else dataset.dtype.str
    return {"dtype": dtype, "shape": list(dataset.shape), "sha256": sha256}


def _fixed(text: str) -> NDArray[np.bytes_]:
    data = text.encode("utf-8")
    return np.array(data, h5py.string_dtype("utf-8", max(1, len(data))))


def _pieces(blocks: Iterator[Block]) -> Iterator[Block]:
    """The same rows in pieces of 256, so that the bytes do not depend on the size of the blocks."""
    pending: list[Block] = []
    for block in blocks:
        pending.append(block)
        count = sum(len(block.present) for block in pending)
        if count < PIECE:
            continue
        whole = _join(pending)
        for start in range(0, count - count % PIECE, PIECE):
            yield _cut(whole, start, start + PIECE)
        pending = [_cut(whole, count - count % PIECE, count)] if count % PIECE else []
    if pending:
        yield _join(pending)


def _join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    logits = [block.logits for block in blocks if block.logits is not None]
    embedding, present = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("embedding", "present"))
    return Block(embedding, np.concatenate(logits) if logits else None, present)


def _cut(block: Block, start: int, stop: int) -> Block:
    logits = None if block.logits is None else block.logits[start:stop]
    return Block(block.embedding[start:stop], logits, block.present[start:stop])


def _size(content: Content) -> int:
    """An upper bound of the file's size in bytes: whole chunks with their checksums and index entries, and the attributes."""
    rows = len(content.columns["present"])
    shapes = {name: (array.shape, array.dtype.itemsize) for name, array in content.columns.items()}
    shapes["embedding"] = ((rows, content.width), content.dtype.itemsize)
    shapes["embedding_digest"] = ((math.ceil(rows / PIECE), 32), 1)
    shapes |= {name: ((rows, content.classes), 4) for name in ("logits", "logits_oof") if content.classes is not None}
    total = MARGIN + sum(2 * len(str(value).encode()) for value in content.header.attributes().values())
    for name, (shape, itemsize) in shapes.items():
        chunk = chunk_rows(name, shape, itemsize)
        total += math.ceil(shape[0] / chunk) * (chunk * itemsize * math.prod(shape[1:]) + 32)
    return total
