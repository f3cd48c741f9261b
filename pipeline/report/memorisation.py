"""What heads were fitted on, and whether the networks had memorised it.

A head that learns from vectors whose network has seen the label trusts them more than new products deserve. Its score on
such rows beside its score on rows that no network has seen, and on the report's part, says how much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusecat.pipeline.report.results import Candidate, Study
from fusecat.stages.study_record import StudyRecord
from fusecat.stages.vocabulary import Part

FIT = "fit"


@dataclass(frozen=True)
class Memory:
    """One part whose labels the head has seen, or the report's part.

    `networks`: whether a network has seen them too, None where nobody said. `scores`: metric -> mean over seeds on that part.
    """

    part: str
    networks: bool | None
    scores: Mapping[str, float]


def memories(study: Study, candidate: Candidate) -> tuple[Memory, ...]:
    """One line per part that the strategy's heads were fitted on, then the report's part."""
    run = candidate.runs[0]
    known = [fitted_on(study.info, feature) for feature in run.features]
    found = []
    keys = {part: FIT if len(run.fitted_on) == 1 else f"{FIT}_{part}" for part in run.fitted_on}
    for part, key in {**keys, study.report_part: study.report_part}.items():
        scores = mean_scores(candidate, key)
        seen = any(part in parts for parts in known if parts is not None)
        if scores:
            found.append(Memory(part, True if seen else None if None in known else False, scores))
    return tuple(found)


def fitted_on(info: StudyRecord, feature: str) -> Sequence[str] | None:
    """The parts whose labels the network of a feature has seen; None for imported vectors of which nobody said."""
    of = info.features.get(feature) or {}
    if "imported" in of:
        parts: Sequence[str] | None = of.get("fitted_on")
        return parts
    settings = of.get("settings") or {}
    frozen = (settings.get("training") or {}).get("freeze") and settings.get("pooling") != "flatten"
    return () if frozen else (Part.TRAIN.value,)


def unshaped(info: StudyRecord, feature: str) -> bool:
    """Whether no label that heads learn from has shaped the vectors of a feature, as far as somebody said."""
    parts = fitted_on(info, feature)
    return parts is not None and not {Part.TRAIN.value, Part.HEAD.value}.intersection(parts)


def mean_scores(candidate: Candidate, key: str) -> dict[str, float]:
    """Metric -> mean over the seeds that have these scores, {} where none has."""
    return mean([run.scores[key] for run in candidate.runs if key in run.scores])


def mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metric -> mean."""
    shared = (
        [metric for metric in scores[0] if all(metric in each for each in scores)] if scores else []
    )  # earlier runs have fewer
    return {metric: float(np.mean([each[metric] for each in scores])) for metric in shared}


def caveats(study: Study, report_part: str) -> list[str]:
    """Sentences about imported vectors whose network may have seen, or has seen, the labels of the report's part."""
    used = {feature for candidate in study.candidates for feature in candidate.features}
    told = {feature: fitted_on(study.info, feature) for feature in sorted(used)}
    unknown = [feature for feature, parts in told.items() if parts is None]
    leaky = [feature for feature, parts in told.items() if parts is not None and report_part in parts]
    said = []
    if unknown:
        names, were, it = _together(unknown)
        said.append(
            f"Nobody said which rows {names} {were} fitted on (import {it} again with --fitted-on): "
            f"if {report_part} is among them, every figure with {it} is too good."
        )
    if leaky:
        names, were, it = _together(leaky)
        said.append(f"{names} {were} fitted on {report_part}: every figure with {it} is too good.")
    return said


def _together(names: Sequence[str]) -> tuple[str, str, str]:
    """Several features in one sentence: their names, their verb, their pronoun."""
    if len(names) == 1:
        return names[0], "was", "it"
    shown = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}", "were", "them"
