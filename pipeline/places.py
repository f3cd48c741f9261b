"""Where a command may write, and what it does where it may not: another user's workspace, a read-only mount."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusecat.pipeline.console import warn
from fusecat.stages import progress
from fusecat.stages.workspace import Workspace


def may_write(path: Path) -> bool:
    """Whether a file or folder of this name can be written, or made. Asks the system and changes nothing."""
    try:
        path = path.absolute()
    except FileNotFoundError:  # the current folder has been removed
        return False
    if os.access(path, os.F_OK) and not os.access(path, os.W_OK):
        return False
    folder = next(place for place in (path, *path.parents) if place.is_dir())
    return os.access(folder, os.W_OK | os.X_OK)


@contextmanager
def remembering(place: Workspace, *, scratch: bool) -> Iterator[Workspace]:
    """The workspace that remembers what was learnt of the images; with `scratch` a copy of it, so that nothing is written."""
    if not scratch:
        yield place
        return
    with progress.scratch() as folder:
        copy = Workspace(folder)
        if place.image_memory.exists():
            shutil.copyfile(place.image_memory, copy.image_memory)
        yield copy


@contextmanager
def keeping(store: Path) -> Iterator[Path]:
    """The folder of encoded vectors; where it may not be written, a temporary one that knows them and ends with the block.

    It warns that nothing new is kept.
    """
    if all(may_write(folder) for folder in (store, *store.glob("features/*"), *store.glob("features/*/*/"))):
        yield store
        return
    with progress.scratch() as folder:
        warn(f"{store} may not be written: the vectors of these products are not kept")
        for path in store.glob("features/*/*/*"):
            if path.is_file():
                name = folder / path.relative_to(store)
                name.parent.mkdir(parents=True, exist_ok=True)
                name.symlink_to(path.absolute())
        yield folder
