"""Which strategies there are, which features each of them needs, and which can run on the features at hand. No torch.

A strategy is an architecture and its merges; its name is its folder in the workspace and its row in the report.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fusecat.stages.errors import UsageError
from fusecat.stages.vocabulary import REFERENCE, Architecture, Field, Late, Merge, Variant

THESIS_MERGES = (Merge.CONCATENATION, Merge.ADDITION, Merge.AVERAGE)
"""The merges of the study that this project rebuilds; each is a first merge of every final merge."""

ALL = "all"
THESIS = "thesis"
"""`--fusion thesis`: the twelve strategies of the study and their flat controls."""
FUSED = (Architecture.BASELINE, Architecture.FLAT, Architecture.HIERARCHICAL, Architecture.TEXT)
SETS = (Architecture.BASELINE, Architecture.FLAT)
"""Late fusion takes all features, or, `late/mean@flat`, the very features of one of these: early or late, on equal terms."""
LONGEST_SUBSET = 200
"""Characters of a choice of features: it is part of a folder's name, which most file systems end at 255 bytes."""
EQUAL_TERMS = (Late.MEAN, Late.PROBES, Late.CALIBRATED)
"""The ways of late fusion that are run on each of these sets."""


@dataclass(frozen=True)
class Strategy:
    """One way from features to a class; `first` is set for hierarchical only, `feature` for uni-modal rows and probes.

    `subset`: the only features that it may look at, joined by `+`, or, for late fusion, an architecture that takes them.
    """

    architecture: Architecture
    first: str | None = None
    final: str | None = None
    feature: str | None = None
    subset: str | None = None

    @property
    def name(self) -> str:
        """`hierarchical/concatenation/average`, `late/mean@flat`, `probe/camembert.title`, `flat/average@a.title+b.image`."""
        name = "/".join(part for part in (self.architecture.value, self.first, self.final, self.feature) if part)
        return f"{name}@{self.subset}" if self.subset else name

    @property
    def merge(self) -> str | None:
        """The final merge without its variant: `average` of `average+dropout`."""
        return self.final.partition("+")[0] if self.final else None

    @property
    def variant(self) -> Variant | None:
        """What stands between the final merge and the last layer, if anything. Raises UsageError for one that is not known."""
        name = self.final.partition("+")[2] if self.final else ""
        if name and name not in list(Variant):
            raise UsageError(f"no variant is called '{name}'; choose from {', '.join(Variant)}")
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
        return self.architecture is Architecture.LATE and self.final in (Late.SELECTION, Late.VOTE, Late.PROBES)

    @property
    def fuses(self) -> bool:
        """Whether it looks at more than one feature."""
        return self.architecture not in (Architecture.UNIMODAL, Architecture.PROBE)

    def within(self, features: Collection[str]) -> tuple[str, ...]:
        """Those of these features that it may look at, in canonical order. Raises Unwirable where one is not there."""
        if self.feature:
            return (self.feature,)
        if self.subset is None:
            return _fusible(features)
        if self.architecture is Architecture.LATE and self.subset in list(SETS):
            return wire(Architecture(self.subset), features).features
        names = self.subset.split("+")
        for name in names:
            if name not in features:
                raise Unwirable(f"there is no feature {name}")
        return canonical(names)

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
                raise UsageError(
                    f"{name} merges by the code '{merge}', which is only run where you name it: if you know it and trust it, "
                    f"pass --merge {merge} (in Python merges=['{merge}'])"
                )
        return strategy

    @classmethod
    def _of(cls, name: str) -> "Strategy":
        architecture, _, rest = name.partition("/")
        if architecture in (Architecture.UNIMODAL, Architecture.PROBE):
            subset = None  # a feature may be called anything
        else:
            rest, _, subset = rest.partition("@")
        pieces = rest.split("/")
        if architecture in list(Architecture) and all(piece.strip(".") for piece in pieces):
            match Architecture(architecture), pieces:
                case Architecture.HIERARCHICAL, [first, final]:
                    return cls(Architecture.HIERARCHICAL, first=first, final=final, subset=subset or None)
                case (Architecture.BASELINE | Architecture.FLAT | Architecture.TEXT | Architecture.LATE) as kind, [final]:
                    return cls(kind, final=final, subset=subset or None)
                case (Architecture.UNIMODAL | Architecture.PROBE) as kind, [feature]:
                    return cls(kind, feature=feature)
        raise UsageError(
            f"no strategy is called '{name}'; the forms are baseline/MERGE, flat/MERGE, hierarchical/FIRST/FINAL, text/MERGE, "
            "late/METHOD, each with @FEATURE+FEATURE... or without, unimodal/FEATURE and probe/FEATURE"
        )


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
    fields = [str(part) for part in Field]

    def rank(name: str) -> tuple[bool, str, int, str]:
        part = field_of(name)
        return part == Field.IMAGE, network_of(name), fields.index(part) if part in fields else len(fields), name

    return tuple(sorted(features, key=rank))


def stands_alone(feature: str) -> bool:
    """Whether a feature is only a reference: it has rows of its own, and enters no merge, no late fusion, no ensemble."""
    return feature.startswith(REFERENCE)


def _fusible(features: Collection[str]) -> tuple[str, ...]:
    """The features that are no mere references, in canonical order."""
    return canonical([name for name in features if not stands_alone(name)])


def wire(architecture: Architecture, features: Collection[str]) -> Wiring:
    """Say which features an architecture takes and where they meet; only a reference stands beside.

    Features called `network.field` belong to one network; an image, and a name without a network, is a network of its own.
    Baseline takes each network's joined text (title_description), else all that it has. Hierarchical merges first what a
    network says of two or more parts of a product, then everything; flat takes the very features of hierarchical in one
    merge. A joined text says again what two parts say, and is then left to baseline. Text takes what baseline takes but the
    images: the control that says what these add. The order of `features` is irrelevant.

    Raises: Unwirable with the reason.
    """
    networks: dict[str, list[str]] = {}
    for name in _fusible(features):
        networks.setdefault((field_of(name) != Field.IMAGE and network_of(name)) or name, []).append(name)
    if architecture in (Architecture.BASELINE, Architecture.TEXT):
        taken = [[name for name in names if _joined(name)] or names for names in networks.values()]
        found = [name for names in taken for name in names]
        if architecture is Architecture.BASELINE:
            return _together(found)
        return _together([name for name in found if field_of(name) != Field.IMAGE])
    taken = [names if len(parts) < 2 else parts for names in networks.values() for parts in [_parts(names)]]
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


def _joined(name: str) -> bool:
    return field_of(name) == Field.TITLE_DESCRIPTION


def _parts(names: Sequence[str]) -> list[str]:
    return [name for name in names if not _joined(name)]


@dataclass(frozen=True)
class StrategyPlan:
    """What will run, in order, and what will not: strategy or family -> reason."""

    strategies: tuple[Strategy, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "left_out", MappingProxyType(dict(self.left_out)))

    @property
    def left_out_lines(self) -> list[str]:
        """One line per reason: `left out: 36 of hierarchical, such as hierarchical/addition/average (REASON)`."""
        reasons: dict[tuple[str, str], list[str]] = {}
        for name, reason in self.left_out.items():
            reasons.setdefault((name.partition("/")[0], reason), []).append(name)
        return [
            f"left out: {names[0] if len(names) == 1 else f'{len(names)} of {kind}, such as {names[0]}'} ({reason})"
            for (kind, reason), names in reasons.items()
        ]


def plan(
    fusion: str,
    features: Collection[str],
    *,
    architecture: Architecture | None = None,
    first: str | None = None,
    only: Collection[str] | None = None,
) -> StrategyPlan:
    """Every strategy that `--fusion FUSION` stands for, those whose features are missing left out with the reason.

    One merge M means `baseline/M`, `flat/M`, `text/M` and `hierarchical/F/M` for each thesis merge F (`first` picks one,
    `architecture` narrows all); `thesis` means that for the thesis merges; `all` means thesis, then each other merge once per
    architecture (hierarchical with concatenation and with itself first) and late fusion in every way. Uni-modal rows and
    probes of every feature, and late fusion by `EQUAL_TERMS`, of all features and of those of `SETS`, stand beside them always.

    `only`: the features that may be looked at; what fuses fewer than all says so in its name.

    Raises: UsageError where one of them is not there.
    """
    subset = _subset(only, features)
    features = features if only is None else canonical(only)
    match fusion:
        case "all":
            wanted = [*_thesis(architecture, first), *_others(architecture, first)]
        case "thesis":
            wanted = _thesis(architecture, first)
        case _:
            wanted = _one(fusion, architecture, first)
    strategies: list[Strategy] = []
    left_out: dict[str, str] = {}
    pictures = any(field_of(name) == Field.IMAGE for name in features)
    for strategy in wanted:
        try:
            if strategy.architecture is Architecture.TEXT and not pictures:
                raise Unwirable("there is no image to leave out, so it would be baseline again")
            wire(strategy.architecture, features)
        except Unwirable as error:
            # nobody asks for the control where there is nothing to control
            if strategy.architecture is not Architecture.TEXT or architecture is Architecture.TEXT:
                left_out[strategy.name] = str(error)
        else:
            strategies.append(replace(strategy, subset=subset))
    alone = (Architecture.UNIMODAL, Architecture.PROBE)
    strategies += [Strategy(kind, feature=name) for kind in alone for name in canonical(features)]
    late = [each for each in Late if fusion == ALL or each in EQUAL_TERMS]
    if subset:
        late = [each for each in late if each not in (Late.SELECTION, Late.VOTE)]  # these combine whatever was run
    strategies += [Strategy(Architecture.LATE, final=each.value, subset=subset) for each in late]
    if not subset:
        sets = {kind: names for kind in reversed(SETS) if 1 < len(names := _taken(kind, features)) < len(_fusible(features))}
        kinds = {names: kind for kind, names in sets.items()}  # once where both take the same
        strategies += [
            Strategy(Architecture.LATE, final=each.value, subset=kind.value) for kind in kinds.values() for each in EQUAL_TERMS
        ]
    return StrategyPlan(tuple(dict.fromkeys(strategies)), left_out)


def _taken(architecture: Architecture, features: Collection[str]) -> tuple[str, ...]:
    """What an architecture would take; () where it cannot be wired."""
    try:
        return wire(architecture, features).features
    except Unwirable:
        return ()


def _subset(only: Collection[str] | None, features: Collection[str]) -> str | None:
    """The name of a choice of features; None for all of them."""
    if only is None:
        return None
    for name in only:
        if name not in features:
            near = difflib.get_close_matches(name, features, n=1) or canonical(features)
            raise UsageError(f"there is no feature '{name}' (did you mean {' or '.join(near)}?)")
        if "+" in name or "@" in name:
            raise UsageError(f"the feature '{name}' cannot be chosen by name, because of its '+' or '@'")
    if _fusible(set(only)) == _fusible(features):
        return None
    found = "+".join(canonical(set(only)))
    if len(found) > LONGEST_SUBSET:
        raise UsageError(
            f"the names of the {len(set(only))} chosen features have {len(found)} characters, {LONGEST_SUBSET} at most"
        )
    return found


def _one(final: str, architecture: Architecture | None, first: str | None) -> list[Strategy]:
    """Baseline, flat, hierarchical and text with one final merge."""
    firsts = [first] if first else list(THESIS_MERGES)
    strategies = [Strategy(kind, final=final) for kind in (Architecture.BASELINE, Architecture.FLAT)]
    strategies += [Strategy(Architecture.HIERARCHICAL, first=str(each), final=final) for each in firsts]
    strategies.append(Strategy(Architecture.TEXT, final=final))
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
