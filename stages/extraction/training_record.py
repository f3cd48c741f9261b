"""`learning.json`: what is known of a fine-tuned network. Imports nothing heavy: finding a network is not loading it."""

from pathlib import Path
from typing import Any

from fusecat.cache.records import damaged, read_record

RECORD = "learning.json"
WAY_OUT = (
    "remove {folder} and the file of the feature {feature} ('fusecat cache ls' lists it), then run 'fusecat extract' again "
    "(of an exported model: 'fusecat export')"
)


def read_learning(folder: Path, feature: str | None = None) -> dict[str, Any] | None:
    """`learning.json`, or None where no network was finished here. Raises DamagedFile, also for that of another `feature`."""
    path, way_out = folder / RECORD, WAY_OUT.format(folder=folder, feature=folder.name)
    if not path.exists() or not (folder / "network.safetensors").exists():
        return None
    record = read_record(path, way_out)
    if not {"recipe", "weights", "settings", "validation"} <= set(record):
        raise damaged(path, "it is no record of a fine-tuned network", way_out)
    if feature is not None and record.get("feature", feature) != feature:
        raise damaged(path, f"it tells of {record['feature']}", way_out)
    return record
