"""Everything that the report says beyond the ranking, worked out once for page and JSON alike."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusecat.pipeline.report.answers import Question
from fusecat.pipeline.report.calibration import Reliability, calibration_errors, reliability
from fusecat.pipeline.report.certainty import Certainty, certainty
from fusecat.pipeline.report.confusions import Confusions, Mistake, confusions, mistakes
from fusecat.pipeline.report.equivalence import Equivalent, equivalent
from fusecat.pipeline.report.memorisation import FIT, Memory, mean, mean_scores, memories
from fusecat.pipeline.report.published import Figure, published
from fusecat.pipeline.report.questions import questions
from fusecat.pipeline.report.results import Candidate
from fusecat.pipeline.report.slices import (
    ClassLine,
    Slice,
    category_lines,
    class_lines,
    compared_rows,
    path_f1,
    product_slices,
    repairing,
)
from fusecat.stages.progress import phase

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Row


@dataclass(frozen=True)
class Insights:
    """`compared`: what is compared in detail, see `compared_rows`; other fields as their modules say.

    `paths`: hierarchical F1 of what is compared, () where type codes are no category paths.

    `controls`: strategy -> control -> metric -> mean over seeds on the report's part. `fit`: strategy -> metric -> mean over
    seeds on the rows that the head was fitted on; `present`: the same on the judged products that have the one field that the
    strategy looks at. `errors`: strategy -> expected calibration error. `ablated`: the best fusion with a head on validation,
    whose controls and `memory` are shown; None where there is none. `asked`: question -> answer, see `questions`.
    """

    compared: Mapping[str, "Row"]
    classes: tuple[ClassLine, ...]
    categories: tuple[ClassLine, ...]
    paths: tuple[float, ...]
    slices: tuple[Slice, ...]
    errors: Mapping[str, float]
    reliability: Mapping[str, Reliability]
    confusions: Confusions | None
    mistakes: tuple[Mistake, ...]
    certainty: Certainty | None
    controls: Mapping[str, Mapping[str, Mapping[str, float]]]
    fit: Mapping[str, Mapping[str, float]]
    present: Mapping[str, Mapping[str, float]]
    ablated: "Row | None"
    memory: tuple[Memory, ...]
    equivalent: tuple[Equivalent, ...]
    published: Mapping[str, Figure]
    asked: Mapping[str, Any]


@phase("working out what the report says")
def insights(comparison: "Comparison", asked: Collection[Question] = ()) -> Insights:
    """Look at a comparison from every side that the report shows; `asked`: what is worked out only then."""
    study, part = comparison.study, comparison.report_part
    labels, compared = study.labels(part), compared_rows(comparison)
    candidates = [row.candidate for row in comparison.rows]
    classes = class_lines(comparison, list(compared.values()))
    curves = {side: reliability(row.candidate.outcomes[part], labels) for side, row in compared.items()}
    if comparison.chosen.candidate.ensemble:
        curves["ensemble of seeds"] = reliability([comparison.chosen.candidate.ensemble[part]], labels)
    ablated = next((row for row in comparison.rows if row.candidate.fused), None)
    repaired, pair = None, repairing(compared)
    if pair is not None:
        fusion, alone = (compared[side].candidate for side in pair)
        repaired = confusions(fusion, alone, part, labels, study.products.classes)
    return Insights(
        compared=compared,
        classes=tuple(classes),
        categories=tuple(category_lines(classes)),
        paths=path_f1(comparison, list(compared.values())),
        slices=tuple(product_slices(comparison, list(compared.values()))),
        errors=calibration_errors(candidates, part, labels),
        reliability=curves,
        confusions=repaired,
        mistakes=mistakes(comparison.chosen.candidate, part, labels, study.products.classes),
        certainty=certainty(comparison),
        controls={candidate.strategy: _controls(candidate, part) for candidate in candidates},
        fit={candidate.strategy: mean_scores(candidate, FIT) for candidate in candidates},
        present={candidate.strategy: mean_scores(candidate, f"{part}_present") for candidate in candidates},
        ablated=ablated,
        memory=memories(study, ablated.candidate) if ablated else (),
        equivalent=tuple(equivalent(candidates)),
        published=published(study),
        asked=questions(comparison, asked),
    )


def _controls(candidate: Candidate, part: str) -> dict[str, dict[str, float]]:
    """Control -> metric -> mean over the seeds that have it."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for run in candidate.runs:
        for name, parts in run.controls.items():
            if part in parts:
                found.setdefault(name, []).append(parts[part])
    return {name: mean(scores) for name, scores in found.items()}
