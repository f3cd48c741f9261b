"""A strategy in plain words: `two text networks and the picture, merged by concatenation`."""

from collections.abc import Mapping, Sequence
from typing import Any

from fusecat.stages.fields import Field, words
from fusecat.stages.fusion.wiring import field_of, network_of
from fusecat.stages.metrics import ACCURACY, METRICS
from fusecat.stages.vocabulary import Architecture

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def headline(report: Mapping[str, Any]) -> str:
    """The chosen strategy and its scores in one sentence."""
    top, metric, judged = report["rows"][0], METRICS[report["metric"]], report["judged"]
    said = in_words(top["strategy"], top["features"])
    scores = [f"{metric.shown} {metric.figure(top[judged][metric.key]['mean'])}{' %' if metric.percent else ''}"]
    if metric is not ACCURACY:
        scores.append(f"{ACCURACY.figure(top[judged][ACCURACY.key]['mean'])} % of the products right")
    return f"{said[0].upper()}{said[1:]}: on {judged}, {', '.join(scores)}."


def in_words(strategy: str, features: Sequence[str]) -> str:
    """What a strategy does with its features; its name where there are no better words for it."""
    architecture, _, rest = strategy.partition("/")
    first, _, final = rest.rpartition("/")
    if architecture == Architecture.BASELINE:
        return f"{_modalities(features)}, merged by {rest}"
    if architecture == Architecture.FLAT:
        return f"{counted(len(features), 'feature')} of {_modalities(features)}, merged at once by {rest}"
    if architecture == Architecture.HIERARCHICAL and first:
        return f"{_modalities(features)}: the parts of each text merged by {first}, then all by {final}"
    if architecture == Architecture.LOGISTIC:
        return f"{counted(len(features), 'feature')} of {_modalities(features)}, in one logistic regression"
    if architecture == Architecture.LATE:
        return f"the answers of {counted(len(features), 'network')}, combined by {rest}"
    if architecture in (Architecture.UNIMODAL, Architecture.PROBE) and len(features) == 1:
        seen = words(field_of(features[0]))
        what = "alone" if architecture == Architecture.UNIMODAL else "with a linear layer"
        return f"{network_of(features[0]) or features[0]} on {seen}, {what}"
    return strategy


def counted(number: int, noun: str) -> str:
    """`two networks`, `12 networks`."""
    return f"{_NUMBERS[number] if number < len(_NUMBERS) else f'{number:,}'} {noun}{'' if number == 1 else 's'}"


def _modalities(features: Sequence[str]) -> str:
    pictures = {network_of(name) for name in features if field_of(name) == Field.IMAGE}
    texts = {network_of(name) or name for name in features if field_of(name) != Field.IMAGE}
    parts = [counted(len(texts), "text network")] if texts else []
    if pictures:
        parts.append("the picture" if len(pictures) == 1 else f"{counted(len(pictures), 'image network')}")
    return " and ".join(parts)
