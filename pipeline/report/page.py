"""`report/index.html`: one file that needs nothing else, and that nothing in a catalogue can make do anything."""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from pipeline.console import safe
from pipeline.report import plots, tables
from pipeline.report.comparison import Comparison
from pipeline.report.slices import class_lines, sides
from pipeline.report.verdict import figure, gain, sentences
from stages.vocabulary import Metric


def page(comparison: Comparison, report: Mapping[str, Any]) -> str:
    """The whole page as text; the same comparison gives the same bytes."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = files("pipeline.report") / "templates"
    sources = {name: (folder / name).read_text(encoding="utf-8") for name in ("index.html", "style.css", "script.js")}
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    metric = comparison.metric
    environment.filters |= {"safe_text": safe, "figure": lambda value: figure(metric, value), "gain": lambda v: gain(metric, v)}
    environment.globals |= {
        "of": tables.of, "label": tables.label, "interval": lambda score: tables.interval_text(metric, score),
        "score": lambda score, name=metric: tables.score_text(Metric(name), score),
    }  # fmt: skip
    sheet = plots.Sheet()
    pictures = _pictures(comparison, sheet)
    lines = sides(comparison)
    style, script = sources["style.css"] + sheet.css, sources["script.js"]
    return environment.get_template("index.html").render(
        report=report,
        metric=metric,
        judged=comparison.judged,
        sentences=sentences(comparison),
        shown=list(tables.shown_rows(report)),
        pictures=pictures,
        sides=lines,
        classes=class_lines(comparison, list(lines.values())),
        style=Markup(style),  # noqa: S704 - our own files, no text of a catalogue
        script=Markup(script),  # noqa: S704
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
    )


def _pictures(comparison: Comparison, sheet: plots.Sheet) -> dict[str, Markup]:
    metric, judged = comparison.metric, comparison.judged
    scale = 1 if metric is Metric.LOG_LOSS else 100
    ranked: list[Any] = []
    for row in comparison.rows:
        score = row.parts[judged][metric.key]
        span = [None if bound is None else bound * scale for bound in (score.low, score.high)]
        ranked.append((row.strategy, row.candidate.architecture, score.mean * scale, *span, [v * scale for v in score.values]))
    axis = f"{judged} {metric}" + ("" if scale == 1 else ", per cent")

    def draw(narrow: bool) -> Any:  # noqa: FBT001
        return plots.dots(ranked, chosen=comparison.chosen.strategy, axis=axis, narrow=narrow)

    label = f"Strategies ranked on validation; dots are the mean {axis} with 95 % intervals"
    return {"ranked": plots.both(draw, sheet, name="ranked", label=label)}


def _hash(text: str) -> str:
    """The source expression that lets the browser run exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
