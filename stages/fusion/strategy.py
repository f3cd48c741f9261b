"""Which strategies there are, which features each of them needs, and which can run on the features at hand. No torch.

A strategy is an architecture and its merges; its name is its folder in the workspace and its row in the report.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from fusecat.stages.errors import UsageError
from fusecat.stages.vocabulary import Architecture, Field, Late, Merge, Variant

THESIS_MERGES = (Merge.CONCATENATION, Merge.ADDITION, Merge.AVERAGE)
"""The merges of the study that this project rebuilds; each is a first merge of every final merge."""

ALL = "all"
THESIS = "thesis"
"""`--fusion thesis`: the twelve strategies of the study and their flat controls."""
FUSED = (Architecture.BASELINE, Architecture.FLAT, Architecture.HIERARCHICAL)


@dataclass(frozen=True)
class Strategy:
    """One way from features to a class; `first` is set for hierarchical only, `feature` for uni-modal rows and probes."""

    architecture: Architecture
    first: str | None = None
    final: str | None = None
    feature: str | None = None

    @property
    def name(self) -> str:
        """`hierarchical/concatenation/average`, `late/mean`, `probe/camembert.title`."""
        return "/".join(part for part in (self.architecture.value, self.first, self.final, self.feature) if part)

    @property
    def merge(self) -> str | None:
        """The final merge without its variant: `average` of `average+dropout`."""
        return self.final.partition("+")[0] if self.final else None

    @property
    def variant(self) -> Variant | None:
        """What stands between the final merge and the last layer, if anything. Raises UsageError for one that is not known."""
        name = self.final.partition("+")[2] if self.final else ""
        if name and name not in list(Variant):
            message = f"no variant is called '{name}'; choose from {', '.join(Variant)}"
            raise UsageError(message)
        return Variant(name) if name else None

    @property
    def own(self) -> tuple[str, ...]:
        """Its merges that somebody else wrote, `package.module:Class`: names of code."""
        return tuple(name for name in (self.first, self.merge) if name and ":" in name) if self.architecture in FUSED else ()

    @property
    def learned(self) -> bool:
        """Whether a head is trained for it."""
        return self.architecture in (*FUSED, Architecture.PROBE)

    @property
    def ensemble(self) -> bool:
        """Whether it combines the runs of other strategies, seed by seed."""
        return self.architecture is Architecture.LATE and self.final in (Late.SELECTION, Late.VOTE)

    @property
    def seeded(self) -> bool:
        """Whether seeds matter to it."""
        return self.learned or self.ensemble

    @classmethod
    def parse(cls, name: str, merges: Collection[str] | None = ()) -> "Strategy":
        """The strategy of that name. Raises UsageError that shows the forms a name may have.

        A name that was read from a file must not choose what code is run: a merge of one's own is accepted only where it is
        among `merges`, which the caller of this very call has named. None: the name itself is the caller's, not a file's.
        """
        strategy = cls._of(str(name))
        for merge in strategy.own:
            if merges is not None and merge not in ([merges] if isinstance(merges, str) else merges):
                message = (
                    f"{name} merges by the code '{merge}', which is only run where you name it: if you know it and trust it, "
                    f"pass --merge {merge} (in Python merges=['{merge}'])"
                )
                raise UsageError(message)
        return strategy

    @classmethod
    def _of(cls, name: str) -> "Strategy":
        architecture, _, rest = name.partition("/")
        pieces = rest.split("/")
        if architecture in list(Architecture) and all(piece.strip(".") for piece in pieces):
            match Architecture(architecture), pieces:
                case Architecture.HIERARCHICAL, [first, final]:
                    return cls(Architecture.HIERARCHICAL, first=first, final=final)
                case (Architecture.BASELINE | Architecture.FLAT | Architecture.LATE) as kind, [final]:
                    return cls(kind, final=final)
                case (Architecture.UNIMODAL | Architecture.PROBE) as kind, [feature]:
                    return cls(kind, feature=feature)
        message = (
            f"no strategy is called '{name}'; the forms are baseline/MERGE, flat/MERGE, hierarchical/FIRST/FINAL, late/METHOD, "
            "unimodal/FEATURE and probe/FEATURE"
        )
        raise UsageError(message)


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
    """Texts before images, then by network, then title before description: the one order in which vectors are laid out."""
    fields = [str(part) for part in Field]

    def rank(name: str) -> tuple[bool, str, int, str]:
        part = field_of(name)
        return part == Field.IMAGE, network_of(name), fields.index(part) if part in fields else 0, name

    return tuple(sorted(features, key=rank))


def wire(architecture: Architecture, features: Collection[str]) -> Wiring:
    """Say which features an architecture takes and where they meet.

    Names of `network.field` with the fields of a product are wired as the method says: baseline takes every title_description
    and every image; hierarchical takes title and description of each text network, then the images; flat takes the very
    features of hierarchical in one merge. Names of one's own (none of them is a `network.field` of a product): baseline and
    flat take everything, hierarchical groups what has the same network. The order of `features` is irrelevant.

    Raises: Unwirable with the reason.
    """
    names = canonical(features)
    if not _of_products(names):
        return _wire_own(architecture, names)
    images = [name for name in names if field_of(name) == Field.IMAGE]
    if not images:
        message = "no image feature"
        raise Unwirable(message)
    if architecture is Architecture.BASELINE:
        texts = [name for name in names if field_of(name) == Field.TITLE_DESCRIPTION]
        if not texts:
            message = "no text network has a title_description feature"
            raise Unwirable(message)
        return Wiring(singles=(*texts, *images))
    networks = sorted({network_of(name) for name in names})
    pairs = [tuple(f"{network}.{part}" for part in (Field.TITLE, Field.DESCRIPTION)) for network in networks]
    groups = tuple(pair for pair in pairs if set(pair) <= set(names))
    if not groups:
        message = "no text network has both a title and a description feature"
        raise Unwirable(message)
    return _flatten(architecture, Wiring(groups, tuple(images)))


def _wire_own(architecture: Architecture, names: Sequence[str]) -> Wiring:
    if len(names) < 2:
        message = "a merge needs at least two features"
        raise Unwirable(message)
    if architecture is not Architecture.HIERARCHICAL:
        return Wiring(singles=tuple(names))
    sizes = Counter(network_of(name) for name in names)
    shared = sorted(network for network, count in sizes.items() if network and count > 1)
    groups = tuple(tuple(name for name in names if network_of(name) == network) for network in shared)
    singles = tuple(name for name in names if network_of(name) not in shared)
    if len(groups) + len(singles) < 2 or not groups:
        message = "no two features share a network (the part of the name before the dot) beside another feature"
        raise Unwirable(message)
    return Wiring(groups, singles)


def _flatten(architecture: Architecture, wiring: Wiring) -> Wiring:
    return Wiring(singles=wiring.features) if architecture is Architecture.FLAT else wiring


@dataclass(frozen=True)
class StrategyPlan:
    """What will run, in order, and what will not: strategy or family -> reason."""

    strategies: tuple[Strategy, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "left_out", MappingProxyType(dict(self.left_out)))


def plan(
    fusion: str,
    features: Collection[str],
    *,
    architecture: Architecture | None = None,
    first: str | None = None,
) -> StrategyPlan:
    """Every strategy that `--fusion FUSION` stands for, those whose features are missing left out with the reason.

    One merge M means `baseline/M`, `flat/M` and `hierarchical/F/M` for each thesis merge F (`first` picks one, `architecture`
    narrows all); `thesis` means that for the thesis merges; `all` means thesis, then each other merge once per architecture
    (hierarchical with concatenation and with itself first) and late fusion in every way. Uni-modal rows and probes of every
    feature, the mean of the networks' probabilities, and that mean calibrated, stand beside them always.
    """
    match fusion:
        case "all":
            wanted = [*_thesis(architecture, first), *_others(architecture, first)]
        case "thesis":
            wanted = _thesis(architecture, first)
        case _:
            wanted = _one(fusion, architecture, first)
    strategies: list[Strategy] = []
    left_out: dict[str, str] = {}
    for strategy in wanted:
        try:
            wire(strategy.architecture, features)
        except Unwirable as error:
            left_out[strategy.name] = str(error)
        else:
            strategies.append(strategy)
    for name in unwired(features):
        left_out[name] = "the feature stands alone: no fused head takes it beside network.field of a product's fields"
    alone = (Architecture.UNIMODAL, Architecture.PROBE)
    strategies += [Strategy(kind, feature=name) for kind in alone for name in canonical(features)]
    late = list(Late) if fusion == ALL else [Late.MEAN, Late.CALIBRATED]
    strategies += [Strategy(Architecture.LATE, final=each.value) for each in late]
    return StrategyPlan(tuple(dict.fromkeys(strategies)), left_out)


def unwired(features: Collection[str]) -> list[str]:
    """Names of one's own beside `network.field` of a product: no architecture takes them."""
    own = [name for name in canonical(features) if field_of(name) not in list(Field)]
    return own if _of_products(features) else []


def _of_products(features: Collection[str]) -> bool:
    return any(network_of(name) and field_of(name) in list(Field) for name in features)


def _one(final: str, architecture: Architecture | None, first: str | None) -> list[Strategy]:
    """Baseline, flat and hierarchical with one final merge."""
    firsts = [first] if first else list(THESIS_MERGES)
    strategies = [Strategy(kind, final=final) for kind in (Architecture.BASELINE, Architecture.FLAT)]
    strategies += [Strategy(Architecture.HIERARCHICAL, first=str(each), final=final) for each in firsts]
    return [strategy for strategy in strategies if architecture in (None, strategy.architecture)]


def _thesis(architecture: Architecture | None, first: str | None) -> list[Strategy]:
    found = [strategy for final in THESIS_MERGES for strategy in _one(final.value, architecture, first)]
    found = sorted(found, key=lambda strategy: FUSED.index(strategy.architecture))
    # the two variants that the study tried: dropout on the flat average, more layers on the average of averages
    variants = [Strategy.parse("flat/average+dropout"), Strategy.parse("hierarchical/average/average+layers")]
    return found + [strategy for strategy in variants if architecture in (None, strategy.architecture)]


def _others(architecture: Architecture | None, first: str | None) -> list[Strategy]:
    others = [merge.value for merge in Merge if merge not in THESIS_MERGES]
    found = []
    for final in others:
        firsts = [first] if first else [Merge.CONCATENATION.value, final]
        found += [strategy for each in firsts for strategy in _one(final, architecture, each)]
    return list(dict.fromkeys(found))
