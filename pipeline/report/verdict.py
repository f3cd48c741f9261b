"""The answer in sentences that a reviewer accepts and a product manager understands."""

from typing import TYPE_CHECKING

import numpy as np

from fusecat.pipeline.report.contrasts import Contrast
from fusecat.pipeline.report.doubts import doubts, left_out, listed
from fusecat.stages.fields import Field
from fusecat.stages.fusion.wiring import field_of, stands_alone
from fusecat.stages.vocabulary import Architecture, Part

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Score


def verdict(comparison: "Comparison") -> str:
    """Which strategy, by how much, is it real, and how far the answer carries."""
    return " ".join(sentences(comparison))


def sentences(comparison: "Comparison") -> list[str]:
    """The verdict, one thought per sentence: what is chosen, by how much it is better, how sure that is, then the doubts."""
    metric, chosen = comparison.metric, comparison.chosen
    said = [
        f"{chosen.strategy} is chosen on validation: {_figures(comparison, chosen.parts[comparison.report_part][metric.key])}."
    ]
    if comparison.headline is not None:
        said += _headline(comparison, comparison.headline)
    said += _tied(comparison)
    said += _against_regression(comparison)
    said += _against_reference(comparison)
    said += _fields(comparison)
    said += _stability(comparison)
    said += _others(comparison)
    said += left_out(comparison)
    said += doubts(comparison)
    said.append("This holds for these networks and this split.")
    return said


def _figures(comparison: "Comparison", score: "Score") -> str:
    metric, interval = comparison.metric, ""
    if score.low is not None and score.high is not None:
        interval = f" (95 % interval {metric.figure(score.low)} to {metric.figure(score.high)})"
    seeds = f", the mean of {len(score.values)} seeds" if len(score.values) > 1 else ""
    return f"{comparison.report_part} {metric.shown} {metric.figure(score.mean)}{interval}{seeds}"


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


def _headline(comparison: "Comparison", headline: Contrast) -> list[str]:
    metric, value = comparison.metric, headline.difference.value
    who = "It" if headline.one == comparison.chosen.strategy else f"The best fusion, {headline.one},"
    rival = comparison.row(headline.other)
    alone = f"{headline.other}, the best single feature on validation" if rival.candidate.single else headline.other
    if headline.real:
        size = f"{metric.figure(abs(value))}{metric.points}"
        verb = "beats" if metric.sign * value > 0 else "falls behind"
        said = [f"{who} {verb} {alone}, by {size} ({_span(comparison, headline)})."]
    else:
        size = f"{metric.gain(value)}{metric.points}"
        said = [f"{who} is not shown to differ from {alone}: {size} ({_span(comparison, headline)})."]
        one_seed = [name for name in (headline.one, headline.other) if comparison.row(name).candidate.one_seed]
        if one_seed and not min(headline.low, headline.high) <= 0 <= max(headline.low, headline.high):
            said.append(f"That interval holds no spread over seeds: {listed(one_seed)} has one. More seeds would tell.")
    smallest = f"{metric.figure(comparison.detectable or 0.0)}{metric.points}"
    return [
        *said,
        f"With this {comparison.report_part} set, a true difference of {smallest} would be found four times in five.",
    ]


def _span(comparison: "Comparison", contrast: Contrast) -> str:
    """`corrected 95 % interval +0.9 to +9.8`, at the level of the test; the headline's says for how many comparisons."""
    gain, count = comparison.metric.gain, len(comparison.contrasts)
    kind = "corrected 95 % interval" if count > 1 else "95 % interval"
    if count > 1 and contrast is comparison.headline:
        kind = f"95 % interval, corrected for {count:,} comparisons:"
    return f"{kind} {gain(contrast.low)} to {gain(contrast.high)}"


def _tied(comparison: "Comparison") -> list[str]:
    """Single features that validation hardly tells from the reference, and what they reach on the report's part."""
    metric, report_part = comparison.metric, comparison.report_part
    if comparison.reference is None or comparison.headline is None or report_part == Part.VALIDATION:
        return []
    reference = comparison.row(comparison.reference)
    best = reference.parts[Part.VALIDATION][metric.key]
    if not reference.candidate.single or best.low is None or best.high is None:
        return []
    error = (best.high - best.low) / 4  # half of a 95 % interval is about two standard errors
    near = [
        row
        for row in comparison.rows
        if row.candidate.single and row not in (reference, comparison.chosen)
        and metric.sign * (best.mean - row.parts[Part.VALIDATION][metric.key].mean) <= error
    ]  # fmt: skip
    if not near:
        return []
    values = [row.parts[report_part][metric.key].mean for row in near]
    figures = " to ".join(dict.fromkeys(metric.figure(value) for value in (min(values), max(values))))
    own = f"{reference.strategy} {metric.figure(reference.parts[report_part][metric.key].mean)}"
    names = listed([row.strategy for row in near])
    return [f"As good as that feature on validation, within one standard error: {names} (on {report_part} {figures}; {own})."]


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
    contrast = contrast if contrast.one == one else contrast.turned
    value = contrast.difference.value
    span = f"{metric.gain(value)}{metric.points} ({_span(comparison, contrast)})"
    if chosen == known.strategy:
        real = "" if contrast.real else ", not shown to differ"
        return [f"It is a plain logistic regression, tuned: the best head on validation, {one}, gives {span} beside it{real}."]
    if contrast.real and metric.sign * value > 0:
        return [f"It beats a tuned logistic regression, {other}: {span}."]
    return [f"It is not shown to beat a tuned logistic regression, {other}: {span}."]


def _against_reference(comparison: "Comparison") -> list[str]:
    """How far the chosen strategy lies above what costs next to nothing: the reference that validation prefers."""
    references = [row for row in comparison.rows if row.candidate.single and stands_alone(row.candidate.features[0])]
    if not references:
        return []
    chosen, best, metric = comparison.chosen.strategy, references[0].strategy, comparison.metric
    if all(map(stands_alone, comparison.chosen.candidate.features)):
        return [f"{chosen} is the reference that networks have to beat: here validation prefers it to all of them."]
    contrast = next(each for each in comparison.contrasts if {each.one, each.other} == {chosen, best})
    if comparison.headline is not None and {comparison.headline.one, comparison.headline.other} == {chosen, best}:
        return [f"{best} is also the reference that networks have to beat."]
    contrast = contrast if contrast.one == chosen else contrast.turned
    value = contrast.difference.value
    side = "above" if metric.sign * value > 0 else "below"
    real = "" if contrast.real else "; not shown to differ"
    size = f"{metric.figure(abs(value))}{metric.points}"
    span = f"{_span(comparison, contrast)}{real}"
    return [f"It lies {size} {side} {best}, the reference that networks have to beat ({span})."]


def _fields(comparison: "Comparison") -> list[str]:
    """What each field adds to the chosen strategy: refitted without the image, else with a field left out when it predicts."""
    metric, chosen = comparison.metric, comparison.chosen
    refitted = _without_image(comparison)
    if refitted is not None:
        real = "" if refitted.real else "; not shown to differ"
        gain = f"{metric.gain(refitted.difference.value)}{metric.points}"
        return [f"The image adds {gain} to the same texts, {refitted.other} ({_span(comparison, refitted)}{real})."]
    whole = chosen.parts[comparison.report_part][metric.key].mean
    controls: dict[str, list[float]] = {}
    for run in chosen.candidate.runs:
        for name, parts in run.controls.items():
            if name.startswith("without ") and metric.key in parts.get(comparison.report_part, {}):
                controls.setdefault(name, []).append(parts[comparison.report_part][metric.key] - whole)
    if not controls:
        return []
    changes = sorted(((float(np.mean(values)), name) for name, values in controls.items()), key=lambda it: metric.sign * it[0])
    told = [f"{name.removeprefix('without ').replace('_', ' and ')} {metric.gain(value)}" for value, name in changes[:4]]
    spare = [name.removeprefix("without ") for value, name in changes if metric.sign * value >= 0]
    said = [f"Fields left out when it predicts change that by{' (points)' if metric.points else ''}: {', '.join(told)}."]
    return said + ([f"It predicts at least as well without {listed(spare)}."] if spare else [])


def _without_image(comparison: "Comparison") -> Contrast | None:
    """The chosen strategy against the same merge of the same texts alone; None where there is no such row."""
    chosen = comparison.chosen.candidate
    texts = {name for name in chosen.features if field_of(name) != Field.IMAGE}
    if not chosen.fused or len(texts) == len(chosen.features):
        return None
    merges = (chosen.runs[0].first, chosen.runs[0].final)
    alone = [
        row.strategy
        for row in comparison.rows[1:]
        if set(row.candidate.features) == texts
        and (
            (row.candidate.runs[0].first, row.candidate.runs[0].final) == merges
            or row.candidate.architecture == Architecture.PROBE
        )
    ]
    found = (each for name in alone for each in comparison.contrasts if {each.one, each.other} == {chosen.strategy, name})
    contrast = next(found, None)
    return contrast.turned if contrast is not None and contrast.other == chosen.strategy else contrast


def _others(comparison: "Comparison") -> list[str]:
    """How many of the others are shown to be worse or better on the report's part, and which are not."""
    others = [row.strategy for row in comparison.rows[1:]]
    headline, chosen = comparison.headline, comparison.chosen.strategy
    if not others or (headline is not None and len(others) == 1):
        return []
    gains = {}
    for each in comparison.contrasts:
        if each.real and chosen in (each.one, each.other):
            turned = each if each.one == chosen else each.turned
            gains[turned.other] = comparison.metric.sign * turned.difference.value
    worse, better = ([name for name in others if sign * gains.get(name, 0) > 0] for sign in (1, -1))
    alike = [name for name in others if name not in gains]
    report_part = comparison.report_part
    told = [f"{len(worse)} {'is' if len(worse) == 1 else 'are'} shown to be worse on {report_part}"] if worse else []
    told += [f"{len(better)} better ({listed(better)}), which has no say"] if better else []
    if alike:
        told.append(f"{len(alike)} {'is' if len(alike) == 1 else 'are'} not shown to differ: {listed(alike)}")
    if len(told) == 1:
        rest = "is" if len(others) == 1 else "are"
        what = (
            f"shown to be worse on {report_part}"
            if worse
            else f"shown to be better on {report_part}"
            if better
            else "not shown to differ"
        )
        return [f"{'The other strategy' if len(others) == 1 else f'All {len(others)} others'} {rest} {what}."]
    once = " (equal functions count once)" if any(row.candidate.also for row in comparison.rows) else ""
    return [f"Of the {len(others)} others{once}, {'; '.join(told)}."]
