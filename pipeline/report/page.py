"""`report/index.html`: one file that needs nothing else, and that nothing in a catalogue can make do anything."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fusecat.pipeline.report import provenance, tables
from fusecat.pipeline.report.cards import Cards, titles
from fusecat.pipeline.report.contrasts import FAMILIES, confidence
from fusecat.pipeline.report.doubts import listed
from fusecat.pipeline.report.insights import Insights
from fusecat.pipeline.report.markup import content_policy, templates
from fusecat.pipeline.report.page_figures import Pictures, front
from fusecat.pipeline.report.plain import doubling, headline
from fusecat.pipeline.report.published import CHALLENGE, ELSEWHERE, REMARKS
from fusecat.pipeline.report.slices import MANY_CLASSES, ClassLine, repairing
from fusecat.pipeline.report.verdict import sentences
from fusecat.stages.metrics import METRICS
from fusecat.stages.progress import phase
from fusecat.stages.vocabulary import Architecture

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Row

EXTREMES = 20
"""Classes shown at each end where there are too many for a table."""


@phase("drawing the page")
def page(comparison: "Comparison", report: Mapping[str, Any], seen: Insights, cards: Cards | None) -> str:
    """The whole page as text; the same comparison gives the same bytes. `cards` None leaves products out."""
    environment, sources = templates(*TEMPLATES)
    metric = comparison.metric
    environment.filters |= {
        "figure": metric.figure,
        "gain": metric.gain,
        "signed": metric.signed,
        "per_cent": lambda value: "–" if value is None else f"{100 * value:.1f}",
    }
    environment.globals |= {
        "of": tables.of,
        "label": tables.label,
        "group_text": tables.group_text,
        "doubling": partial(doubling, metric),
        "gains": metric.gains,
        "confidence": confidence,
        "less": lambda one, other: None if one is None else metric.sign * (one - other),
        "interval": partial(tables.interval_text, metric),
        "score": lambda value, name=metric.name: tables.score_text(METRICS[name], value),
    }
    hidden = tables.folded(report)
    pictures = Pictures(comparison, seen, hidden).all()
    style, script = sources["style.css"], sources["script.js"]
    return environment.get_template("index.html").render(
        report=report,
        metric=metric,
        lower=listed([*(each.shown for each in METRICS.values() if each.sign < 0), "ECE"]),
        others=[each for each in METRICS.values() if each != metric],
        report_part=comparison.report_part,
        headline=headline(report),
        hidden=hidden,
        sentences=sentences(comparison),
        shown=list(tables.shown_rows(report)),
        pictures=pictures,
        seen=seen,
        classes=_extremes(seen.classes),
        many=len(seen.classes) > MANY_CLASSES,
        families=_families(report),
        front=front(comparison),
        report_ensemble=comparison.chosen.ensemble,
        grid=_grid(comparison),
        cards=cards,
        kinds=titles(seen.compared),
        repairing=repairing(seen.compared),
        wrong={each.code: at for at, each in enumerate(cards.wrong, start=1)} if cards else {},
        facts=provenance.facts(comparison),
        settings=provenance.head_settings(comparison),
        networks=provenance.network_lines(comparison),
        info=comparison.study.info,
        versions=comparison.study.info.versions,
        names=comparison.study.info.class_names,
        challenge=CHALLENGE,
        remarks=REMARKS,
        elsewhere=ELSEWHERE,
        style=Markup(style),  # noqa: S704 - our own files, no text of a catalogue
        script=Markup(script),  # noqa: S704
        policy=content_policy(style, script),
    )


TEMPLATES = (
    "index.html",
    "strategies.html",
    "products.html",
    "asked.html",
    "provenance.html",
    "macros.html",
    "style.css",
    "script.js",
)


def _families(report: Mapping[str, Any]) -> list[tuple[str, str, list[Any]]]:
    """(family, what it asks, its contrasts), families without contrasts left out."""
    families = dict(FAMILIES)
    if report["reference"] == report["chosen"]:
        families["headline"] = "the headline: the best fusion on validation against the chosen strategy"
    found = [(name, asks, [c for c in report["contrasts"] if c["family"] == name]) for name, asks in families.items()]
    return [(name, asks, contrasts) for name, asks, contrasts in found if contrasts]


def _grid(comparison: "Comparison") -> tuple[list[str], list[tuple[str, list["Row | None"]]]]:
    """Architectures side by side: columns are baseline, flat, text, hierarchical by first merge; rows are final merges."""
    fused = [row for row in comparison.rows if row.candidate.fused]
    firsts = sorted({row.candidate.runs[0].first or "" for row in fused} - {""})
    columns = [
        Architecture.BASELINE.value,
        Architecture.FLAT.value,
        Architecture.TEXT.value,
        *(f"{Architecture.HIERARCHICAL}/{first}" for first in firsts),
    ]
    finals = list(dict.fromkeys(sorted(row.candidate.runs[0].final or "" for row in fused)))
    at = {name: row for row in fused for name in row.candidate.names}
    kept = [column for column in columns if any(f"{column}/{final}" in at for final in finals)]
    return kept, [(final, [at.get(f"{column}/{final}") for column in kept]) for final in finals]


def _extremes(lines: Sequence[ClassLine]) -> Sequence[ClassLine]:
    """All classes, or the worst and best of the chosen strategy where there are too many."""
    if len(lines) <= MANY_CLASSES:
        return lines
    ordered = sorted(lines, key=lambda line: (line.f1[0], line.code))
    return [*ordered[:EXTREMES], *ordered[-EXTREMES:]]
