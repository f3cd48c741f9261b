"""`learning.json`: what is known of a fine-tuned network. Imports nothing heavy: finding a network is not loading it."""

from pathlib import Path
from typing import Any

from fusecat.cache.records import damaged, read_record

RECORD = "learning.json"
WAY_OUT = (
    "remove {folder} and the file of the feature {feature} ('fusecat cache ls' lists it), then run 'fusecat extract' again "
    "(of an exported model: 'fusecat export')"
)


def read_learning(folder: Path) -> dict[str, Any] | None:
    """`learning.json`, or None where no network was finished here. Raises DamagedFile."""
    path, way_out = folder / RECORD, WAY_OUT.format(folder=folder, feature=folder.name)
    if not path.exists() or not (folder / "network.safetensors").exists():
        return None
    record = read_record(path, way_out)
    if not {"recipe", "weights", "settings", "validation"} <= set(record):
        raise damaged(path, "it is no record of a fine-tuned network", way_out)
    if (feature := record.get("feature")) not in (None, folder.name, folder.parent.name):  # the folder of a fold has a number
        raise damaged(path, f"it tells of {feature}", way_out)
    return record
