"""The comparison in the terminal: the verdict, the ranked table, and where the page is."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusecat.pipeline.console import console, quoted, safe
from fusecat.pipeline.report.answers import Question
from fusecat.pipeline.report.comparison import Comparison, compare
from fusecat.pipeline.report.costs import cheap, dear
from fusecat.pipeline.report.output import write_if_allowed
from fusecat.pipeline.report.plain import doubling, headline, lacking, spared
from fusecat.pipeline.report.questions import SUSPECTED, questions
from fusecat.pipeline.report.tables import folded, group_text, interval_text, label, of, score_text, shown_rows
from fusecat.pipeline.report.verdict import sentences
from fusecat.stages.metrics import ACCURACY, METRICS, Metric

if TYPE_CHECKING:
    from rich.table import Table

_WIDE, _ROOMY, _MIDDLE = 140, 95, 76  # columns for the whole table, for the groups, for intervals
_NAME = 18  # columns that a strategy's name has at least


def print_report(
    workspace: Path,
    *,
    metric: Metric | None = None,
    against: str | None = None,
    shareable: bool = False,
    output: Path | None = None,
    asked: Collection[Question] = (),
    unasked: bool = False,
) -> tuple[Path | None, dict[str, Any]]:
    """Compare the runs of a workspace, write the report, print verdict and ranked table; returns what `write_report` does.

    `output`: the folder of the report's files; without it a workspace that may not be written gets none, and a warning says so.
    `asked`: what is worked out beside, which means fitting heads again; `unasked`: and what takes seconds only.
    """
    comparison = compare(workspace, metric=metric, against=against)
    if unasked:
        asked = [*asked, *map(Question, questions(comparison, unasked=cheap(comparison)))]
    page, report = write_if_allowed(comparison, output, shareable=shareable, asked=asked)
    terminal = console()
    for at, sentence in enumerate(answer(comparison, report)):
        terminal.print(safe(sentence), markup=False, highlight=False, style="" if at else "bold", soft_wrap=False)
    terminal.print()
    terminal.print(ranked_table(report, terminal.width), soft_wrap=False)
    for row in report["rows"]:
        if row["also"] and row["strategy"] not in folded(report):
            terminal.print(f"{safe(label(row))}: one function, one row.", markup=False, highlight=False)
    later = costly(workspace, dear(comparison), report) if unasked else []
    for line in (*confused(report), *trusted(report), *answers(report), *later):
        terminal.print(safe(line), markup=False, highlight=False, soft_wrap=False)
    if hidden := len(folded(report)):
        terminal.print(f"{hidden} more single features are in the report.", highlight=False)
    for line in other_choices(comparison):
        terminal.print(line)
    for title in ("interrupted", "failed"):
        for name in report[title]:
            terminal.print(f"{title}, not counted: {safe(name)}", markup=False)
    if page is not None:
        terminal.print(f"report: {safe(str(page))}", markup=False)
    return page, report


def answer(comparison: Comparison, report: dict[str, Any]) -> list[str]:
    """What to use in plain words, then the verdict, a sentence each."""
    return [headline(report), *sentences(comparison)]


def confused(report: dict[str, Any], shown: int = 3) -> list[str]:
    """The pairs of type codes that are most often confused."""
    told = [
        f"{_code(report, each['truth'])} for {_code(report, each['mistaken'])} ({each['products']} of {each['of']})"
        for each in report["mistakes"][:shown]
        if each["products"] > 1
    ]
    return [f"Most often mistaken: {'; '.join(told)}."] if told else []


def trusted(report: dict[str, Any], target: float = 0.95) -> list[str]:
    """How many products can be left to the model at this accuracy."""
    known = report["certainty"]
    found = known and next(each for each in known["selective"] if each["target"] == target)
    if not found or not found["right"]:
        return []
    right = found["right"]
    said = (
        f"Answering only from a probability of {100 * found['threshold']:.0f} % on ('predict --threshold'), it answers "
        f"{100 * found['answered']:.0f} % of {report['report_part']}, {100 * right['value']:.0f} % of them right "
        f"(95 % interval {100 * right['low']:.0f} to {100 * right['high']:.0f}); on validation {100 * target:.0f} %."
    )
    return [said]


def answers(report: dict[str, Any]) -> list[str]:
    """What was asked beside, in a sentence or two each."""
    metric, asked, said = METRICS[report["metric"]], report["asked"], []
    if curve := asked.get(Question.CURVE):
        first, last = (f"{metric.figure(of['mean'])} with {of['labels']:,}" for of in (curve["points"][0], curve["points"][-1]))
        steps = f"{metric.shown} on {curve['report_part']} {first} labels, {last}"
        said.append(f"Learning curve of {curve['strategy']}: {steps}. {doubling(metric, curve)}")
    if contribution := asked.get(Question.CONTRIBUTION):
        said += spared(metric, contribution)
    if missing := asked.get(Question.MISSING):
        said.append(lacking(metric, missing))
    if labels := asked.get(Question.LABELS):
        count = sum(labels["by_class"].values())
        said.append(f"{count:,} of {labels['examined']:,} training labels are doubted; the products are in {SUSPECTED}.")
    return said


def costly(workspace: Path, dear: Mapping[Question, float], report: dict[str, Any]) -> list[str]:
    """Which questions are left for whoever asks, and what they take."""
    left = {f"--{question}": seconds for question, seconds in dear.items() if question not in report["asked"]}
    if not left:
        return []
    told = [f"{option} {_about(seconds)}" for option, seconds in left.items()]
    return [f"Not worked out, as it takes longer: {quoted('fusecat', 'report', workspace)} {', '.join(told)}."]


def _about(seconds: float) -> str:
    return f"(about {seconds:.0f} s)" if seconds < 90 else f"(about {seconds / 60:.0f} min)"


def _code(report: dict[str, Any], code: str) -> str:
    name = next((line["name"] for line in report["by_class"] if line["code"] == code), "")
    return f"{code} {name if len(name) <= 32 else name[:31] + '…'}".strip()


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
    tested = report["report_part"] == "test"
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{metric.ranks}, ranked on validation (* chosen)",
        title_justify="left",
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    hidden = folded(report)
    columns = ["test"] if tested else []
    columns += ["95 %"] if width >= _MIDDLE else []
    columns += ["group"] if width >= _ROOMY else []
    columns += ["chosen in", "features", "accuracy", "parameters", "fit s", "fitted on"] if width >= _WIDE else []
    lines: list[tuple[bool, list[str]]] = []
    for row in shown_rows(report):
        if row["strategy"] in hidden:
            continue
        chosen = row["strategy"] == report["chosen"] and not row["ensemble"]
        cells = {
            "test": score_text(metric, of(row, "test", metric.key)),
            "95 %": interval_text(metric, of(row, report["report_part"], metric.key)),
            "group": group_text(row["group"]),
            "chosen in": "" if row["share"] is None else f"{100 * row['share']:.0f} %",
            "features": f"{len(row['features'])}",
            "accuracy": score_text(ACCURACY, of(row, report["report_part"], "accuracy")),
            "parameters": f"{row['parameters']:,}",
            "fit s": f"{row['fit_seconds']:.1f}",
            "fitted on": ", ".join(row["fitted_on"]) or "-",
        }
        name = f"  ensemble of its {len(row['seeds'])} seeds" if row["ensemble"] else row["strategy"] + " =" * bool(row["also"])
        texts = [name, score_text(metric, of(row, "validation", metric.key)), *(cells[column] for column in columns)]
        lines.append((chosen, [safe(text) for text in texts]))
    heads = ["validation", *columns]
    taken = sum(max(map(len, (head, *(texts[at] for _, texts in lines)))) + 2 for at, head in enumerate(heads, start=1))
    names = shortened([texts[0] for _, texts in lines], max(_NAME, width - taken - 2))
    table.add_column("strategy", overflow="fold", min_width=_NAME)
    for column in heads:
        table.add_column(column, justify="left" if column in ("group", "fitted on") else "right", no_wrap=True)
    for name, (chosen, texts) in zip(names, lines, strict=True):
        marked = ("* " if chosen else "  ") + name
        table.add_row(*(Text(text) for text in (marked, *texts[1:])), style="bold" if chosen else None)
    return table


def shortened(names: Sequence[str], room: int) -> list[str]:
    """The names, those longer than `room` characters without their middle; whole where two would become one."""
    short = [
        name if len(name) <= room else f"{name[: room // 2]}…{name[len(name) - (room - 1 - room // 2) :]}" for name in names
    ]
    return [name if short.count(cut) > 1 else cut for name, cut in zip(names, short, strict=True)]
