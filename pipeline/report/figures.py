"""The report's pictures, each a function from plain values to a figure. Shape tells what colour tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusecat.pipeline.console import safe
from fusecat.pipeline.report.svg import INK, LINE, MARKERS, MUTED, NARROW, PAPER, TONES, WIDE, drawing, tone_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


def dots(rows: Sequence[Dot], *, axis: str, narrow: bool, zero: bool = False, shapes: Sequence[str] = ()) -> "Figure":
    """Dots with intervals, the first row at the top; `shapes`: architectures to explain in a legend."""
    height = 0.75 + len(rows) * (0.37 if narrow else 0.25) + (0.3 if shapes else 0)
    with drawing(NARROW if narrow else WIDE, height) as (figure, axes):
        for at, row in enumerate(rows):
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [at, at], color=row.tone, linewidth=2.2 if row.bold else 1.2)
            if row.ticks:
                axes.plot(row.ticks, [at] * len(row.ticks), "|", color=row.tone, markersize=5.5, alpha=0.65)
            fill, edge, width = (PAPER, row.tone, 1.2) if row.hollow else (row.tone, PAPER, 0.8)
            axes.plot([row.value], [at], row.marker, color=fill, markersize=7.5 if row.bold else 5.8,
                      markeredgecolor=edge, markeredgewidth=width)  # fmt: skip
        if zero:
            axes.axvline(0, color=MUTED, linewidth=0.9)
        _names(axes, [row.name for row in rows], [row.bold for row in rows], narrow=narrow)
        axes.grid(axis="x")
        axes.set_xlabel(axis)
        if shapes:
            _legend(figure, [(kind, MARKERS[kind], tone_of(kind)) for kind in shapes], narrow=narrow)
    return figure


def dumbbells(names: Sequence[str], sides: Mapping[str, Sequence[float]], *, axis: str, narrow: bool) -> "Figure":
    """One line per name, one shape per side, joined by a thin line."""
    height = 0.9 + len(names) * (0.37 if narrow else 0.25)
    with drawing(NARROW if narrow else WIDE, height) as (figure, axes):
        columns = np.array(list(sides.values()))
        for at in range(len(names)):
            axes.plot([columns[:, at].min(), columns[:, at].max()], [at, at], color=LINE, linewidth=1.4)
        for side, values in reversed(list(sides.items())):
            marker, tone = SIDE_LOOK[side]
            axes.plot(values, range(len(names)), marker, color=TONES[tone], markersize=6.5 if side == "chosen" else 5.5,
                      markeredgecolor=PAPER, markeredgewidth=0.7)  # fmt: skip
        _names(axes, names, [False] * len(names), narrow=narrow)
        axes.grid(axis="x")
        axes.set_xlabel(axis)
        _legend(figure, [(side, *_side(side)) for side in sides], narrow=narrow)
    return figure


def matrix(pairs: "Pairs", sign: int, *, narrow: bool) -> "Figure":
    """Row against column: a triangle up where the row is better, down where it is worse, a dot where neither is shown."""
    count = len(pairs.strategies)
    side = max(2.2, count * (0.115 if narrow else 0.155))
    with drawing((NARROW if narrow else side + 3.4), side + 0.75) as (figure, axes):
        row, column = np.nonzero(~np.eye(count, dtype=bool))
        better = (pairs.p[row, column] < 0.05) * np.sign(sign * pairs.difference[row, column])
        size = 9 if narrow else 16
        for direction, marker, tone, scale in ((1, "^", "better", 1), (-1, "v", "worse", 1), (0, ".", "single", 0.3)):
            here = better == direction
            axes.scatter(column[here], row[here], marker=marker, color=TONES[tone], s=size * scale, linewidths=0)
        step = 5 if count > 12 else 1
        marks = [at for at in range(count) if at == 0 or (at + 1) % step == 0]
        axes.set_xticks(marks, [str(at + 1) for at in marks])
        axes.xaxis.tick_top()
        named = not narrow or count <= 30
        names = [f"{label(name)}  {at}" if named else f"{at}" for at, name in enumerate(pairs.strategies, start=1)]
        axes.set_yticks(range(count), names, fontsize=5.6 if narrow else 7.5)
        axes.tick_params(length=0, labelsize=5.6 if narrow else 7.5)
        axes.set_xlim(-0.6, count - 0.4)
        axes.set_ylim(count - 0.4, -0.6)
        axes.set_aspect("equal")
        kinds = [
            ("row better", "^", TONES["better"]),
            ("row worse", "v", TONES["worse"]),
            ("not shown to differ", ".", TONES["single"]),
        ]
        _legend(figure, kinds, narrow=narrow)
    return figure


def reliability(curves: Mapping[str, "Reliability"], *, narrow: bool) -> "Figure":
    """Share of right answers over the probability that was claimed; on the diagonal, both are the same."""
    with drawing(NARROW if narrow else 6.2, 3.9 if narrow else 4.4) as (figure, axes):
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        for side, curve in reversed(list(curves.items())):
            marker, tone = SIDE_LOOK[side]
            enough = np.array(curve.products) >= ENOUGH
            x, y = 100 * np.array(curve.confidence)[enough], 100 * np.array(curve.accuracy)[enough]
            axes.plot(x, y, color=TONES[tone], linewidth=1.3)
            sizes = 10 + 60 * np.sqrt(np.array(curve.products)[enough] / max(curve.products))
            axes.scatter(x, y, s=sizes, marker=marker, color=TONES[tone], edgecolors=PAPER, linewidths=0.7, zorder=3)
        axes.set_xlim(-2, 102)
        axes.set_ylim(-2, 102)
        axes.grid()
        axes.set_xlabel("claimed probability, per cent")
        axes.set_ylabel("right, per cent")
        _legend(figure, [(side, *_side(side)) for side in curves], narrow=narrow)
    return figure


def pareto(
    points: Sequence[tuple[str, str, float, float]], *, chosen: str, best: Sequence[str], axis: str, narrow: bool
) -> "Figure":
    """`points` of (strategy, architecture, seconds, score); the line joins what nothing cheaper beats (`best`, by cost)."""
    with drawing(NARROW if narrow else WIDE, 3.6 if narrow else 4.0) as (figure, axes):
        front = sorted((seconds, score) for name, _, seconds, score in points if name in best)
        axes.step([x for x, _ in front], [y for _, y in front], where="post", color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        for name, architecture, seconds, score in points:
            picked = name == chosen
            axes.plot([seconds], [score], MARKERS.get(architecture, "o"), color=tone_of(architecture, is_chosen=picked),
                      markersize=9 if picked else 6.5, markeredgecolor=PAPER, markeredgewidth=0.8)  # fmt: skip
        if all(seconds > 0 for *_, seconds, _ in points):
            axes.set_xscale("log")
            _plain_numbers(axes)
        axes.grid()
        axes.set_xlabel("seconds to fit and predict, one seed")
        axes.set_ylabel(axis)
        kinds = dict.fromkeys(architecture for _, architecture, *_ in points)
        _legend(figure, [(kind, MARKERS.get(kind, "o"), tone_of(kind)) for kind in kinds], narrow=narrow)
    return figure


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], *, axis: str, narrow: bool) -> "Figure":
    """One line per name over epochs; dashes and markers differ, so that no colour is needed."""
    dashes: list[Any] = [
        "solid",
        (0, (5, 2)),
        (0, (1, 1.5)),
        (0, (5, 2, 1, 2)),
        (0, (9, 3)),
        (0, (3, 1, 1, 1, 1, 1)),
        (0, (2, 4)),
    ]
    tones = [TONES[name] for name in ("chosen", "fused", "late", "flat", "single")]
    with drawing(NARROW if narrow else WIDE, 3.6 if narrow else 3.4) as (figure, axes):
        from matplotlib.ticker import MaxNLocator

        for at, (name, points) in enumerate(lines.items()):
            axes.plot([x for x, _ in points], [y for _, y in points], color=tones[at % 5], linestyle=dashes[at % 7],
                      marker="osD^vP*"[at % 7], markersize=3.5, linewidth=1.3, label=label(name))  # fmt: skip
        axes.grid()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(axis)
        figure.legend(loc="outside lower center", ncols=2 if narrow else 4, handlelength=3)
    return figure


def label(name: str) -> str:
    """A name that leaves room for the picture: harmless, and its end cut off where it is very long."""
    plain = safe(name)
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"


def _names(axes: "Axes", names: Sequence[str], bold: Sequence[bool], *, narrow: bool) -> None:
    """Names left of their lines; on a narrow page above them, where they take no width."""
    count = len(names)
    axes.set_ylim(count - 0.4, -0.95 if narrow else -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(range(count), [""] * count if narrow else [label(name) for name in names])
    weights = ["bold" if strong else "normal" for strong in bold]
    if not narrow:
        for tick, weight in zip(axes.get_yticklabels(), weights, strict=True):
            tick.set_fontweight(weight)
        return
    for at, (name, weight) in enumerate(zip(names, weights, strict=True)):
        axes.annotate(label(name), (0, at), xycoords=("axes fraction", "data"), xytext=(1, 6), textcoords="offset points",
                      fontsize=8, color=INK, weight=weight).set_in_layout(False)  # fmt: skip


def _legend(figure: "Figure", kinds: Sequence[tuple[str, str, str]], *, narrow: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=marker, color=tone, linestyle="none", markersize=6, label=name) for name, marker, tone in kinds
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3 if narrow else 6, handletextpad=0.2, columnspacing=1.2)


def _side(side: str) -> tuple[str, str]:
    marker, tone = SIDE_LOOK[side]
    return marker, TONES[tone]


def _plain_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
