"""Which features an architecture takes, and where they meet. No torch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fusecat.stages.fields import KNOWN, Field, parts_of
from fusecat.stages.vocabulary import REFERENCE, Architecture


@dataclass(frozen=True)
class Wiring:
    """Which features meet where: the first merge merges each of `groups`, the final merge their results and `singles`."""

    groups: tuple[tuple[str, ...], ...] = ()
    singles: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature, in canonical order."""
        return canonical([*self.singles, *(name for group in self.groups for name in group)])


class Unwirable(ValueError):
    """The features at hand do not allow this architecture; the message is the reason that a person reads."""


def network_of(feature: str) -> str:
    """`camembert` of `camembert.title`."""
    return feature.rpartition(".")[0]


def field_of(feature: str) -> str:
    """`title` of `camembert.title`."""
    return feature.rpartition(".")[2]


def canonical(features: Collection[str]) -> tuple[str, ...]:
    """The one order in which vectors are laid out: texts before images, by network, title before description before others."""

    def rank(name: str) -> tuple[bool, str, int, str]:
        part = field_of(name)
        return part == Field.IMAGE, network_of(name), KNOWN.index(part) if part in KNOWN else len(KNOWN), name

    return tuple(sorted(features, key=rank))


def stands_alone(feature: str) -> bool:
    """Whether a feature is only a reference: it has rows of its own, and enters no merge, no late fusion, no ensemble."""
    return feature.startswith(REFERENCE)


def fusible(features: Collection[str]) -> tuple[str, ...]:
    """The features that are no mere references, in canonical order."""
    return canonical([name for name in features if not stands_alone(name)])


def wire(architecture: Architecture, features: Collection[str]) -> Wiring:
    """Say which features an architecture takes and where they meet; only a reference stands beside.

    Features called `network.field` belong to one network; an image, and a name without a network, is a network of its own.
    Baseline takes each network's fullest texts: none whose parts all stand in another (title beside title_description).
    Hierarchical merges first what a network says of two or more parts of a product, then everything; flat takes the very
    features of hierarchical in one merge. A joined text whose parts all stand by themselves says nothing new, and is left to
    baseline. Text takes what baseline takes but the images: the control that says what these add. The order of `features` is
    irrelevant.

    Raises: Unwirable with the reason.
    """
    networks: dict[str, list[str]] = {}
    for name in fusible(features):
        networks.setdefault((field_of(name) != Field.IMAGE and network_of(name)) or name, []).append(name)
    if architecture in (Architecture.BASELINE, Architecture.TEXT):
        found = [name for names in networks.values() for name in _fullest(names)]
        if architecture is Architecture.BASELINE:
            return _together(found)
        return _together([name for name in found if field_of(name) != Field.IMAGE])
    taken = [_parts(names) for names in networks.values()]
    groups = tuple(tuple(names) for names in taken if len(names) > 1)
    wiring = Wiring(groups, tuple(name for names in taken if len(names) == 1 for name in names))
    if architecture is Architecture.FLAT:
        return _together(wiring.features)
    if not groups:
        raise Unwirable("no network has features of two parts of a product, such as title and description")
    if len(taken) < 2:
        raise Unwirable(f"nothing stands beside the features of {network_of(groups[0][0])}")
    return wiring


def _together(features: Sequence[str]) -> Wiring:
    if len(features) < 2:
        raise Unwirable(f"a merge needs at least two features, and there is {features[0] if features else 'none'} alone")
    return Wiring(singles=tuple(features))


def _fullest(names: Sequence[str]) -> list[str]:
    """Those whose parts do not all stand in a longer one."""
    texts = {name: set(parts_of(field_of(name))) for name in names}
    return [name for name, parts in texts.items() if not any(parts < others for others in texts.values())]


def _parts(names: Sequence[str]) -> list[str]:
    """The parts that stand by themselves, and joined texts that say more than these."""
    alone = {field_of(name) for name in names}
    return [name for name in names if len(parts := parts_of(field_of(name))) < 2 or not alone.issuperset(parts)]
