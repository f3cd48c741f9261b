"""Pictures as inline SVG: text stays text, colours follow the page (light, dark, print), the same runs give the same bytes.

Every picture is drawn twice, wide and narrow, and the page shows the one that fits. Matplotlib writes style attributes,
which a strict Content-Security-Policy forbids: they become classes, collected in a `Sheet`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
TONES = {"chosen": "#050501", "fused": "#050502", "flat": "#050503", "single": "#050504", "late": "#050505", "bad": "#050506"}
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", PAPER: "paper"} | {hue: f"tone-{name}" for name, hue in TONES.items()}
"""Stand-in colours that no real drawing uses -> the page's custom property."""

MARKERS = {"baseline": "s", "flat": "D", "hierarchical": "o", "late": "^", "unimodal": "v", "probe": "P"}
"""A shape for each architecture, so that colour is never needed."""

_STYLE = re.compile(r' style="([^"]*)"')
_ID = re.compile(r' id="([^"]*)"')


class Sheet:
    """The style rules of all pictures of a page: each distinct style attribute once, as a class."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, style: str) -> str:
        """The class that stands for a style attribute."""
        return self._names.setdefault(style, f"p{len(self._names)}")

    @property
    def css(self) -> str:
        """All rules, colours as the page's custom properties."""
        return "\n".join(f".{name}{{{_variables(style)}}}" for style, name in self._names.items())


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple["Figure", "Axes"]]:
    """A figure of that size in inches in the report's plain style, with one axes; no global state of pyplot is touched."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[str, Any] = {
        "svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9,
        "text.color": INK, "axes.edgecolor": LINE, "axes.labelcolor": MUTED, "axes.facecolor": "none",
        "figure.facecolor": "none", "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED,
        "ytick.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False, "grid.color": LINE,
        "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False, "legend.labelcolor": INK,
    }  # fmt: skip
    with rc_context(style):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def svg(figure: "Figure", sheet: Sheet, *, name: str, label: str, narrow: bool = False) -> Markup:
    """The figure as inline SVG with classes for styles; `label` is what a screen reader says."""
    import io

    from matplotlib import rc_context

    out = io.StringIO()
    salt = f"{name}-{'narrow' if narrow else 'wide'}"
    with rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", text))
    text = _ID.sub(lambda found: found[0] if found[1] in used else "", text)
    text = _STYLE.sub(lambda found: f' class="{sheet.name(found[1])}"', text)
    opening = f'<svg class="{"narrow" if narrow else "wide"}" role="img" aria-label="{Markup.escape(label)}"'
    return Markup(re.sub(r"\s*\n\s*", "\n", text.replace("<svg", opening, 1)))  # noqa: S704


def both(draw: Any, sheet: Sheet, *, name: str, label: str) -> Markup:
    """`draw(narrow)` yields a figure; both versions, one after the other."""
    return Markup("").join(svg(draw(narrow), sheet, name=name, label=label, narrow=narrow) for narrow in (False, True))


def dots(
    rows: Sequence[tuple[str, str, float, float | None, float | None, Sequence[float]]],
    *,
    chosen: str,
    axis: str,
    narrow: bool,
) -> "Figure":
    """Ranked dots: `rows` of (strategy, architecture, mean, low, high, values), the first at the top."""
    count = len(rows)
    with drawing(4.0 if narrow else 9.0, 0.9 + count * (0.36 if narrow else 0.25)) as (figure, axes):
        for at, (strategy, architecture, mean, low, high, values) in enumerate(rows):
            tone = tone_of(architecture, is_chosen=strategy == chosen)
            if low is not None and high is not None:
                axes.plot(
                    [low, high], [at, at], color=tone, linewidth=1.6 if strategy == chosen else 1.1, solid_capstyle="round"
                )
            axes.plot(values, [at] * len(values), "|", color=tone, markersize=5, alpha=0.6)
            axes.plot(
                [mean],
                [at],
                MARKERS.get(architecture, "o"),
                color=tone,
                markersize=7 if strategy == chosen else 5.5,
                markeredgecolor=PAPER,
                markeredgewidth=0.8,
            )
            if narrow:
                axes.annotate(
                    strategy,
                    (0, at),
                    xycoords=("axes fraction", "data"),
                    xytext=(0, 5),
                    textcoords="offset points",
                    fontsize=7.5,
                    weight="bold" if strategy == chosen else "normal",
                )
        axes.set_ylim(count - 0.4, -0.9 if narrow else -0.6)
        axes.set_yticks(range(count), [""] * count if narrow else [row[0] for row in rows])
        if not narrow:
            for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
                tick.set_fontweight("bold" if row[0] == chosen else "normal")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_xlabel(axis)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    return figure


def tone_of(architecture: str, *, is_chosen: bool = False) -> str:
    """The colour of a strategy: the chosen one stands out, the others by what they look at."""
    if is_chosen:
        return TONES["chosen"]
    return TONES[{"flat": "flat", "late": "late", "probe": "single", "unimodal": "single"}.get(architecture, "fused")]


def _variables(style: str) -> str:
    for stand_in, name in _VARIABLES.items():
        style = style.replace(stand_in, f"var(--{name})")
    return style.replace("; ", ";")
