"""Inline SVG: text stays text, colours follow the page (light, dark, print), the same runs give the same bytes.

Matplotlib writes style attributes, which a strict Content-Security-Policy forbids: they become classes, collected in a
`Sheet`. Every picture is drawn wide and narrow, and the page shows the one that fits.
"""

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from fusecat.stages.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
TONES = {
    "chosen": "#050501",
    "fused": "#050502",
    "flat": "#050503",
    "single": "#050504",
    "late": "#050505",
    "worse": "#050506",
    "better": "#050507",
}
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", PAPER: "paper"} | {hue: f"tone-{name}" for name, hue in TONES.items()}
"""Stand-in colours that no real drawing uses -> the page's custom property."""

MARKERS = {
    "baseline": "s",
    "flat": "D",
    "hierarchical": "o",
    "text": "p",
    "logistic": "X",
    "late": "^",
    "unimodal": "v",
    "probe": "P",
}
"""A shape for each architecture, so that colour is never needed."""

WIDE, NARROW = 10.5, 3.85
"""Inches: at 96 pixels each, the page's column on a screen and on a phone."""

_STYLE = re.compile(r' style="([^"]*)"')
_ID = re.compile(r' id="([^"]*)"')
_LOOK: Any = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9,
    "text.color": INK, "axes.edgecolor": LINE, "axes.labelcolor": MUTED, "axes.facecolor": "none",
    "figure.facecolor": "none", "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.spines.bottom": False, "grid.color": LINE, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "legend.labelcolor": MUTED, "legend.fontsize": 8, "text.parse_math": False,
}  # fmt: skip


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
    """A figure of that size in inches in the report's plain look, with one axes; pyplot's global state is not touched."""
    with _look():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


@contextmanager
def _look(**more: str) -> Iterator[None]:
    """The report's look and nothing else: what a user's matplotlibrc or notebook sets comes back afterwards."""
    _import_matplotlib()
    from matplotlib import rc_context, rcParamsDefault

    shipped = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    with rc_context(shipped | _LOOK | more):
        yield


def _import_matplotlib() -> None:
    """Import matplotlib whatever MPLBACKEND says: nothing here is shown on a screen.

    A notebook's kernel names a backend that a command in its terminal may not have, and the mere import would fail. What
    matplotlib says of the user's files and folders is of no use to a reader of the report.
    """
    if "matplotlib" in sys.modules:
        return
    log, backend = logging.getLogger("matplotlib"), os.environ.pop("MPLBACKEND", None)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        import matplotlib
    except UnicodeDecodeError as error:
        raise UsageError(
            f"a matplotlibrc, in this folder or of this user, is not UTF-8 ({error.reason}): correct or remove it"
        ) from error
    finally:
        log.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):  # whoever draws on a screen later in this process is told by matplotlib itself
            matplotlib.rcParams["backend"] = backend


def picture(draw: Callable[[bool], "Figure"], sheet: Sheet, *, name: str, label: str) -> Markup:
    """Both versions of a picture, `draw(narrow)`; `label` is what a screen reader says."""
    return Markup("").join(_svg(draw(narrow), sheet, name, label, narrow=narrow) for narrow in (False, True))


def tone_of(architecture: str, *, is_chosen: bool = False) -> str:
    """The colour of a strategy: the chosen one stands out, the others by what they look at."""
    if is_chosen:
        return TONES["chosen"]
    return TONES[
        {"flat": "flat", "late": "late", "logistic": "single", "probe": "single", "unimodal": "single"}.get(
            architecture, "fused"
        )
    ]


def _svg(figure: "Figure", sheet: Sheet, name: str, label: str, *, narrow: bool) -> Markup:
    version = "narrow" if narrow else "wide"
    out = io.StringIO()
    with _look(**{"svg.hashsalt": f"{name}-{version}"}), warnings.catch_warnings():
        # text stays text, and a browser has the script that matplotlib's own font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", text))
    text = _ID.sub(lambda found: found[0] if found[1] in used else "", text)
    text = _STYLE.sub(lambda found: f' class="{sheet.name(found[1])}"', text)
    text = re.sub(r"\s*\n\s*", "\n", re.sub(r"<g>\s*</g>", "", text))
    return Markup(text.replace("<svg", f'<svg class="{version}" role="img" aria-label="{escape(label)}"', 1))  # noqa: S704


def _variables(style: str) -> str:
    for stand_in, name in _VARIABLES.items():
        style = style.replace(stand_in, f"var(--{name})")
    return style.replace("'DejaVu Sans'", "system-ui").replace("; ", ";")
