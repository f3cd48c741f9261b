"""What a features folder holds, at a glance: structure and attributes are checked, data are not (see `cache.verify`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusecat.cache.errors import CacheError
from fusecat.cache.layout import SUFFIX
from fusecat.cache.reading import SealedFile


@dataclass(frozen=True)
class Entry:
    """One feature. Numbers are 0 and `fitted_on` is None where the file cannot be read.

    `size`: bytes on disk. `present`: products that have the field. `fitted_on`: None where nobody knows. `state`: `sealed`,
    `in progress, n blocks`, or what is wrong.
    """

    feature: str
    network: str
    field: str
    state: str
    rows: int = 0
    present: int = 0
    width: int = 0
    dtype: str = ""
    logits: bool = False
    size: int = 0
    fitted_on: tuple[str, ...] | None = None


def entries(folder: Path) -> list[Entry]:
    """All features, sealed or in progress, by name."""
    sealed = [_sealed(path) for path in folder.glob(f"*{SUFFIX}")]
    progress = [_progress(path) for path in folder.glob("*.blocks") if not path.with_suffix(SUFFIX).exists()]
    return sorted(sealed + progress, key=lambda entry: entry.feature)


def _sealed(path: Path) -> Entry:
    name = path.name.removesuffix(SUFFIX)
    network, _, field = name.rpartition(".")
    size = path.stat().st_size
    try:
        with SealedFile(path, name) as file:
            return Entry(
                feature=name,
                network=network,
                field=field,
                state="sealed",
                rows=file.header.rows,
                present=int(np.count_nonzero(file.read("present"))),
                width=file.header.width,
                dtype=file.header.storage,
                logits="logits" in file,
                size=size,
                fitted_on=file.header.fitted_on,
            )
    except CacheError as error:
        return Entry(name, network, field, str(error).removeprefix(f"{path} "), size=size)


def _progress(folder: Path) -> Entry:
    name = folder.name.removesuffix(".blocks")
    network, _, field = name.rpartition(".")
    blocks = list(folder.glob("*/*.npz"))
    return Entry(name, network, field, f"in progress, {len(blocks)} blocks", size=sum(block.stat().st_size for block in blocks))
