"""`study.json`: what was read, how it was split, what judges, and how each network was trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fusecat.cache.disk import locked
from fusecat.cache.records import damaged, read_record, write_record
from fusecat.stages.metrics import MACRO_F1, Metric, metric_named
from fusecat.stages.workspace import Workspace

WAY_OUT = "run the 'fusecat extract' (or 'fusecat import --labels') that made this workspace again: it writes the file anew"


@dataclass(frozen=True)
class StudyRecord:
    """What is known of a study; everything is optional, because vectors may be imported without a catalogue.

    `metric`: what chose the networks' epochs. `selection_metric`: what chooses heads and strategies, where it is another.
    `fusion_settings`: the name of the settings of heads, `fusion`: the fields that differ from them.
    `features`: feature -> what is known of its network. `reading`: how the catalogue was read. `split`: protocol, seed, counts.
    `counts`: what `fusecat check` counted, and whatever else is in the file.
    """

    catalogue: str | None = None
    layout: str | None = None
    products: int | None = None
    labelled: int | None = None
    preset: str | None = None
    fusion_settings: str = ""
    fusion: Mapping[str, Any] = field(default_factory=dict)
    metric: str = MACRO_F1.name
    selection_metric: str | None = None
    class_names: Mapping[str, str] = field(default_factory=dict)
    top_level: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Mapping[str, Any], ...] = ()
    commands: tuple[str, ...] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.metric, self.selection_metric):
            if name is not None:
                metric_named(name)

    @property
    def selects(self) -> Metric:
        """The metric that chooses heads, ensembles and strategies."""
        return metric_named(self.selection_metric or self.metric)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "StudyRecord":
        """From JSON values. Raises ValueError where one is of another type than it must be."""
        from pydantic import TypeAdapter

        known = {each.name for each in fields(cls)} - {"counts"}
        values = {name: value for name, value in record.items() if name in known and value is not None}
        rest = {name: value for name, value in record.items() if name not in known}
        return TypeAdapter(cls).validate_python(values | {"counts": rest})

    def flat(self) -> dict[str, Any]:
        """As it stands in the file; what is not known is left out."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "counts"}
        return dict(self.counts) | {name: value for name, value in own.items() if value not in (None, "", (), {})}


def read_study(place: Workspace) -> StudyRecord | None:
    """`study.json`; None where there is none. Raises DamagedFile."""
    try:
        record = read_record(place.study, WAY_OUT)
    except FileNotFoundError:
        return None
    try:
        return StudyRecord.of(record)
    except ValueError as error:
        raise damaged(place.study, str(error), WAY_OUT) from error


def change_study(place: Workspace, change: Callable[[StudyRecord | None], StudyRecord | None]) -> None:
    """Read the record, change it, write it; one process at a time. Nothing is written where `change` gives None back."""
    with locked(place.root / ".study.lock"):
        known = read_study(place)
        record = change(known)
        if record is not None and record != known:
            write_record(place.study, record.flat())
