"""Is every byte as it was written? Finds all damage of a features folder and repairs nothing."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fusecat.cache.archive import read_arrays
from fusecat.cache.errors import CacheError
from fusecat.cache.fingerprint import digest
from fusecat.cache.layout import SUFFIX
from fusecat.cache.reading import SealedFile
from fusecat.cache.sealing import sidecar, write_sidecar

SEAL = SUFFIX + ".sha256"
_PAUSE = 0.5
"""Seconds: far longer than a publication takes between its two renames."""


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written: the file, and in words what is wrong and what to do."""

    file: Path
    problem: str


def verify(folder: Path, expected: Iterable[str] = (), *, reseal: bool = False) -> Iterator[Damage]:
    """Check every feature file (attributes, each dataset, the whole file), every seal and every waiting block.

    `expected`: features that must be there. `reseal`: write a seal that is gone or another's anew where the feature agrees with
    the digests in itself, which miss 1 in 300 of the bits that could be flipped. Raises nothing for damage, OSError where a
    file cannot be read at all.
    """
    features = {path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}")}
    sealed = {path.name.removesuffix(SEAL) for path in folder.glob(f"*{SEAL}")}
    for name in sorted(features | sealed | set(expected)):
        damage = _feature(folder / (name + SUFFIX))
        if damage is not None:
            time.sleep(_PAUSE)  # it may just have been published anew
            damage = _feature(folder / (name + SUFFIX), reseal=reseal)
        if damage is not None:
            yield damage
    for path in sorted(folder.glob("*.blocks/*/*.npz")):
        problem = _block(path)
        if problem:
            yield Damage(path, f"{problem}; remove it, its rows are computed again")


def _feature(path: Path, *, reseal: bool = False) -> Damage | None:
    seal = sidecar(path)
    if not path.exists():
        words = "is gone, its seal is still there" if seal.exists() else "is gone"
        return Damage(path, f"{words}; run the command that made it again")
    try:
        with SealedFile(path, path.name.removesuffix(SUFFIX)) as file:
            file.check()
    except CacheError as error:
        return Damage(path, str(error).removeprefix(f"{path} "))
    sha256 = digest(path)
    if seal.is_file() and seal.read_bytes() == f"{sha256}  {path.name}\n".encode():
        return None
    if reseal:
        write_sidecar(path, sha256)
        return None
    again = "the feature agrees with its own digests: 'fusecat cache verify --reseal' writes the seal anew"
    if not seal.is_file():
        return Damage(seal, f"is gone, so nobody can say whether the file is as it was written; {again}")
    return Damage(
        path, f"its SHA-256 is {sha256}, not the one in {seal.name}; {again}; in doubt remove both and make the feature again"
    )


def _block(path: Path) -> str | None:
    try:
        read_arrays(path)
    except ValueError as error:
        return f"is damaged ({error})"
    return None
