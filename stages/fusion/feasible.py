"""What a workspace's features allow: which of them a strategy takes, and which strategies can run. Needs no torch."""

from collections import Counter
from collections.abc import Mapping

from fusecat.cache.stream import StreamedTable
from fusecat.cache.table import Feature, FeatureTable
from fusecat.stages.fields import ATTRIBUTES, Field
from fusecat.stages.fusion.late.crossfit import FOLDS, learns_from
from fusecat.stages.fusion.limits import refuses, takes_hours
from fusecat.stages.fusion.strategy import FUSED, Strategy
from fusecat.stages.fusion.strategy_plan import StrategyPlan
from fusecat.stages.fusion.wiring import Wiring, field_of, wire
from fusecat.stages.vocabulary import Architecture, Late, Merge, Part

PROJECTED = (Field.IMAGE, ATTRIBUTES)
"""Fields whose vectors no text network made: their width says nothing of that in which vectors meet."""


LARGEST_REGRESSION = 200_000_000
"""Products x columns (no more than products) x classes of a logistic regression that takes about a minute to tune."""


def feasible(table: FeatureTable, chosen: StrategyPlan, *, patient: bool = False) -> StrategyPlan:
    """Leave out, with the reason, what the features' widths, missing logits or many classes do not allow.

    `patient`: tune a logistic regression however long it takes.
    """
    widths = {name: feature.width for name, feature in table.features.items()}
    kept, left_out = [], dict(chosen.left_out)
    for strategy in chosen.strategies:
        if reason := _obstacle(strategy, table, widths, patient=patient):
            left_out[strategy.name] = reason
        else:
            kept.append(strategy)
    if not any(strategy.architecture in FUSED for strategy in kept):
        gone = [strategy for strategy in kept if strategy.final in (Late.SELECTION, Late.VOTE)]
        left_out |= {strategy.name: "there is no fused head to combine" for strategy in gone}
        kept = [strategy for strategy in kept if strategy not in gone]
    return StrategyPlan(tuple(kept), left_out)


def _obstacle(strategy: Strategy, table: FeatureTable, widths: Mapping[str, int], *, patient: bool) -> str | None:
    """Why a strategy cannot run on these features, if it cannot."""
    if strategy.logistic:
        return _too_long(strategy, table, patient=patient)
    if strategy.architecture is Architecture.UNIMODAL:
        return None if table.features[str(strategy.feature)].logits is not None else f"{strategy.feature} has no logits"
    if strategy.architecture is Architecture.LATE:
        if strategy.ensemble:
            return None if len(strategy.within(table.features)) > 1 else "there are not two features"
        names = with_logits(strategy, table.features)
        return _takes_hours(strategy, table, names) if len(names) > 1 else "fewer than two features have logits"
    return _too_large(strategy, widths)


def _too_long(strategy: Strategy, table: FeatureTable, *, patient: bool) -> str | None:
    """Why a logistic regression cannot be tuned, or not in a minute."""
    if isinstance(table, StreamedTable):
        return "it needs its vectors in memory: pass --no-stream"
    products = len(table.rows(Part.TRAIN, Part.HEAD))
    columns = sum(table.features[name].width for name in wiring_of(strategy, table.features).features)
    if patient or products * min(products, columns) * len(table.classes) <= LARGEST_REGRESSION:
        return None
    size = f"{products:,} products, {columns:,} columns and {len(table.classes):,} classes"
    return f"to tune it for {size} takes minutes: pass --architecture {Architecture.LOGISTIC} or --fusion all"


def _takes_hours(strategy: Strategy, table: FeatureTable, names: tuple[str, ...]) -> str | None:
    """Why a late fusion would learn for too long from these features, or None."""
    rows = {part.value: table.rows(part) for part in Part if part in table.parts}
    part = learns_from(table.features, names, rows)
    times = FOLDS if part is Part.VALIDATION else 1  # a fit per fold, on what is outside of it, and one on all
    return takes_hours(Late(str(strategy.final)), times * len(rows.get(part, ())), len(names), len(table.classes))


def _too_large(strategy: Strategy, widths: Mapping[str, int]) -> str | None:
    """Why this strategy cannot be built on vectors of these widths, or None."""
    wiring = wiring_of(strategy, widths)
    width = common_width({name: widths[name] for name in wiring.features})
    meeting = [(strategy.first, len(group)) for group in wiring.groups]
    for name, count in [*meeting, (strategy.merge, len(wiring.groups) + len(wiring.singles))]:
        if name and (reason := _refused(name, count, width)):
            return reason
    return None


def _refused(name: str, count: int, width: int) -> str | None:
    if ":" not in name:
        return refuses(Merge(name), count, width)
    from fusecat.stages.fusion.merges.plugin import load_merge  # torch, which our own merges are not asked for

    return load_merge(name).refuses(count, width)


def wiring_of(strategy: Strategy, features: Mapping[str, object]) -> Wiring:
    """Which of these features the strategy takes, and where they meet."""
    if strategy.architecture is Architecture.PROBE and strategy.feature:
        return Wiring(singles=(strategy.feature,))
    if strategy.logistic:
        return Wiring(singles=wire(Architecture(strategy.final or ""), strategy.within(features)).features)
    return wire(strategy.architecture, strategy.within(features))


def with_logits(strategy: Strategy, features: Mapping[str, Feature]) -> tuple[str, ...]:
    """The features that a late fusion combines, in canonical order: those whose network says a class."""
    return tuple(name for name in strategy.within(features) if features[name].logits is not None)


def features_of(strategy: Strategy, table: FeatureTable) -> tuple[str, ...]:
    """The features whose content decides a run of this strategy."""
    if strategy.feature:
        return (strategy.feature,)
    if strategy.architecture is Architecture.LATE:
        return with_logits(strategy, table.features)
    return wiring_of(strategy, table.features).features


def common_width(widths: Mapping[str, int]) -> int:
    """The width in which vectors meet: the commonest of the text features (the smallest of several), or of all without text."""
    texts = [width for name, width in widths.items() if field_of(name) not in PROJECTED] or list(widths.values())
    counts = Counter(texts)
    return min(counts, key=lambda width: (-counts[width], width))
