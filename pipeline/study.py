"""From a catalogue on disk to a study in a workspace: examine, split, remember what was read and how."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import UsageError
from stages.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.settings import Preset
    from stages.catalogue.examination import Examination
    from stages.catalogue.reading import ReadingOptions
    from stages.encoders.study import Study
    from stages.extraction import Outcome


KEPT = (
    "epochs",
    "best_epoch",
    "seconds",
    "curve",
    "parameters",
    "settings",
    "weights",
    "batches_per_step",
    "gradient_checkpointing",
)
"""What `study.json` keeps of `learning.json`."""


READING = ("columns", "images", "max_images", "follow_symlinks", "encoding")
"""How the catalogue was read, so that a report can show its products again."""


def examine_catalogue(path: Path, place: Workspace, reading: "ReadingOptions", options: Mapping[str, Any]) -> "Examination":
    """Read and check everything that does not need a network. Raises before anything is trained or written."""
    from stages.catalogue.examination import examine

    found = examine(
        path,
        reading,
        place.image_memory,
        protocol=options["protocol"],
        seed=options["split_seed"],
        head_share=options["head_share"],
        subset=options["subset"],
        limit=options["limit"],
        max_pixels=options["max_image_pixels"],
    )
    if found.split is None:
        message = (
            f"{path}: no product has a type code, so no network can be taught; 'fusecat predict' classifies unlabelled products"
        )
        raise UsageError(message)
    return found


def open_study(found: "Examination", max_pixels: int) -> "Study":
    """The examined catalogue as stage one sees it."""
    from stages.encoders.study import Study

    assert found.split is not None, "examine_catalogue refuses catalogues without labels"
    return Study(found.catalogue, found.images, found.split, max_pixels)


def write_study(
    place: Workspace,
    found: "Examination",
    reading: "ReadingOptions",
    preset: "Preset",
    metric: str,
    outcomes: Sequence["Outcome"],
    command: str,
    *,
    max_pixels: int,
) -> None:
    """Keep, beside the features, what was read and how each network was taught: `study.json` for the report."""
    from stages.extraction import versions

    record = read_study(place)
    commands = _with(record, command)
    features = dict(record.get("features", {}))
    for outcome in outcomes:
        if outcome.learning:
            known = features.get(outcome.feature, {}) if outcome.state == "hit" else {}
            features[outcome.feature] = known | _feature(outcome)
    assert found.split is not None
    groups = found.split.groups
    record = found.record | {
        "class_names": dict(found.catalogue.class_names),
        "top_level": dict(found.catalogue.top_level),
        "reading": {name: getattr(reading, name) for name in READING} | {"max_image_pixels": max_pixels},
        "preset": preset.name,
        "fusion_settings": preset.fusion,
        "metric": metric,
        "commands": commands,
        "split": {
            "protocol": found.split.protocol.value,
            "head_share": found.split.head_share,
            "seed": found.split.seed,
            "subset": found.split.subset,
            "own": found.split.own,
            "counts": found.split.counts,
            "groups": {"count": groups.count, "products": groups.products, "largest": list(groups.largest)},
        },
        "features": features,
        "versions": versions(),
    }
    _publish(place, record)


def remember_command(place: Workspace, command: str) -> None:
    """Add a command to `study.json`, so that the report's commands repeat the study; nothing where there is no such file."""
    record = read_study(place)
    if record and command not in record.get("commands", []):
        _publish(place, record | {"commands": _with(record, command)})


def read_study(place: Workspace) -> dict[str, Any]:
    """`study.json`, empty where there is none."""
    if not place.study.exists():
        return {}
    record: dict[str, Any] = json.loads(place.study.read_text(encoding="utf-8"))
    return record


def _feature(outcome: "Outcome") -> dict[str, Any]:
    network, _, field = outcome.feature.rpartition(".")
    kept = {name: outcome.learning[name] for name in KEPT if name in outcome.learning}
    if outcome.memory:  # a feature that was there already keeps what is known of it
        kept |= {"memory": outcome.memory, "device_memory": outcome.device_memory}
    return {"network": network, "field": field, "scores": {"validation": outcome.learning["validation"]}} | kept


def _with(record: Mapping[str, Any], command: str) -> list[str]:
    """The commands of a study with this one at the end, each once."""
    commands = list(record.get("commands", []))
    return commands if command in commands else [*commands, command]


def _publish(place: Workspace, record: Mapping[str, Any]) -> None:
    place.root.mkdir(parents=True, exist_ok=True)
    partial = place.study.with_name(place.study.name + ".part")
    partial.write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(partial, place.study)
