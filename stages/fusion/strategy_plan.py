"""Which strategies will run on the features at hand, and why others will not. No torch."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fusecat.stages.errors import UsageError
from fusecat.stages.fields import Field
from fusecat.stages.fusion.strategy import FUSED, SETS, THESIS_MERGES, Strategy, chosen
from fusecat.stages.fusion.wiring import Unwirable, canonical, field_of, fusible, wire
from fusecat.stages.vocabulary import Architecture, Late, Merge

ALL = "all"
THESIS = "thesis"
"""`--fusion thesis`: the twelve strategies of the study and their flat controls."""
LONGEST_SUBSET = 200
"""Characters of a choice of features: it is part of a folder's name, which most file systems end at 255 bytes."""
EQUAL_TERMS = (Late.MEAN, Late.PROBES, Late.CALIBRATED)
"""The ways of late fusion that are run on each of these sets."""


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
    probes of every feature, and late fusion by `EQUAL_TERMS` and a tuned logistic regression, of the features of `SETS`, stand
    beside them always.

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
    sets = {kind: names for kind in reversed(SETS) if len(names := _taken(kind, features)) > 1}
    kinds = {names: kind for kind, names in sets.items()}  # once where both take the same
    strategies += [Strategy(Architecture.LOGISTIC, final=kind.value, subset=subset) for kind in kinds.values()]
    late = [each for each in Late if fusion == ALL or each in EQUAL_TERMS]
    if subset:
        late = [each for each in late if each not in (Late.SELECTION, Late.VOTE)]  # these combine whatever was run
    strategies += [Strategy(Architecture.LATE, final=each.value, subset=subset) for each in late]
    if not subset:
        strategies += [
            Strategy(Architecture.LATE, final=each.value, subset=kind.value)
            for names, kind in kinds.items()
            if len(names) < len(fusible(features))
            for each in EQUAL_TERMS
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
        if "@" in name:
            raise UsageError(f"the feature '{name}' cannot be chosen by name, because of its '@'")
    if fusible(set(only)) == fusible(features):
        return None
    found = "+".join(canonical(set(only)))
    if set(chosen(found, features)) != set(only):
        raise UsageError(f"the names of these features joined, '{found}', could be others too: leave out one that has a '+'")
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
