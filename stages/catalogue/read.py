"""Read a catalogue: which layout it has, its products, its labels, and every finding on the way. Decodes no image."""

from pathlib import Path

from fusecat.stages.catalogue import challenge, custom, plan
from fusecat.stages.catalogue.data_model import Catalogue, ReadingOptions
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.split_file import with_split_file
from fusecat.stages.errors import UsageError
from fusecat.stages.progress import phase


@phase("reading the catalogue")
def read_catalogue(path: Path, options: ReadingOptions = ReadingOptions()) -> Catalogue:  # noqa: B008 - frozen
    """Read a folder or a file of one of the known layouts, or of one's own.

    Raises: UsageError where the path does not exist; DataError naming file, line and column where the catalogue cannot be
    read exactly.
    """
    path = Path(path)
    if not path.exists():
        message = f"{path} does not exist"
        raise UsageError(message)
    planned = plan.plan(path, options)
    if planned is not None:
        made, options = planned
        return with_split_file(custom.read(path, made, options), options)
    texts = challenge.choose(path)
    if texts is None:
        fail(custom.not_understood(path, options))
    return with_split_file(challenge.read(path, texts, options), options)
