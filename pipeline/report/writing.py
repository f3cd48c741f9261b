"""The report's files: `report/index.html`, `.md`, `.csv`, `.json`, `.tex`, each replaced as a whole."""

import json
import os
from pathlib import Path

from pipeline.report.cards import cards
from pipeline.report.comparison import Comparison
from pipeline.report.insights import insights
from pipeline.report.page import page
from pipeline.report.record import record
from pipeline.report.tables import comma_separated, markdown
from pipeline.report.tex import tex


def write_report(comparison: Comparison, folder: Path | None = None) -> Path:
    """Write all files of the report into `folder` (the workspace's `report/`); returns the path of the page."""
    folder = folder or comparison.study.workspace.report
    folder.mkdir(parents=True, exist_ok=True)
    seen = insights(comparison)
    report = record(comparison, seen)
    _publish(folder / "report.json", json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    _publish(folder / "report.md", markdown(report))
    _publish(folder / "report.csv", comma_separated(report))
    _publish(folder / "report.tex", tex(report))
    return _publish(folder / "index.html", page(comparison, report, seen, cards(comparison)))


def _publish(path: Path, text: str) -> Path:
    """Write under a temporary name, then rename: a reader sees the old file or the new one."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8", newline="")
    os.replace(partial, path)
    return path
