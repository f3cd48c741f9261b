"""The comparison as plain JSON values: report.json, `fusecat report --json`, and the source of every table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fusecat.pipeline.report.contrasts import Contrast
from fusecat.pipeline.report.insights import Insights, insights
from fusecat.pipeline.report.slices import ClassLine, Slice
from fusecat.pipeline.report.verdict import verdict
from fusecat.stages.fusion.runs import Run
from fusecat.stages.vocabulary import Part

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Row, Scores


def record(comparison: "Comparison", seen: Insights | None = None) -> dict[str, Any]:
    """The documented keys of report.json; scores are fractions, times are seconds."""
    study, info = comparison.study, comparison.study.info
    seen = seen or insights(comparison)
    return {
        "catalogue": info.catalogue,
        "split": dict(info.split) or None,
        "preset": info.preset,
        "metric": comparison.metric.name,
        "report_part": comparison.report_part,
        "classes": len(study.products.classes),
        "products": {part: len(study.labels(part)) for part in study.parts},
        "verdict": verdict(comparison),
        "chosen": comparison.chosen.strategy,
        "reference": comparison.reference,
        "headline": _headline(comparison),
        "frugal": comparison.frugal,
        "rows": [_row(row, row.parts, group=row.group) | _seen(row.strategy, seen) for row in comparison.rows],
        "ensembles": [_row(row, row.ensemble, ensemble=True) for row in comparison.rows if row.ensemble],
        "contrasts": [_contrast(contrast) for contrast in comparison.contrasts],
        "same_function": [asdict(equivalent) for equivalent in seen.equivalent],
        "sides": {side: row.strategy for side, row in seen.compared.items()},
        "dissected": seen.ablated.strategy if seen.ablated else None,
        "memory": [asdict(memory) for memory in seen.memory],
        "slices": [_lines(line, seen) for line in seen.slices],
        "by_class": [_lines(line, seen) for line in seen.classes],
        "by_category": [_lines(line, seen) for line in seen.categories],
        "hierarchical_f1": dict(zip(seen.compared, seen.paths, strict=True)) if seen.paths else None,
        "confusions": asdict(seen.confusions) if seen.confusions else None,
        "mistakes": [asdict(mistake) for mistake in seen.mistakes],
        "certainty": asdict(seen.certainty) if seen.certainty else None,
        "asked": {name: {k: v for k, v in answer.items() if k != "products"} for name, answer in seen.asked.items()},
        "reliability": {side: asdict(curve) for side, curve in seen.reliability.items()},
        "published": {strategy: asdict(figure) for strategy, figure in seen.published.items()},
        "interrupted": list(study.interrupted),
        "failed": list(study.failed),
    }


def _seen(strategy: str, seen: Insights) -> dict[str, Any]:
    return {
        "calibration_error": seen.errors[strategy],
        "fit": seen.fit[strategy] or None,
        "present": seen.present[strategy] or None,
        "controls": seen.controls[strategy],
    }


def _lines(line: ClassLine | Slice, seen: Insights) -> dict[str, Any]:
    """A line of a table with its values by side instead of by position."""
    values = line.f1 if isinstance(line, ClassLine) else line.scores
    kept = {name: value for name, value in asdict(line).items() if name not in ("f1", "scores")}
    return kept | dict(zip(seen.compared, values, strict=True))


def _headline(comparison: "Comparison") -> dict[str, Any] | None:
    headline = comparison.headline
    if headline is None:
        return None
    known = _contrast(headline)
    kept = {name: known[name] for name in ("difference", "low", "high", "level", "level_low", "level_high", "real")}
    return {"chosen": headline.one, "reference": headline.other, **kept, "detectable": comparison.detectable}


def _row(row: "Row", parts: Mapping[str, "Scores"], *, group: str | None = None, ensemble: bool = False) -> dict[str, Any]:
    run, heads = row.candidate.runs[0], len(row.candidate.seeds) if ensemble else 1
    return {
        "strategy": run.strategy,
        "also": list(row.candidate.also),
        "architecture": run.architecture,
        "first": run.first,
        "final": run.final,
        "features": list(row.candidate.features),
        "seeds": list(row.candidate.seeds),
        "ensemble": ensemble,
        "parameters": row.parameters * heads,
        "fit_seconds": row.fit_seconds * heads,
        "predict_seconds": row.predict_seconds * heads,
        "fitted_on": list(row.candidate.fitted_on),
        "tuned": run.tuned,
        "group": group,
        "share": None if ensemble else row.share,
        "validation": _scores(parts.get(Part.VALIDATION)),
        "test": _scores(parts.get(Part.TEST)),
        "notes": _notes(row.candidate.runs),
    }


def _notes(runs: Sequence[Run]) -> list[str]:
    """What is said of all runs, then what is said of some, with the seed."""
    shared = [note for note in runs[0].notes if all(note in run.notes for run in runs)]
    return shared + [f"seed {run.seed}: {note}" for run in runs for note in run.notes if note not in shared]


def _scores(scores: "Scores | None") -> dict[str, Any] | None:
    return None if scores is None else {key: asdict(score) | {"values": list(score.values)} for key, score in scores.items()}


def _contrast(contrast: Contrast) -> dict[str, Any]:
    difference = contrast.difference
    return {
        "family": contrast.family,
        "one": contrast.one,
        "other": contrast.other,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "level": 1 - contrast.level,
        "level_low": contrast.low,
        "level_high": contrast.high,
        "p": contrast.p,
        "real": contrast.real,
        "only_one": contrast.only_one,
        "only_other": contrast.only_other,
        "mcnemar": contrast.mcnemar,
    }
