"""From a comparison to the pictures of its page."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from fusecat.pipeline.console import safe
from fusecat.pipeline.report import figures
from fusecat.pipeline.report.contrasts import Contrast
from fusecat.pipeline.report.figures import Dot
from fusecat.pipeline.report.insights import Insights
from fusecat.pipeline.report.provenance import head_curves, network_curves
from fusecat.pipeline.report.slices import MANY_CLASSES, ClassLine
from fusecat.pipeline.report.svg import MARKERS, picture, tone_of
from fusecat.stages.vocabulary import Part

if TYPE_CHECKING:
    from fusecat.pipeline.report.comparison import Comparison, Row

MANY_STRATEGIES = 60
"""Above this number the matrix of all pairs is not drawn: nobody could read it."""


class Pictures:
    """Draws what a comparison holds; each method gives inline SVG, or None where there is nothing to draw.

    `hidden`: strategies that the ranking leaves out (see `tables.folded`).
    """

    def __init__(self, comparison: "Comparison", seen: Insights, hidden: Collection[str]) -> None:
        self.hidden = hidden
        self.comparison, self.seen = comparison, seen
        self.scale = comparison.metric.scale
        unit = "" if self.scale == 1 else ", per cent"
        self.axis = f"{comparison.report_part} {comparison.metric.ranks}{unit}"

    def all(self) -> dict[str, Markup | None]:
        """Every picture by name."""
        return {
            "ranked": self.ranked(),
            "contrasts": self.contrasts(),
            "pairs": self.pairs(),
            "classes": self.classes(),
            "reliability": self.reliability(),
            "cost": self.cost(),
            "curve": self.learning(),
            "networks": self._curves("networks", network_curves(self.comparison)),
            "heads": self._curves("heads", head_curves(self.comparison)),
        }

    def ranked(self) -> Markup:
        """The strategies in validation's order, with their figures on the report's part."""
        shown = [row for row in self.comparison.rows if row.strategy not in self.hidden]
        rows = [self._dot(row) for row in shown]
        kinds = dict.fromkeys(row.candidate.architecture for row in shown)
        draw = partial(figures.dots, rows, axis=self.axis, shapes=[kind for kind in kinds if kind in MARKERS])
        label = f"Strategies, best on validation first: {self.axis}, mean over seeds with 95 % intervals"
        return picture(draw, label=label)

    def contrasts(self) -> Markup | None:
        """Each strategy less the reference, with intervals at the level of its test; filled where the difference is real."""
        order = [row.strategy for row in self.comparison.rows]
        found = sorted(self.comparison.against_reference, key=lambda contrast: order.index(contrast.one))
        rows = [self._difference(contrast) for contrast in found]
        if not rows:
            return None
        unit = ("" if self.scale == 1 else ", points") + ("" if self.comparison.metric.sign > 0 else ", + is better")
        axis = f"difference from {self.comparison.reference}{unit}"
        draw = partial(figures.dots, rows, axis=axis, short=f"difference{unit}", zero=True)
        return picture(draw, label=f"Each strategy's {axis}, with intervals at the corrected level")

    def pairs(self) -> Markup | None:
        """All pairs."""
        pairs, sign = self.comparison.pairs, self.comparison.metric.sign
        if not 2 < len(pairs.strategies) <= MANY_STRATEGIES:
            return None
        return picture(partial(figures.matrix, pairs, sign), label="All pairs of strategies: which are shown to differ")

    def classes(self) -> Markup | None:
        """F1 of each type code, or of each category where there are too many codes to show."""
        lines: Sequence[ClassLine] = self.seen.classes
        if len(lines) > MANY_CLASSES:
            lines = self.seen.categories[:MANY_CLASSES]
        if not lines:
            return None
        names = [_class_name(line) for line in lines]
        compared = {side: [100 * line.f1[at] for line in lines] for at, side in enumerate(self.seen.compared)}
        draw = partial(figures.dumbbells, names, compared, axis="F1, per cent")
        return picture(draw, label=f"F1 by type code: {', '.join(compared)}")

    def learning(self) -> Markup | None:
        """The score over labelled products."""
        if not (curve := self.seen.asked.get("curve")):
            return None
        rows = []
        for point in curve["points"]:
            mean, low, high = (point[name] * self.scale for name in ("mean", "low", "high"))
            name = f"{100 * point['share']:.0f} % ({point['labels']:,} labels)"
            rows.append(Dot(name, mean, low, high, "chosen", "o"))
        draw = partial(figures.dots, rows, axis=self.axis)
        return picture(draw, label=f"{self.axis} over labelled products, with 95 % intervals")

    def reliability(self) -> Markup:
        """Reliability plot of the compared sides, and of what `predict` gives."""
        curves = dict(self.seen.reliability)
        if self.seen.certainty:
            curves["as predict gives it"] = self.seen.certainty.curve
        return picture(partial(figures.reliability, curves), label="Share of right answers over claimed probability")

    def cost(self) -> Markup:
        """Validation score over seconds: what to choose for its price is a choice, so test figures have no part in it."""
        metric, axis = self.comparison.metric, f"validation {self.comparison.metric.ranks}"
        points = []
        for row in self.comparison.rows:
            score = row.parts[Part.VALIDATION][metric.key].mean * self.scale
            points.append((row.strategy, row.candidate.architecture, row.fit_seconds + row.predict_seconds, score))
        chosen, best = self.comparison.chosen.strategy, front(self.comparison)
        draw = partial(figures.pareto, points, chosen=chosen, best=best, axis=axis)
        return picture(draw, label=f"{axis} over seconds to fit and predict")

    def _curves(self, name: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> Markup | None:
        if not any(len(points) > 1 for points in lines.values()):
            return None
        scaled = {key: [(x, y * self.scale) for x, y in points] for key, points in lines.items()}
        axis = f"validation {self.comparison.metric.ranks}"
        return picture(partial(figures.curves, scaled, axis=axis), label=f"{axis} over epochs: {name}")

    def _dot(self, row: "Row") -> Dot:
        score = row.parts[self.comparison.report_part][self.comparison.metric.key]
        is_chosen, kind = row.strategy == self.comparison.chosen.strategy, row.candidate.architecture
        low, high = (None if bound is None else bound * self.scale for bound in (score.low, score.high))
        ticks = [value * self.scale for value in score.values] if len(score.values) > 1 else []
        tone = tone_of(kind, is_chosen=is_chosen)
        return Dot(row.strategy, score.mean * self.scale, low, high, tone, MARKERS.get(kind, "o"), ticks, bold=is_chosen)

    def _difference(self, contrast: Contrast) -> Dot:
        kind, scale = self.comparison.row(contrast.one).candidate.architecture, self.scale * self.comparison.metric.sign
        value, (low, high) = contrast.difference.value * scale, sorted((contrast.low * scale, contrast.high * scale))
        tone = ("better" if value > 0 else "worse") if contrast.real else "single"
        is_chosen = contrast.one == self.comparison.chosen.strategy
        return Dot(contrast.one, value, low, high, tone, MARKERS.get(kind, "o"), bold=is_chosen, hollow=not contrast.real)


def front(comparison: "Comparison") -> list[str]:
    """Strategies that nothing at most as dear beats on validation, the cheapest first."""
    metric = comparison.metric
    rows = sorted(comparison.rows, key=lambda row: row.fit_seconds + row.predict_seconds)
    best, names = float("-inf"), []
    for row in rows:
        value = metric.sign * row.parts[Part.VALIDATION][metric.key].mean
        if value > best:
            best = value
            names.append(row.strategy)
    return names


def _class_name(line: ClassLine) -> str:
    name = safe(line.name)
    short = name if len(name) <= 28 else name[:27] + "…"
    return f"{safe(line.code)[:16]}  {short}".strip()
