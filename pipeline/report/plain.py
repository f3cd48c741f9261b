"""A strategy in plain words: `two text networks and the picture, merged by concatenation`."""

from collections.abc import Mapping, Sequence
from typing import Any

from fusecat.stages.fields import Field, words
from fusecat.stages.fusion.wiring import field_of, network_of
from fusecat.stages.metrics import ACCURACY, METRICS, Metric
from fusecat.stages.vocabulary import Architecture, Late

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def headline(report: Mapping[str, Any]) -> str:
    """What to use, in plain words, and what it scores in the form in which `fusecat predict` uses it."""
    top, metric, report_part = report["rows"][0], METRICS[report["metric"]], report["report_part"]
    shipped = next((row for row in report["ensembles"] if row["strategy"] == top["strategy"]), top)
    words = in_words(top["strategy"], top["features"])
    said = top["strategy"] if words == top["strategy"] else f"{top['strategy']} ({words})"
    scores = [f"{metric.shown} {metric.figure(shipped[report_part][metric.key]['mean'])}{' %' if metric.percent else ''}"]
    if metric is not ACCURACY:
        scores.append(f"{ACCURACY.figure(shipped[report_part][ACCURACY.key]['mean'])} % of the products right")
    averaged = f" with its {len(top['seeds'])} seeds averaged" if shipped is not top else ""
    return f"Use {said}: on {report_part}{averaged}, {', '.join(scores)}."


def doubling(metric: Metric, curve: Mapping[str, Any]) -> str:
    """What twice the labels may bring, or why nobody can tell."""
    if curve["doubled"] is None:
        return "Its networks have seen all labels, so only the head's share of the gain shows: it is no forecast."
    more = curve["doubled"]
    size = f"{metric.signed(more['gain'])}{metric.points} ({metric.signed(more['low'])} to {metric.signed(more['high'])})"
    return (
        f"If it goes on as it did, {more['labels']:,} labels would bring about {size}; that is a forecast, not a measurement."
    )


def spared(metric: Metric, contribution: Mapping[str, Any]) -> list[str]:
    """Per kind of player what each brings, and which are not shown to be needed."""
    said = []
    for kind in dict.fromkeys(line["kind"] for line in contribution["lines"]):
        lines = [line for line in contribution["lines"] if line["kind"] == kind]
        shares = ", ".join(f"{line['player']} {metric.signed(line['validation']['value'])}" for line in lines)
        told = f"Contribution of {kind} on validation{' in points' if metric.points else ''} (Shapley): {shares}."
        spare = [line for line in lines if line["without"]["low"] <= 0]
        for line in spare:
            without = line["without"]
            cost, low, high = (metric.signed(-without[name]) for name in ("cost", "high", "low"))
            told += f" {line['player']} is not shown to be needed: without it {cost} ({low} to {high})."
        said.append(told)
    return said


def lacking(metric: Metric, missing: Mapping[str, Any]) -> str:
    """What half and all of a field missing cost, field by field."""
    half = missing["shares"].index(0.5)
    told = [
        f"{line['field']} {metric.figure(line['scores'][half]['mean'])} and {metric.figure(line['scores'][-1]['mean'])}"
        for line in missing["lines"]
    ]
    whole = f"{metric.shown} {metric.figure(missing['lines'][0]['scores'][0]['mean'])} on {missing['report_part']}"
    return f"{missing['strategy']} has {whole}; with half of a field missing, and all: {', '.join(told)}."


def in_words(strategy: str, features: Sequence[str]) -> str:
    """What a strategy does with its features; its name where there are no better words for it."""
    architecture, _, rest = strategy.partition("@")[0].partition("/")
    first, _, final = rest.rpartition("/")
    if architecture == Architecture.BASELINE:
        return f"{_modalities(features)}, merged by {rest}"
    if architecture == Architecture.TEXT:
        return f"{_modalities(features)} without the picture, merged by {rest}"
    if architecture == Architecture.FLAT:
        return f"{counted(len(features), 'feature')} of {_modalities(features)}, merged at once by {rest}"
    if architecture == Architecture.HIERARCHICAL and first:
        return f"{_modalities(features)}: the parts of each text merged by {first}, then all by {final}"
    if architecture == Architecture.LOGISTIC:
        return f"{counted(len(features), 'feature')} of {_modalities(features)}, in one logistic regression"
    if architecture == Architecture.LATE:
        match rest:
            case Late.PROBES:
                return f"the mean of {counted(len(features), 'linear layer')}, each on one feature of {_modalities(features)}"
            case Late.VOTE:
                return f"the vote of all heads on {_modalities(features)}"
            case Late.SELECTION:
                return f"the mean of strategies that validation selects, on {_modalities(features)}"
        alone = len({network_of(name) or name for name in features}) == len(features)
        answers = (
            counted(len(features), "network") if alone else f"{_modalities(features)} on {counted(len(features), 'feature')}"
        )
        return f"the answers of {answers}, combined by {rest}"
    if architecture in (Architecture.UNIMODAL, Architecture.PROBE) and len(features) == 1:
        seen = words(field_of(features[0]))
        what = "alone" if architecture == Architecture.UNIMODAL else "with a linear layer"
        network = network_of(features[0]) or features[0]
        return f"{network.replace('reference.', 'the reference ', 1)} on {seen}, {what}"
    return strategy


def counted(number: int, noun: str) -> str:
    """`two networks`, `12 networks`."""
    return f"{_NUMBERS[number] if number < len(_NUMBERS) else f'{number:,}'} {noun}{'' if number == 1 else 's'}"


def _modalities(features: Sequence[str]) -> str:
    if not all(map(network_of, features)):  # vectors of one's own, of which nobody knows more than the name
        return " and ".join(features) if len(features) == 2 else counted(len(features), "feature")
    pictures = {network_of(name) for name in features if field_of(name) == Field.IMAGE}
    texts = {network_of(name) or name for name in features if field_of(name) != Field.IMAGE}
    parts = [counted(len(texts), "text network")] if texts else []
    if pictures:
        parts.append("the picture" if len(pictures) == 1 else f"{counted(len(pictures), 'image network')}")
    return " and ".join(parts)
