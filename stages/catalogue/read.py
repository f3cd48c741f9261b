"""Read a catalogue: which layout it has, its products, its labels, and every finding on the way. Decodes no image."""

from collections.abc import Callable
from pathlib import Path

from fusecat.stages.catalogue import challenge, custom, plan
from fusecat.stages.catalogue.collector import resting_collector
from fusecat.stages.catalogue.data_model import Catalogue, ReadingOptions
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.split_file import with_split_file
from fusecat.stages.errors import UsageError
from fusecat.stages.progress import phase


@phase("reading the catalogue")
@resting_collector()
def read_catalogue(path: Path, options: ReadingOptions = ReadingOptions()) -> Catalogue:  # noqa: B008 - frozen
    """Read a folder or a file of one of the known layouts, or of one's own.

    Raises: UsageError where the path does not exist; DataError naming file, line and column where the catalogue cannot be
    read exactly.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    found = next((found for layout in LAYOUTS if (found := layout(path, options)) is not None), None)
    if found is None:
        fail(custom.not_understood(path, options))
    return with_split_file(found, found.options)


def _own(path: Path, options: ReadingOptions) -> Catalogue | None:
    planned = plan.plan(path, options)
    return None if planned is None else custom.read(path, *planned)


def _challenge(path: Path, options: ReadingOptions) -> Catalogue | None:
    texts = challenge.choose(path)
    return None if texts is None else challenge.read(path, texts, options)


LAYOUTS: list[Callable[[Path, ReadingOptions], Catalogue | None]] = [_own, _challenge]
"""Readers in the order in which they are asked; None says that a path is not of that layout."""
