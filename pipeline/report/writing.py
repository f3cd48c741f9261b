"""The report's files: `report/index.html`, `.md`, `.csv`, `.json`, `.tex`, each replaced as a whole."""

import os
from pathlib import Path

from pipeline.console import to_json
from pipeline.report.cards import cards
from pipeline.report.comparison import Comparison
from pipeline.report.insights import insights
from pipeline.report.page import page
from pipeline.report.record import record
from pipeline.report.shareable import without_origins, write_bundle
from pipeline.report.tables import comma_separated, markdown
from pipeline.report.tex import tex

SHAREABLE = "report-shareable"


def write_report(comparison: Comparison, folder: Path | None = None, *, shareable: bool = False) -> Path:
    """Write all files of the report into `folder` (the workspace's `report/`); returns the path of the page.

    `shareable`: nothing that names or shows a product, into `report-shareable/`, with a bundle of predictions.
    """
    root = comparison.study.workspace.root
    if shareable:
        comparison = without_origins(comparison)
    folder = folder or (root / SHAREABLE if shareable else comparison.study.workspace.report)
    folder.mkdir(parents=True, exist_ok=True)
    seen = insights(comparison)
    report = record(comparison, seen)
    text = to_json(report) + "\n"
    publish(folder / "report.json", text)
    publish(folder / "report.md", markdown(report))
    publish(folder / "report.csv", comma_separated(report))
    publish(folder / "report.tex", tex(report))
    if shareable:
        write_bundle(comparison, folder, text)
    return publish(folder / "index.html", page(comparison, report, seen, None if shareable else cards(comparison)))


def publish(path: Path, text: str) -> Path:
    """Write under a temporary name, then rename: a reader sees the old file or the new one."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8", newline="")
    os.replace(partial, path)
    return path
