"""Presets: TOML files that say which networks a study has and how they are fine-tuned.

`--preset` takes the name of a shipped preset or the path of a file of one's own, which may start from a shipped one with
`base = "modern"`, or from another file beside it, and change single keys. Unknown keys are errors that name the nearest
known one.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.settings import Extraction, Network, Training
from fusecat.stages.fusion.fit_settings import NAMED, SETTINGS, FitSettings

SHIPPED = Path(__file__).parent
TOP = ("base", "study", "extraction", "networks", "fusion")


class Subset(StrEnum):
    """Which products take part in a study."""

    ALL = "all"
    DESCRIBED = "described"


@dataclass(frozen=True)
class StudySettings:
    """`[study]` of a preset."""

    subset: Subset = Subset.ALL


@dataclass(frozen=True)
class Preset:
    """The networks of a study and how both stages go about them.

    `fusion` names the settings of stage two, `fusion_changes` are the fields that differ from them. `subset`: the products that
    take part, all or only those with a description.
    """

    name: str
    extraction: Extraction
    networks: tuple[Network, ...]
    fusion: str
    subset: Subset = Subset.ALL
    fusion_changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def select(self, names: Sequence[str]) -> "Preset":
        """Only these networks; all where no name is given."""
        known = [network.name for network in self.networks]
        for name in names:
            if name not in known:
                raise UsageError(f"--networks: preset '{self.name}' has no network '{name}'{_nearest(name, known)}")
        chosen = tuple(network for network in self.networks if not names or network.name in names)
        return dataclasses.replace(self, networks=chosen)

    def override(
        self, *, seed: int | None, weights: Mapping[str, str], networks: Mapping[str, Any], training: Mapping[str, Any]
    ) -> "Preset":
        """What the command line changes: the weights of single networks, and fields of all networks and of their training."""
        for name in weights:
            self.select([name])
        if seed is not None:
            training = {**training, "seed": seed}
        changed = []
        for network in self.networks:
            fields = dict(networks) | ({"weights": weights[network.name], "sha256": None} if network.name in weights else {})
            adjusted = dataclasses.replace(network.training, **training)
            changed.append(dataclasses.replace(network, training=adjusted, **fields))
        return dataclasses.replace(self, networks=tuple(changed))

    def repeated(self, number: int) -> "Preset":
        """The same networks drawn from other seeds: each network's own plus `number`."""
        networks = [
            dataclasses.replace(each, training=dataclasses.replace(each.training, seed=each.training.seed + number))
            for each in self.networks
        ]
        return dataclasses.replace(self, networks=tuple(networks))


def names() -> list[str]:
    """The shipped presets."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load_preset(name: str, option: str = "--preset") -> Preset:
    """A shipped preset by name, or a file; `option` is what named it. Raises UsageError naming file and key."""
    path = SHIPPED / f"{name}.toml" if name in names() else Path(name)
    if not path.is_file():
        raise UsageError(f"{option}: '{name}' is neither a file nor one of {', '.join(names())}{_nearest(name, names())}")
    table = _read(path)
    _known(table, TOP, str(path))
    tables = _table(table.get("networks", {}), f"{path}: networks")
    networks = tuple(_network(key, entry, path, [other for other in tables if other != key]) for key, entry in tables.items())
    if not networks:
        raise UsageError(f"{path}: no [networks.NAME] table")
    fusion, changes = _fusion(table.get("fusion", {}), f"{path}: [fusion]")
    extraction = _make(Extraction, table.get("extraction", {}), f"{path}: [extraction]")
    study: StudySettings = _make(StudySettings, table.get("study", {}), f"{path}: [study]")
    return Preset(path.stem, extraction, networks, fusion, study.subset, changes)


def _read(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A preset's tables over those of its base; `below`: the files that start from this one."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error})") from error
    if "base" not in table:
        return table
    base = table.pop("base")
    place = SHIPPED / f"{base}.toml" if base in names() else path.parent / str(base)
    if not place.is_file():
        raise UsageError(f"{path}: base = '{base}' is neither a file beside it nor one of {', '.join(names())}")
    if place.resolve() in (above := (*below, path.resolve())):
        raise UsageError(f"{path}: base = '{base}' starts from this file itself; name another")
    return _merge(_read(place, above), table)


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _network(name: str, entry: Any, path: Path, others: Sequence[str]) -> Network:
    place = f"{path}: [networks.{name}]"
    if not name.replace("_", "").replace("-", "").isalnum():
        raise UsageError(f"{place}: a network's name is made of letters, digits, - and _, because it names a file")
    entry = dict(_table(entry, place))
    if lacking := [key for key in ("library", "model") if key not in entry]:
        raise UsageError(f"{place}: '{lacking[0]}' is needed for a network of its own{_nearest(name, others)}")
    training = _make(Training, entry.pop("training", {}), f"{place[:-1]}.training]")
    network: Network = _make(Network, entry | {"name": name, "training": training}, place)
    return network


def _fusion(values: Any, place: str) -> tuple[str, dict[str, Any]]:
    """The settings that `[fusion]` starts from, and the fields that it changes."""
    _known(_table(values, place), ("settings", *SETTINGS), place)
    name, changes = values.get("settings", "default"), {key: value for key, value in values.items() if key != "settings"}
    if name not in NAMED:
        raise UsageError(f"{place}: settings = {name!r} is not one of {', '.join(NAMED)}")
    _make(FitSettings, asdict(NAMED[name]) | changes, place)
    return name, changes


def _make(kind: type[Any], values: Any, place: str) -> Any:
    """A settings object from a table, every value checked by pydantic."""
    from pydantic import TypeAdapter, ValidationError

    _known(_table(values, place), [field.name for field in dataclasses.fields(kind)], place)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: " if first["loc"] else ""
        said = f"a list is needed, as in [{first['input']!r}]" if first["type"] == "tuple_type" else first["msg"]
        raise UsageError(f"{place}: {where}{said}") from error


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{place}: a table is needed, not {value!r}")
    return value


def _known(values: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"{place}: unknown key '{key}'{_nearest(key, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
