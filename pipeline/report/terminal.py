"""The comparison in the terminal: the verdict, the ranked table, and where the page is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusecat.pipeline.console import console, safe
from fusecat.pipeline.report.comparison import Comparison, compare
from fusecat.pipeline.report.output import write_if_allowed
from fusecat.pipeline.report.plain import headline
from fusecat.pipeline.report.tables import folded, group_text, interval_text, label, of, score_text, shown_rows
from fusecat.pipeline.report.verdict import sentences
from fusecat.stages.metrics import ACCURACY, METRICS, Metric

if TYPE_CHECKING:
    from rich.table import Table

_WIDE, _ROOMY, _MIDDLE = 140, 95, 76  # columns for the whole table, for the groups, for intervals


def print_report(
    workspace: Path,
    *,
    metric: Metric | None = None,
    against: str | None = None,
    shareable: bool = False,
    output: Path | None = None,
) -> Comparison:
    """Compare the runs of a workspace, write the report, print verdict and ranked table. Returns the comparison.

    `output`: the folder of the report's files; without it a workspace that may not be written gets none, and a warning says so.
    """
    comparison = compare(workspace, metric=metric, against=against)
    page, report = write_if_allowed(comparison, output, shareable=shareable)
    terminal = console()
    terminal.print(safe(headline(report)), markup=False, highlight=False, style="bold", soft_wrap=False)
    for sentence in sentences(comparison):
        terminal.print(safe(sentence), markup=False, highlight=False, soft_wrap=False)
    terminal.print()
    terminal.print(ranked_table(report, terminal.width), soft_wrap=False)
    if hidden := len(folded(report)):
        terminal.print(f"{hidden} more single features are in the report.", highlight=False)
    for line in other_choices(comparison):
        terminal.print(line)
    for title in ("interrupted", "failed"):
        for name in report[title]:
            terminal.print(f"{title}, not counted: {safe(name)}", markup=False)
    if page is not None:
        terminal.print(f"report: {safe(str(page))}", markup=False)
    return comparison


def other_choices(comparison: Comparison) -> list[str]:
    """What another metric than the one that ranks has chosen, or will choose."""
    ranks, selects = comparison.metric.name, comparison.study.info.selects.name
    heads = sorted({str(name) for row in comparison.rows for run in row.candidate.runs if (name := run.settings.get("metric"))})
    said = []
    if heads and heads != [ranks]:
        said.append(
            f"ranked by {ranks}; the heads' epochs were chosen by {', '.join(heads)} ('fusecat fuse --metric' changes that)"
        )
    if ranks != selects:
        said.append(f"predict, refit and export choose by {selects} unless they are given --metric {ranks}")
    return said


def ranked_table(report: dict[str, Any], width: int) -> "Table":
    """The rows, best on validation first, with as many columns as the terminal is wide; few of the single features."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    metric = METRICS[report["metric"]]
    tested = report["judged"] == "test"
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{metric.shown}, ranked on validation (* chosen)",
        title_justify="left",
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("strategy", overflow="fold", min_width=18)
    hidden = folded(report)
    table.add_column("validation", justify="right", no_wrap=True)
    columns = ["test"] if tested else []
    columns += ["95 %"] if width >= _MIDDLE else []
    columns += ["group"] if width >= _ROOMY else []
    columns += ["chosen in", "features", "accuracy", "parameters", "fit s", "fitted on"] if width >= _WIDE else []
    for column in columns:
        table.add_column(column, justify="left" if column in ("group", "fitted on") else "right", no_wrap=True)
    for row in shown_rows(report):
        if row["strategy"] in hidden:
            continue
        chosen = row["strategy"] == report["chosen"] and not row["ensemble"]
        cells = {
            "test": score_text(metric, of(row, "test", metric.key)),
            "95 %": interval_text(metric, of(row, report["judged"], metric.key)),
            "group": group_text(row["group"]),
            "chosen in": "" if row["share"] is None else f"{100 * row['share']:.0f} %",
            "features": f"{len(row['features'])}",
            "accuracy": score_text(ACCURACY, of(row, report["judged"], "accuracy")),
            "parameters": f"{row['parameters']:,}",
            "fit s": f"{row['fit_seconds']:.1f}",
            "fitted on": ", ".join(row["fitted_on"]) or "-",
        }
        name = f"  ensemble of its {len(row['seeds'])} seeds" if row["ensemble"] else label(row)
        texts = [
            ("* " if chosen else "  ") + name,
            score_text(metric, of(row, "validation", metric.key)),
            *(cells[column] for column in columns),
        ]
        table.add_row(*(Text(safe(text)) for text in texts), style="bold" if chosen else None)
    return table
