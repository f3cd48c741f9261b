"""The report's pictures, each a function from plain values to a `Plot`. Shape tells what colour tells."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusecat.pipeline.console import safe
from fusecat.pipeline.report.svg import MARKERS, NARROW, WIDE, Axis, Plot, length, tone_of

if TYPE_CHECKING:
    from fusecat.pipeline.report.calibration import Reliability
    from fusecat.pipeline.report.contrasts import Pairs

LONGEST = 48
"""Characters of a name in a picture; the longest strategy of the thesis has 40."""

ENOUGH = 5
"""Answers that a bin must hold to be drawn: the share of right ones among fewer is noise."""

SIDE_LOOK = {
    "chosen": ("o", "chosen"),
    "text alone": ("s", "single"),
    "image alone": ("^", "late"),
    "attributes alone": ("v", "worse"),
    "one feature alone": ("s", "single"),
    "best fusion": ("X", "flat"),
    "ensemble of seeds": ("D", "fused"),
    "as predict gives it": ("P", "better"),
}


@dataclass(frozen=True)
class Dot:
    """One line of a dot plot: a value with its interval, the values of its seeds as ticks, bold where it matters most."""

    name: str
    value: float
    low: float | None
    high: float | None
    tone: str
    marker: str
    ticks: Sequence[float] = ()
    bold: bool = False
    hollow: bool = False


def dots(
    rows: Sequence[Dot], *, axis: str, narrow: bool, short: str = "", zero: bool = False, shapes: Sequence[str] = ()
) -> Plot:
    """Dots with intervals, the first at the top; `short`: the axis on a narrow page, `shapes`: architectures of a legend."""
    ends = [end for row in rows for end in (row.value, row.low, row.high, *row.ticks) if end is not None]
    names, bold = [row.name for row in rows], [row.bold for row in rows]
    plot, x, lines = _rows(names, [*ends, 0] if zero else ends, short or axis if narrow else axis, bold, narrow=narrow)
    if zero:
        plot.line([(x.at(0), lines[0] - 12), (x.at(0), lines[-1] + 12)], "muted", width=1.2)
    for row, y in zip(rows, lines, strict=True):
        if row.low is not None and row.high is not None:
            plot.line([(x.at(row.low), y), (x.at(row.high), y)], row.tone, width=3 if row.bold else 1.6)
        plot.marks("|", f"{row.tone} faint", [(x.at(value), y) for value in row.ticks], radius=3.7, edge=1.3)
        radius, edge = 5 if row.bold else 3.9, 1.6 if row.hollow else 1
        plot.marks(row.marker, row.tone, [(x.at(row.value), y)], radius=radius, edge=edge, hollow=row.hollow)
    _legend(plot, [(kind, MARKERS[kind], tone_of(kind)) for kind in shapes])
    return plot


def dumbbells(names: Sequence[str], sides: Mapping[str, Sequence[float]], *, axis: str, narrow: bool) -> Plot:
    """One line per name, one shape per side, joined by a thin line."""
    columns = np.array(list(sides.values()))
    plot, x, lines = _rows(names, columns.ravel().tolist(), axis, [False] * len(names), narrow=narrow)
    for values, y in zip(columns.T, lines, strict=True):
        plot.line([(x.at(values.min()), y), (x.at(values.max()), y)], "rule", width=1.9)
    for side, values in reversed(list(sides.items())):
        marker, tone = SIDE_LOOK[side]
        points = [(x.at(value), y) for value, y in zip(values, lines, strict=True)]
        plot.marks(marker, tone, points, radius=4.4 if side == "chosen" else 3.7, edge=0.9)
    _legend(plot, [(side, *SIDE_LOOK[side]) for side in sides])
    return plot


def matrix(pairs: "Pairs", sign: int, *, narrow: bool) -> Plot:
    """Row against column: a triangle up where the row is better, down where it is worse, a dot where neither is shown."""
    count = len(pairs.strategies)
    named = not narrow or count <= 30
    names = [f"{label(name)}  {at}" if named else f"{at}" for at, name in enumerate(pairs.strategies, start=1)]
    small = 0.62 if narrow else 0.83  # of the usual letters
    left = small * max(length(name) for name in names) + 6
    cell = (NARROW - left - 4) / count if narrow else max(15.0, 210 / count)
    cell = min(cell, 28)
    plot = Plot(NARROW if narrow else left + count * cell + 8)
    top, look = 18.0, "end tiny" if narrow else "end small"
    for at, name in enumerate(names):
        plot.text(left - 4, top + (at + 0.5) * cell + 3, name, f"name {look}")
        if at == 0 or (at + 1) % (5 if count > 12 else 1) == 0:
            plot.text(left + (at + 0.5) * cell, 11, str(at + 1), "middle tiny" if narrow else "middle small")
    row, column = np.nonzero(~np.eye(count, dtype=bool))
    better = (pairs.p[row, column] < 0.05) * np.sign(sign * pairs.difference[row, column])
    radius = min(0.25 * cell, 4)
    kinds = [("row better", "^", "better"), ("row worse", "v", "worse"), ("not shown to differ", ".", "single")]
    for direction, (_, marker, tone) in zip((1, -1, 0), kinds, strict=True):
        here = np.flatnonzero(better == direction)
        points = [(left + (column[at] + 0.5) * cell, top + (row[at] + 0.5) * cell) for at in here]
        plot.marks(marker, tone, points, radius=radius * (1 if direction else 0.4))
    plot.height = top + count * cell + 4
    _legend(plot, kinds)
    return plot


def reliability(curves: Mapping[str, "Reliability"], *, narrow: bool) -> Plot:
    """Share of right answers over the probability that was claimed; on the diagonal, both are the same."""
    plot, side = Plot(NARROW if narrow else 595), 280 if narrow else 330
    left = 48
    x, y = Axis(-2, 102, left, plot.width - 10), Axis(-2, 102, 8 + side, 8)
    plot.across(x, y.end, y.start, "claimed probability, per cent")
    plot.upwards(y, left, x.end, "right, per cent")
    plot.line([(x.at(0), y.at(0)), (x.at(100), y.at(100))], "muted", width=1.2, dashes="5 4")
    for name, curve in reversed(list(curves.items())):
        marker, tone = SIDE_LOOK[name]
        products = np.array(curve.products)
        enough = products >= ENOUGH
        points = [
            (x.at(100 * claimed), y.at(100 * right))
            for claimed, right in zip(np.array(curve.confidence)[enough], np.array(curve.accuracy)[enough], strict=True)
        ]
        plot.line(points, tone, width=1.7)
        for point, share in zip(points, products[enough] / products.max(), strict=True):  # the area tells how many
            plot.marks(marker, tone, [point], radius=np.sqrt(4.5 + 26 * np.sqrt(share)), edge=0.9)
    _legend(plot, [(name, *SIDE_LOOK[name]) for name in curves])
    return plot


def pareto(
    points: Sequence[tuple[str, str, float, float]], *, chosen: str, best: Sequence[str], axis: str, narrow: bool
) -> Plot:
    """`points` of (strategy, architecture, seconds, score); the line joins what nothing cheaper beats (`best`, by cost)."""
    log = all(seconds > 0 for *_, seconds, _ in points)
    seconds, scores = [x for *_, x, _ in points], [y for *_, y in points]
    plot, x, y = _frame(seconds, scores, "seconds to fit and predict, one seed", axis, log=log, narrow=narrow)
    front = sorted((seconds, score) for name, _, seconds, score in points if name in best)
    steps = [(seconds, before[1]) for before, (seconds, _) in itertools.pairwise(front)]
    corners = [point for pair in zip(front, [*steps, front[-1]], strict=True) for point in pair] if front else []
    plot.line([(x.at(seconds), y.at(score)) for seconds, score in corners], "muted", width=1.2, dashes="5 4")
    for name, architecture, cost, score in points:
        picked = name == chosen
        marker, tone = MARKERS.get(architecture, "o"), tone_of(architecture, is_chosen=picked)
        plot.marks(marker, tone, [(x.at(cost), y.at(score))], radius=6 if picked else 4.3, edge=1)
    kinds = dict.fromkeys(architecture for _, architecture, *_ in points)
    _legend(plot, [(kind, MARKERS.get(kind, "o"), tone_of(kind)) for kind in kinds])
    return plot


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], *, axis: str, narrow: bool) -> Plot:
    """One line per name over epochs; dashes and markers differ, so that no colour is needed."""
    dashes = ("", "7 3", "2 2", "7 3 2 3", "12 4", "4 2 2 2 2 2", "3 5")
    tones = ("chosen", "fused", "late", "flat", "single")
    epochs, scores = zip(*(point for points in lines.values() for point in points), strict=True)
    plot, x, y = _frame(epochs, scores, "epoch", axis, whole=True, narrow=narrow)

    def draw(plot: Plot, at: int, points: Sequence[tuple[float, float]]) -> None:
        plot.line(points, tones[at % 5], width=1.7, dashes=dashes[at % 7])
        plot.marks("osD^vPX"[at % 7], tones[at % 5], points, radius=2.5)

    for at, points in enumerate(lines.values()):
        draw(plot, at, [(x.at(epoch), y.at(score)) for epoch, score in points])
    names = [label(name) for name in lines]
    plot.legend(names, lambda plot, at, x, y: draw(plot, at, [(x, y), (x + 32, y)]), room=40)
    return plot


def label(name: str) -> str:
    """A name that leaves room for the picture: harmless, and its end cut off where it is very long."""
    plain = safe(name)
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"


def _rows(
    names: Sequence[str], values: Sequence[float], axis: str, bold: Sequence[bool], *, narrow: bool
) -> tuple[Plot, Axis, list[float]]:
    """A plot with a line for each name, the axis below it, and the lines' heights.

    Names stand left of their lines; on a narrow page above them, where they take no width.
    """
    shown = [label(name) for name in names]
    left = 8 if narrow else max((length(name, bold=strong) for name, strong in zip(shown, bold, strict=True)), default=0) + 12
    plot = Plot(NARROW if narrow else WIDE)
    x, step, top = Axis.over(values, left, plot.width - 12), 35 if narrow else 24, 26 if narrow else 16
    lines = [float(top + at * step) for at in range(len(names))]
    plot.across(x, 4, top + (len(names) - 0.5) * step, axis)
    for name, strong, y in zip(shown, bold, lines, strict=True):
        look = "name strong" if strong else "name"
        if narrow:
            plot.text(1, y - 9, name, look)
        else:
            plot.text(left - 10, y + 4, name, f"{look} end")
    return plot, x, lines


def _frame(
    across: Sequence[float], up: Sequence[float], axis: str, name: str, *, narrow: bool, log: bool = False, whole: bool = False
) -> tuple[Plot, Axis, Axis]:
    """A plot of two axes, over all these values."""
    plot, left, top = Plot(NARROW if narrow else WIDE), 60, 6
    x, y = Axis.over(across, left, plot.width - 10, log=log), Axis.over(up, top + (250 if narrow else 270), top)
    plot.across(x, top, y.start, axis, whole=whole)
    plot.upwards(y, left, x.end, name)
    return plot, x, y


def _legend(plot: Plot, kinds: Sequence[tuple[str, str, str]]) -> None:
    if kinds:
        plot.legend(
            [name for name, *_ in kinds], lambda plot, at, x, y: plot.marks(kinds[at][1], kinds[at][2], [(x + 8, y)], radius=4)
        )
