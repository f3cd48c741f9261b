"""From a catalogue on disk to a study in a workspace: examine, split, remember what was read and how."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusecat.cache.errors import DamagedFile
from fusecat.cache.publish import set_aside
from fusecat.pipeline.console import warn
from fusecat.pipeline.presets.preset import Preset
from fusecat.stages.errors import UsageError
from fusecat.stages.metrics import Metric
from fusecat.stages.study_record import StudyRecord, change_study, read_study
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from fusecat.cache.store import Rows
    from fusecat.cache.table import Samples
    from fusecat.stages.catalogue.data_model import ReadingOptions
    from fusecat.stages.catalogue.validate import CatalogueReport
    from fusecat.stages.extraction.dataset import Study
    from fusecat.stages.extraction.extract import Outcome


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


def validate_catalogue(
    path: Path, place: Workspace, reading: "ReadingOptions", options: Mapping[str, Any]
) -> "CatalogueReport":
    """Read and check everything that does not need a network. Raises before anything is trained or written."""
    from fusecat.stages.catalogue.validate import validate

    found = validate(
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
        raise UsageError(
            f"{path}: no product has a type code: no network can be fine-tuned; 'fusecat predict' classifies unlabelled ones"
        )
    return found


def open_study(found: "CatalogueReport", max_pixels: int) -> "Study":
    """The examined catalogue as stage one sees it."""
    from fusecat.stages.extraction.dataset import Study

    assert found.split is not None, "examine_catalogue refuses catalogues without labels"
    return Study(found.catalogue, found.images, found.split, max_pixels=max_pixels)


def write_study(
    place: Workspace,
    found: "CatalogueReport",
    preset: Preset,
    metric: Metric,
    outcomes: Sequence["Outcome"],
    command: str,
    *,
    max_pixels: int,
) -> None:
    """Keep, beside the features, what was read and how each network was fine-tuned: `study.json` for the report."""
    from fusecat.stages.extraction.versions import versions
    from fusecat.stages.prediction.seen import write_contents

    def renew(known: StudyRecord | None) -> StudyRecord:
        known = known or StudyRecord(features=imported(place))
        features = dict(known.features)
        for outcome in outcomes:
            if outcome.learning:
                before = features.get(outcome.feature, {}) if outcome.state == "hit" else {}
                features[outcome.feature] = {**before, **_feature(outcome)}
        assert found.split is not None, "examine_catalogue refuses catalogues without labels"
        return StudyRecord.of(
            found.record
            | {
                "class_names": dict(found.catalogue.class_names),
                "top_level": dict(found.catalogue.top_level),
                "reading": found.catalogue.options.record | {"max_image_pixels": max_pixels},
                "preset": preset.name,
                "fusion_settings": preset.fusion,
                "fusion": dict(preset.fusion_changes),
                "selection_metric": known.selection_metric if known.metric == metric.name else None,
                "metric": metric.name,
                "commands": with_command(known.commands, command),
                "split": found.split.record,
                "features": features,
                "versions": versions(),
            }
        )

    put_damaged_aside(place)
    write_contents(place.contents, found.catalogue.products, found.images)
    change_study(place, renew)


def put_damaged_aside(place: Workspace) -> None:
    """Make way for a new `study.json` where the old one is damaged; says so. Only its commands are lost."""
    try:
        read_study(place)
    except DamagedFile as error:
        told = str(error).partition(";")[0]
        warn(f"{told}; it is kept as {set_aside(place.study).name} and written anew")


def imported(place: Workspace) -> dict[str, Any]:
    """What the features themselves say of those that were imported."""
    from fusecat.cache.store import FeatureCache

    cache, found = FeatureCache(place.features), dict[str, Any]()
    for name in cache.names():
        header = cache.header(name)
        if not header.weights:  # no network of stage one made it
            network, _, field = name.rpartition(".")
            found[name] = {"network": network, "field": field, "imported": name, "fitted_on": header.fitted_on}
    return found


def remember_command(place: Workspace, command: str, metric: Metric | None = None) -> None:
    """Add a command to `study.json`, so that the report's commands repeat the study, and the metric that chooses from now on.

    Nothing is written where there is no such file and no metric.
    """

    def renew(known: StudyRecord | None) -> StudyRecord | None:
        if known is None and metric is None:
            return None
        known = known or StudyRecord()
        chooses = known.selection_metric if metric is None else None if metric.name == known.metric else metric.name
        return replace(known, commands=with_command(known.commands, command), selection_metric=chooses)

    if place.study.exists() or metric is not None:
        change_study(place, renew)


def remember_split(place: Workspace, own: Workspace, number: int, seed: int, table: "Samples | Rows") -> None:
    """Say in the `study.json` of a split, where it does not say so yet, which one of the study in `place` it is."""
    first = read_study(place) or StudyRecord()
    parted = [int(((table.split == code) & (table.labels >= 0)).sum()) for code in range(len(table.parts))]
    counts = {part: count for part, count in zip(table.parts, parted, strict=True) if count}
    features = {name: known for name, known in first.features.items() if number == 1 or "imported" in known}
    record = replace(first, split={**first.split, "seed": seed, "counts": counts}, features=features, commands=())
    change_study(own, lambda known: known if known is not None and known.split else record)


def _feature(outcome: "Outcome") -> dict[str, Any]:
    network, _, field = outcome.feature.rpartition(".")
    kept = {name: outcome.learning[name] for name in KEPT if name in outcome.learning}
    if outcome.memory:  # a feature that was there already keeps what is known of it
        kept |= {"memory": outcome.memory, "device_memory": outcome.device_memory}
    return {"network": network, "field": field, "scores": {"validation": outcome.learning["validation"]}} | kept


def with_command(commands: Sequence[str], command: str) -> tuple[str, ...]:
    """The commands of a study with this one at the end, each once."""
    return tuple(commands) if command in commands else (*commands, command)
