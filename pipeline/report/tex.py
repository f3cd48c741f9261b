"""The comparison in the shape of the thesis's tables: booktabs, one row per model, accuracy and F1 in per cent."""

from collections.abc import Mapping
from typing import Any

from fusecat.pipeline.report.tables import label, of, shown_rows, tex_text
from fusecat.stages.metrics import ACCURACY, MACRO_F1, METRICS, Metric
from fusecat.stages.vocabulary import Architecture

TITLES = {
    Architecture.UNIMODAL: "Uni-modal networks",
    Architecture.PROBE: "Linear probes on one feature",
    Architecture.BASELINE: "Baseline fusion",
    Architecture.FLAT: "Flat fusion, the control of the hierarchy",
    Architecture.HIERARCHICAL: "Hierarchical fusion",
    Architecture.TEXT: "Fusion of texts, the control of the image",
    Architecture.LOGISTIC: "Logistic regression, tuned on validation",
    Architecture.LATE: "Late fusion",
}


def tex(report: Mapping[str, Any]) -> str:
    """report.tex: one table per architecture and one of all; needs the package booktabs."""
    tables = [_table("All strategies, best on validation first", list(shown_rows(report)), report)]
    for architecture, title in TITLES.items():
        rows = [row for row in report["rows"] if row["architecture"] == architecture]
        if rows:
            tables.append(_table(title, rows, report))
    return "% needs \\usepackage{booktabs}\n" + "\n".join(tables)


def _table(title: str, rows: list[Mapping[str, Any]], report: Mapping[str, Any]) -> str:
    """Model, then accuracy, F1 and what chose, on validation and, where it exists, on test; the chosen strategy in bold."""
    metrics = list(dict.fromkeys((ACCURACY, MACRO_F1, METRICS[report["metric"]])))
    shown, count = ["Accuracy", "F1", *(tex_text(each.shown) for each in metrics[2:])], len(metrics)
    parts = [part for part in ("validation", "test") if rows[0][part] is not None]
    head = " & ".join(f"\\multicolumn{{{count}}}{{c}}{{{part.capitalize()}}}" for part in parts)
    rules = " ".join(f"\\cmidrule(lr){{{2 + count * at}-{1 + count * (at + 1)}}}" for at in range(len(parts)))
    unit = "per cent, " if all(metric.percent for metric in metrics) else ""
    lines = ["\\begin{table}", "\\centering", f"\\caption{{{title} ({unit}mean $\\pm$ standard deviation over seeds).}}"]
    lines += [f"\\begin{{tabular}}{{l{'r' * count * len(parts)}}}", "\\toprule", f"Model & {head} \\\\", rules]
    lines += [" & ".join(["", *shown * len(parts)]) + " \\\\", "\\midrule"]
    for row in rows:
        chosen = row["strategy"] == report["chosen"] and not row["ensemble"]
        name = tex_text(label(row))
        cells = [_figure(of(row, part, metric.key), metric) for part in parts for metric in metrics]
        lines.append(" & ".join([f"\\textbf{{{name}}}" if chosen else name, *cells]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _figure(score: Mapping[str, Any] | None, metric: Metric) -> str:
    if score is None:
        return "--"
    mean, spread = (None if value is None else metric.scale * value for value in (score["mean"], score["sd"]))
    return f"{mean:.2f}" + ("" if spread is None else f" $\\pm$ {spread:.2f}")
