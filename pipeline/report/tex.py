"""The comparison in the shape of the thesis's tables: booktabs, one row per model, accuracy and F1 in per cent."""

from collections.abc import Mapping
from typing import Any

from fusecat.pipeline.report.tables import label, of, shown_rows, tex_text
from fusecat.stages.metrics import ACCURACY, MACRO_F1
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
    """Model, then accuracy and F1 on validation and, where it exists, on test; the chosen strategy in bold."""
    parts = [part for part in ("validation", "test") if rows[0][part] is not None]
    head = " & ".join(f"\\multicolumn{{2}}{{c}}{{{part.capitalize()}}}" for part in parts)
    rules = " ".join(f"\\cmidrule(lr){{{2 + 2 * at}-{3 + 2 * at}}}" for at in range(len(parts)))
    lines = ["\\begin{table}", "\\centering", f"\\caption{{{title} (per cent, mean $\\pm$ standard deviation over seeds).}}"]
    lines += [f"\\begin{{tabular}}{{l{'rr' * len(parts)}}}", "\\toprule", f"Model & {head} \\\\", rules]
    lines += [" & ".join(["", *["Accuracy & F1"] * len(parts)]) + " \\\\", "\\midrule"]
    for row in rows:
        chosen = row["strategy"] == report["chosen"] and not row["ensemble"]
        name = tex_text(label(row))
        cells = [_figure(of(row, part, key)) for part in parts for key in (ACCURACY.key, MACRO_F1.key)]
        lines.append(" & ".join([f"\\textbf{{{name}}}" if chosen else name, *cells]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _figure(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "--"
    return f"{100 * score['mean']:.2f}" + ("" if score["sd"] is None else f" $\\pm$ {100 * score['sd']:.2f}")
