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
    said += [metric.convention] * (metric.sign < 0)
    if comparison.headline is not None:
        said += _headline(comparison, comparison.headline)
    said += _planned(comparison)
    said += _detectable(comparison)
    said += _tied(comparison)
    said += _against_regression(comparison)
    said += _against_reference(comparison)
    said += _fields(comparison)
    said += _stability(comparison)
    said += _others(comparison)
    said += left_out(comparison)
    said += doubts(comparison)
    said.append(f"This holds for these {_inputs(comparison)} and this split.")
    return said


def _figures(comparison: "Comparison", score: "Score") -> str:
    metric, interval = comparison.metric, ""
    if score.low is not None and score.high is not None:
        interval = f" (95 % interval {metric.figure(score.low)} to {metric.figure(score.high)})"
    seeds = f", the mean of {len(score.values)} seeds" if len(score.values) > 1 else ""
    return f"{comparison.report_part} {metric.shown} {metric.figure(score.mean)}{interval}{seeds}"


def _inputs(comparison: "Comparison") -> str:
    """What was compared on: networks that this study has, or vectors that were brought along."""
    info = comparison.study.info
    unknown = {} if info.preset else {"imported": None}
    used = {name for row in comparison.rows for name in row.candidate.features}
    return "networks" if any("imported" not in info.features.get(name, unknown) for name in used) else "vectors"


def _it(comparison: "Comparison") -> str:
    return "The chosen feature" if comparison.chosen.candidate.single else "The chosen strategy"


def _stability(comparison: "Comparison") -> list[str]:
    """How often other validation products would have chosen it, and what costs less and is nearly as good there."""
    if len(comparison.rows) < 2:
        return []
    chosen, tied = comparison.chosen, [row.strategy for row in comparison.tied]
    if tied:
        others = "one other" if len(tied) == 1 else f"{len(tied)} others"
        rule = "of equals the cheapest stands first, by features, then by parameters, then by name"
        return [f"It ties on validation with {others}, {listed(tied)}: {rule}."]
    rival = max(comparison.rows[1:], key=lambda row: row.share)
    said = f"Of resampled validation sets {100 * chosen.share:.0f} % choose it"
    if rival.share >= 0.05:
        said += f", {100 * rival.share:.0f} % {rival.strategy}"
    sentences = [f"{said}."]
    if comparison.frugal not in (None, chosen.strategy):
        features, of = len(comparison.row(str(comparison.frugal)).candidate.features), len(chosen.candidate.features)
        fewer = f" ({features} of {of} features)" if features < of else ""
        sentences.append(f"The cheapest within one standard error of it on validation is {comparison.frugal}{fewer}.")
        headline, alone = comparison.headline, comparison.row(str(comparison.frugal)).candidate.single
        if alone and not chosen.candidate.single and headline is not None and not headline.real:
            sentences.append("So nothing shows here that fusion is worth its cost.")
    return sentences


def _headline(comparison: "Comparison", headline: Contrast) -> list[str]:
    metric, value = comparison.metric, headline.difference.value
    who, alone = "It", headline.other
    single = next((row.strategy for row in comparison.rows if row.candidate.single), None)
    if alone == comparison.chosen.strategy:
        best = "best" if comparison.chosen.candidate.single else "next best"
        who, alone = f"The {best} fusion on validation, {headline.one},", "it"
    elif alone == single:
        alone += ", the best single feature on validation"
    if headline.real:
        size = f"{metric.figure(abs(value))}{metric.points}"
        verb = "beats" if metric.sign * value > 0 else "falls behind"
        comma = "" if alone == "it" else ","
        said = [f"{who} {verb} {alone}{comma} by {size} ({_span(comparison, headline)})."]
    else:
        size = f"{metric.gain(value)}{metric.points}"
        said = [f"{who} is not shown to differ from {alone}: {size} ({_span(comparison, headline)})."]
        one_seed = [name for name in (headline.one, headline.other) if comparison.row(name).candidate.one_seed]
        if one_seed and not min(headline.low, headline.high) <= 0 <= max(headline.low, headline.high):
            said.append(f"That interval holds no spread over seeds: {listed(one_seed)} has one. More seeds would tell.")
    return said


def _detectable(comparison: "Comparison") -> list[str]:
    """How fine this part measures."""
    if not comparison.detectable:  # 0 where nothing varies, which is no sharp eye: see `doubts`
        return []
    smallest = f"{comparison.metric.figure(comparison.detectable)}{comparison.metric.points}"
    return [f"With this {comparison.report_part} set, a true difference of {smallest} would be found four times in five."]


def _span(comparison: "Comparison", contrast: Contrast) -> str:
    """`97.5 % interval +0.9 to +9.8`: at the level of its test, so it leaves out 0 exactly where the difference is real."""
    return f"{contrast.sure} interval {comparison.metric.gains(contrast.low, contrast.high)}"


def _planned(comparison: "Comparison") -> list[str]:
    """How many comparisons share the 5 %, and so why intervals are wider than those of 95 %."""
    count, rows = len(comparison.contrasts), comparison.rows
    if count < 2:
        return []
    once = ", equal functions as one," if any(row.candidate.also for row in rows) else ""
    said = f"{len(rows)} strategies{once} meet in {count:,} planned comparisons"
    shared = "which share the 5 % of error"
    if comparison.headline is not None:
        others = "the other" if count == 2 else f"the other {count - 1:,} share"
        shared = f"of which this one keeps half of the 5 % of error and {others} the rest"
    return [f"{said}, {shared}: each interval has the level of its test."]


def _compared(comparison: "Comparison", contrast: Contrast) -> tuple[str, str]:
    """`1.3 points better` and `(99.9 % interval -2.9 to +5.5; not shown to differ)`, of the first side."""
    metric, value = comparison.metric, contrast.difference.value
    side = "better" if metric.sign * value > 0 else "worse"
    real = "" if contrast.real else "; not shown to differ"
    return f"{metric.figure(abs(value))}{metric.points} {side}", f"({_span(comparison, contrast)}{real})"


def _between(comparison: "Comparison", one: str, other: str) -> Contrast | None:
    """The planned comparison of two strategies, seen from the first; None where there is none."""
    found = next((each for each in comparison.contrasts if {each.one, each.other} == {one, other}), None)
    return found.turned if found is not None and found.other == one else found


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
    rows, chosen = comparison.rows, comparison.chosen.strategy
    known = next((row.strategy for row in rows if row.candidate.architecture == Architecture.LOGISTIC), None)
    best = next((row.strategy for row in rows if row.candidate.fused), None)
    if known is None or best is None:
        return []
    contrast = _between(comparison, *((best, known) if chosen == known else (chosen, known)))
    if contrast is None or (comparison.headline is not None and {contrast.one, contrast.other} == _pair(comparison.headline)):
        return []  # said already
    (size, span), it = _compared(comparison, contrast), _it(comparison)
    if chosen == known:
        return [f"{it} is a plain logistic regression, tuned: the best head on validation, {best}, is {size} {span}."]
    return [f"{it} is {size} than a tuned logistic regression, {known} {span}."]


def _against_reference(comparison: "Comparison") -> list[str]:
    """How far the chosen strategy is ahead of what costs next to nothing: the reference that validation prefers."""
    references = [row for row in comparison.rows if row.candidate.single and stands_alone(row.candidate.features[0])]
    if not references:
        return []
    chosen, best = comparison.chosen.strategy, references[0].strategy
    if all(map(stands_alone, comparison.chosen.candidate.features)):
        return [f"{_it(comparison)} is the reference that networks have to beat: here validation prefers it to all of them."]
    contrast = _between(comparison, chosen, best)
    if contrast is None:
        return []
    if comparison.headline is not None and _pair(comparison.headline) == {chosen, best}:
        return [f"{best} is also the reference that networks have to beat."]
    size, span = _compared(comparison, contrast)
    return [f"{_it(comparison)} is {size} than {best}, the reference that networks have to beat {span}."]


def _pair(contrast: Contrast) -> set[str]:
    return {contrast.one, contrast.other}


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
    fields = [(value, name.removeprefix("without ").replace("_", " and ")) for value, name in changes]
    told, spare = [f"{name} {metric.gain(value)}" for value, name in fields[:4]], [n for v, n in fields if metric.sign * v >= 0]
    said = [f"Predicting without a field changes that{', in points' if metric.points else ''}: {', '.join(told)}."]
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
    return next(filter(None, (_between(comparison, chosen.strategy, name) for name in alone)), None)


def _others(comparison: "Comparison") -> list[str]:
    """How many of the others are shown to be worse or better on the report's part, and which are not."""
    others = [row.strategy for row in comparison.rows[1:]]
    headline, chosen = comparison.headline, comparison.chosen.strategy
    if not others or (headline is not None and len(others) == 1):
        return []
    gains = {}
    for each in comparison.contrasts:
        if each.real and chosen in _pair(each):
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
    return [f"Of the {len(others)} others, {'; '.join(told)}."]
