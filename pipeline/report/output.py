"""The report's files: `report/index.html`, `.md`, `.csv`, `.json`, `.tex`, each replaced as a whole."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from fusecat.cache.publish import publish
from fusecat.pipeline.console import quoted, to_json, warn
from fusecat.pipeline.places import may_write
from fusecat.pipeline.report.answers import Question
from fusecat.pipeline.report.cards import cards
from fusecat.pipeline.report.comparison import Comparison
from fusecat.pipeline.report.insights import insights
from fusecat.pipeline.report.page import page
from fusecat.pipeline.report.questions import SUSPECTED, suspected_labels
from fusecat.pipeline.report.record import record
from fusecat.pipeline.report.shareable import without_origins, write_bundle
from fusecat.pipeline.report.tables import comma_separated, markdown, tex

SHAREABLE = "report-shareable"


def write_if_allowed(
    comparison: Comparison, folder: Path | None = None, *, shareable: bool = False, asked: Collection[Question] = ()
) -> tuple[Path | None, dict[str, Any]]:
    """`write_report`; but without `folder`, where the workspace may not be written, only a warning that says how. None then."""
    place = comparison.study.workspace
    own = place.root / SHAREABLE if shareable else place.report
    if folder is None and not may_write(own):
        again = quoted("fusecat", "report", "--workspace", place.root, *(["--shareable"] if shareable else []))
        warn(f"{own} may not be written, so there is no page; to write it elsewhere: {again} --output DIR")
        seen = insights(comparison, asked)
        return None, record(without_origins(comparison) if shareable else comparison, seen)
    return write_report(comparison, folder or own, shareable=shareable, asked=asked)


def write_report(
    comparison: Comparison, folder: Path | None = None, *, shareable: bool = False, asked: Collection[Question] = ()
) -> tuple[Path, dict[str, Any]]:
    """Write all files of the report into `folder` (the workspace's `report/`).

    Returns the path of the page, and the report as in `report.json`.

    `shareable`: nothing that names or shows a product, into `report-shareable/`, with a bundle of predictions. `asked`: what is
    worked out beside (see `questions`).
    """
    root = comparison.study.workspace.root
    if shareable:
        comparison = without_origins(comparison)
    folder = folder or (root / SHAREABLE if shareable else comparison.study.workspace.report)
    seen = insights(comparison, asked)
    report = record(comparison, seen)
    text = to_json(report) + "\n"
    publish(folder / "report.json", text)
    publish(folder / "report.md", markdown(report))
    publish(folder / "report.csv", comma_separated(report))
    publish(folder / "report.tex", tex(report))
    if (doubts := seen.asked.get(Question.LABELS)) and not shareable:
        publish(folder / SUSPECTED, suspected_labels(doubts, comparison.study.info.class_names))
    else:
        (folder / SUSPECTED).unlink(missing_ok=True)  # of runs that are no more
    if shareable:
        write_bundle(comparison, folder, text)
    shown = page(comparison, report, seen, None if shareable else cards(comparison))
    return publish(folder / "index.html", shown), report
