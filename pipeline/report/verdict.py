"""The answer in sentences that a reviewer accepts and a product manager understands."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from fusecat.pipeline.report.contrasts import Contrast
from fusecat.pipeline.report.memorisation import caveats
from fusecat.stages.fields import KNOWN
from fusecat.stages.fusion.strategy import FUSED
from fusecat.stages.fusion.wiring import Unwirable, field_of, network_of, stands_alone, wire
from fusecat.stages.metrics import ACCURACY
from fusecat.stages.vocabulary import Architecture, Part

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Score


def verdict(comparison: "Comparison") -> str:
    """Which strategy, by how much, is it real, and how far the answer carries."""
    return " ".join(sentences(comparison))


def sentences(comparison: "Comparison") -> list[str]:
    """The verdict, one thought per sentence."""
    metric, chosen = comparison.metric, comparison.chosen
    said = [f"{chosen.strategy} is chosen on validation ({_figures(comparison, chosen.parts[comparison.judged][metric.key])})."]
    said += _stability(comparison)
    said += _left_out(comparison)
    alike = [row.strategy for row in comparison.rows[1:] if not _apart(comparison, row.strategy)]
    if alike:
        said.append(f"{_list(alike)} cannot be told from it.")
    elif len(comparison.rows) > 1:
        said.append("Every other strategy can be told from it.")
    if comparison.headline is not None:
        said += _headline(comparison, comparison.headline)
    said += _against_regression(comparison)
    said += _against_reference(comparison)
    if comparison.judged == Part.VALIDATION:
        said.append("There is no test part: these are selection scores, better than what new products will show.")
    said += _untold(comparison)
    if any(row.candidate.one_seed for row in comparison.rows):
        said.append(
            "Heads with one seed only: their spread over seeds is not known, so no difference from them is called real."
        )
    said += caveats(comparison.study, comparison.judged)
    said.append("This holds for these networks and this split.")
    return said


def _figures(comparison: "Comparison", score: "Score") -> str:
    metric, interval = comparison.metric, ""
    if score.low is not None and score.high is not None:
        interval = f", 95 % interval {metric.figure(score.low)} to {metric.figure(score.high)}"
    return f"{comparison.judged} {metric.shown} {metric.figure(score.mean)}{interval}"


def _stability(comparison: "Comparison") -> list[str]:
    """How often other validation products would have chosen it, and what costs less and is nearly as good there."""
    if len(comparison.rows) < 2:
        return []
    chosen, rival = comparison.chosen, max(comparison.rows[1:], key=lambda row: row.share)
    said = f"Of resampled validation sets {100 * chosen.share:.0f} % choose it"
    if rival.share >= 0.05:
        said += f", {100 * rival.share:.0f} % {rival.strategy}"
    sentences = [f"{said}."]
    if comparison.frugal not in (None, chosen.strategy):
        features = len(comparison.row(str(comparison.frugal)).candidate.features)
        sentences.append(
            f"The cheapest within one standard error of it on validation is {comparison.frugal} "
            f"({features} of {len(chosen.candidate.features)} features)."
        )
    return sentences


def _left_out(comparison: "Comparison") -> list[str]:
    """Architectures that these features do not allow, and features that no fused strategy takes."""
    features = list(dict.fromkeys(name for row in comparison.rows for name in row.candidate.features))
    reasons: dict[str, list[str]] = {}
    kinds = [kind for kind in FUSED if kind is not Architecture.TEXT]  # a control that nobody misses
    for kind in kinds:
        try:
            wire(kind, features)
        except Unwirable as error:
            reasons.setdefault(str(error), []).append(kind.value)
    if sum(map(len, reasons.values())) == len(kinds):
        return [f"Nothing is fused: {next(iter(reasons))}."]
    said = [f"Left out: {_list(kinds)} ({reason})." for reason, kinds in reasons.items()]
    fused = {name for row in comparison.rows if row.candidate.fused for name in row.candidate.features}
    if not fused:
        return [*said, "No fusion was run: 'fusecat fuse' compares one with the single features."]
    if any(network_of(name) and field_of(name) not in KNOWN for name in fused):
        said += _takings(kinds, features)
    if alone := [name for name in features if name not in fused and not stands_alone(name)]:
        said.append(f"No fused strategy takes {_list(alone)}.")
    return said


def _takings(kinds: Sequence[Architecture], features: Sequence[str]) -> list[str]:
    """What each architecture that can be wired takes: told where features have other fields than title, description, image."""
    taken: dict[tuple[str, ...], list[str]] = {}
    for kind in kinds:
        with suppress(Unwirable):
            taken.setdefault(wire(kind, features).features, []).append(kind.value)
    return [
        f"{_list(kinds).capitalize()} take{'' if len(kinds) > 1 else 's'} {_list(list(names))}."
        for names, kinds in taken.items()
    ]


def _headline(comparison: "Comparison", headline: Contrast) -> list[str]:
    metric, difference = comparison.metric, headline.difference
    better = metric.sign * difference.value > 0
    unit = metric.points
    span = f"{metric.gain(difference.value)}{unit} ({metric.gain(difference.low)} to {metric.gain(difference.high)})"
    who = "It" if headline.one == comparison.chosen.strategy else f"The best fusion, {headline.one},"
    alone = f"{headline.other}, the best single feature on validation"
    if not comparison.row(headline.other).candidate.single:
        alone = headline.other
    if headline.real:
        said = f"{who} {'beats' if better else 'falls behind'} {alone}: {span}."
    else:
        said = f"{who} shows no real difference from {alone}: {span}."
        if min(difference.low, difference.high) > 0 or max(difference.low, difference.high) < 0:
            unknown = any(comparison.row(name).candidate.one_seed for name in (headline.one, headline.other))
            chance = "another seed may" if unknown else f"chance, given {len(comparison.contrasts)} planned comparisons, may"
            said += f" The interval alone leaves out zero, but {chance} explain it."
    smallest = metric.figure(comparison.detectable or 0.0)
    return [
        said,
        f"The smallest difference that this {comparison.judged} set could have shown between them is {smallest}{unit}.",
    ]


def _against_regression(comparison: "Comparison") -> list[str]:
    """Whether a head is worth more than the tuned logistic regression that validation prefers."""
    rows, metric = comparison.rows, comparison.metric
    known = next((row for row in rows if row.candidate.architecture == Architecture.LOGISTIC), None)
    best = next((row for row in rows if row.candidate.fused), None)
    if known is None or best is None:
        return []
    chosen = comparison.chosen.strategy
    one, other = (best.strategy, known.strategy) if chosen == known.strategy else (chosen, known.strategy)
    contrast = next(each for each in comparison.contrasts if {each.one, each.other} == {one, other})
    difference = (contrast if contrast.one == one else contrast.turned).difference
    span = f"{metric.gain(difference.value)}{metric.points} ({metric.gain(difference.low)} to {metric.gain(difference.high)})"
    if chosen == known.strategy:
        real = "" if contrast.real else ", no real difference"
        return [f"It is a plain logistic regression, tuned: the best head on validation, {one}, gives {span} beside it{real}."]
    if contrast.real and metric.sign * difference.value > 0:
        return [f"It beats a tuned logistic regression, {other}: {span}."]
    return [f"It is not shown to beat a tuned logistic regression, {other}: {span}."]


def _against_reference(comparison: "Comparison") -> list[str]:
    """How far the chosen strategy lies above what costs next to nothing: the reference that validation prefers."""
    references = [row for row in comparison.rows if row.candidate.single and stands_alone(row.candidate.features[0])]
    if not references:
        return []
    chosen, best, metric = comparison.chosen.strategy, references[0].strategy, comparison.metric
    if all(map(stands_alone, comparison.chosen.candidate.features)):
        return [f"{chosen} is the reference for what networks are worth: here validation prefers it to all of them."]
    contrast = next(each for each in comparison.contrasts if {each.one, each.other} == {chosen, best})
    difference = (contrast if contrast.one == chosen else contrast.turned).difference
    side = "above" if metric.sign * difference.value > 0 else "below"
    real = "" if contrast.real else ", no real difference"
    span = f"{metric.gain(difference.low)} to {metric.gain(difference.high)}{real}"
    size = f"{metric.figure(abs(difference.value))}{metric.points}"
    return [f"It lies {size} {side} {best}, the reference for what networks are worth ({span})."]


def _untold(comparison: "Comparison") -> list[str]:
    """What no interval can hold: classes of one product, and a chosen strategy that is never wrong, or always."""
    judged, sizes = comparison.judged, np.bincount(comparison.study.labels(comparison.judged))
    single = int((sizes == 1).sum())
    said = []
    if single:
        said.append(f"{single:,} of {(sizes > 0).sum():,} type codes have one {judged} product: no interval counts its luck.")
    values = comparison.chosen.parts[judged][ACCURACY.key].values
    if set(values) <= {0.0} or set(values) <= {1.0}:
        extreme = "right" if values[0] else "wrong"
        said.append(f"It has every {judged} product {extreme}, so its interval says nothing: a larger {judged} set would.")
    return said


def _apart(comparison: "Comparison", strategy: str) -> bool:
    """Whether a primary contrast tells the strategy from the chosen one."""
    pair = {strategy, comparison.chosen.strategy}
    return any(contrast.real for contrast in comparison.contrasts if {contrast.one, contrast.other} == pair)


def _list(names: list[str]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
