"""The comparison as Markdown, CSV and TeX: the same rows as report.json, for people, spreadsheets and papers."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from fusecat.pipeline.console import safe
from fusecat.pipeline.report.contrasts import confidence
from fusecat.pipeline.report.results import SINGLE
from fusecat.stages.metrics import ACCURACY, MACRO_F1, METRICS, Metric
from fusecat.stages.spreadsheet import harmless
from fusecat.stages.vocabulary import Architecture

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip

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


def shown_rows(report: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The rows in the order in which people see them: best on validation first, the chosen one's ensemble right under it."""
    ensembles = {row["strategy"]: row for row in report["ensembles"]}
    for row in report["rows"]:
        yield row
        if row["strategy"] == report["chosen"] and row["strategy"] in ensembles:
            yield ensembles[row["strategy"]]


def folded(report: Mapping[str, Any]) -> set[str]:
    """Single features that a short table leaves out: all but the best on text, on image and of the references.

    Validation says which are best. Empty where nothing is fused: the single features are the comparison then.
    """
    single = [row for row in report["rows"] if row["architecture"] in SINGLE]
    if len(single) == len(report["rows"]):
        return set()
    references = [row["strategy"] for row in single if row["features"][0].startswith("reference.")]
    kept = {report["chosen"], report["reference"], *report["sides"].values(), *references[:1]}
    return {row["strategy"] for row in single} - kept


def label(row: Mapping[str, Any]) -> str:
    """A row's name: the strategy, or the ensemble of its seeds."""
    name = " = ".join([row["strategy"], *row["also"]])
    return f"{name} (ensemble of {len(row['seeds'])} seeds)" if row["ensemble"] else name


def score_text(metric: Metric, score: Mapping[str, Any] | None) -> str:
    """`67.3 ± 0.8`, without the spread for a single value, a dash for a part that does not exist."""
    if score is None:
        return "–"
    spread = "" if score["sd"] is None else f" ± {metric.figure(score['sd'])}"
    return metric.figure(score["mean"]) + spread


def interval_text(metric: Metric, score: Mapping[str, Any] | None) -> str:
    """`65.1 to 69.5`, or nothing."""
    if score is None or score["low"] is None:
        return ""
    return f"{metric.figure(score['low'])} to {metric.figure(score['high'])}"


def group_text(letters: str | None) -> str:
    """`abcdef` as `a–f`: runs of three letters and more are shortened."""
    text, run = "", ""
    for letter in f"{letters or ''}\0":
        if run and ord(letter) == ord(run[-1]) + 1:
            run += letter
            continue
        text += f"{run[0]}–{run[-1]}" if len(run) > 2 else run
        run = letter
    return text


def of(row: Mapping[str, Any], part: str, metric: str) -> Mapping[str, Any] | None:
    """A score of a row, None where the part does not exist."""
    return None if row[part] is None else row[part][metric]


def markdown(report: Mapping[str, Any]) -> str:
    """report.md: verdict, ranked table, primary contrasts."""
    metric = METRICS[report["metric"]]
    lines = ["# Comparison of fusion strategies", "", cell(report["verdict"]), ""]
    lines += [f"Ranked on validation by {metric.ranks}; mean ± deviation over seeds; intervals over products and seeds.", ""]
    head = ["strategy", "validation", "test", "test interval", "group", "chosen in", "features", "test accuracy", "parameters"]
    head += ["fit s", "fitted on"]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in shown_rows(report):
        name = cell(label(row))
        cells = [
            f"**{name}** (chosen)" if row["strategy"] == report["chosen"] and not row["ensemble"] else name,
            score_text(metric, of(row, "validation", metric.key)),
            score_text(metric, of(row, "test", metric.key)),
            interval_text(metric, of(row, "test", metric.key)),
            group_text(row["group"]),
            "" if row["share"] is None else f"{100 * row['share']:.0f} %",
            cell(", ".join(row["features"])),
            score_text(ACCURACY, of(row, "test", "accuracy")),
            f"{row['parameters']:,}",
            f"{row['fit_seconds']:.1f}",
            ", ".join(row["fitted_on"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"## Planned differences ({report['report_part']})", ""]
    lines += [f"Each interval has the level of its test; p is corrected alike. {metric.convention}".strip(), ""]
    lines += ["| one | other | difference | interval | p | real |", "|---|---|---|---|---|---|"]
    for contrast in report["contrasts"]:
        span = f"{metric.gains(contrast['level_low'], contrast['level_high'])} ({confidence(contrast['level'])})"
        cells = [cell(contrast["one"]), cell(contrast["other"]), metric.gain(contrast["difference"]), span]
        cells += [format(contrast["p"], ".3g"), "yes" if contrast["real"] else "no"]
        lines.append(f"| {' | '.join(cells)} |")
    for title in ("interrupted", "failed"):
        if report[title]:
            lines += ["", f"## Runs that are {title} (not in any figure)", "", *(f"- {cell(name)}" for name in report[title])]
    return "\n".join(lines) + "\n"


def comma_separated(report: Mapping[str, Any]) -> str:
    """report.csv: one line per row of the table and per ensemble, full precision; harmless in spreadsheets."""
    head = ["strategy", "ensemble", "chosen", "architecture", "first", "final", "features", "seeds", "group"]
    head += ["parameters", "fit_seconds", "predict_seconds", "fitted_on"]
    parts = [part for part in ("validation", "test") if report["rows"][0][part] is not None]
    keys = [metric.key for metric in METRICS.values()]
    head += [f"{part}_{key}_{kind}" for part in parts for key in keys for kind in ("mean", "sd", "low", "high")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in [*report["rows"], *report["ensembles"]]:
        chosen = "yes" if row["strategy"] == report["chosen"] else "no"
        cells: list[Any] = [row["strategy"], "yes" if row["ensemble"] else "no", chosen, row["architecture"]]
        cells += [row["first"], row["final"], " ".join(row["features"]), len(row["seeds"]), row["group"]]
        cells += [row["parameters"], row["fit_seconds"], row["predict_seconds"], " ".join(row["fitted_on"])]
        cells += [row[part][key][kind] for part in parts for key in keys for kind in ("mean", "sd", "low", "high")]
        writer.writerow(map(harmless, cells))
    return out.getvalue()


def tex_text(text: str) -> str:
    """Text that TeX prints and does not obey."""
    return "".join(_TEX.get(character, character) for character in safe(text))


def cell(text: str) -> str:
    """Text that cannot leave its Markdown cell, nor become HTML."""
    plain = safe(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")


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
