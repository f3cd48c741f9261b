"""Inline SVG: text stays text, colours follow the page (light, dark, print), the same runs give the same bytes.

Written as text, without a plotting library, whose import and layout took longer than all else of a report. Looks are classes
of the page's style sheet, for a strict Content-Security-Policy forbids style attributes. All lengths are pixels. Every picture
is drawn wide and narrow, and the page shows the one that fits.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from markupsafe import Markup, escape

Point = tuple[float, float]
"""x from the left, y from the top."""

WIDE, NARROW = 1008, 370
"""The page's column on a screen and on a phone."""

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

_PLUS = ((-1, -0.5), (-0.5, -0.5), (-0.5, -1), (0.5, -1), (0.5, -0.5), (1, -0.5), (1, 0.5), (0.5, 0.5), (0.5, 1), (-0.5, 1),
         (-0.5, 0.5), (-1, 0.5))  # fmt: skip
_OUTLINES = {
    "s": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "D": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
    ".": ((0, -1), (1, 0), (0, 1), (-1, 0)),
    "^": ((0, -1), (1, 1), (-1, 1)),
    "v": ((0, 1), (-1, -1), (1, -1)),
    "p": ((0, -1.05), (1, -0.33), (0.62, 0.85), (-0.62, 0.85), (-1, -0.33)),
    "P": _PLUS,
    "X": tuple(((x - y) * 0.8, (x + y) * 0.8) for x, y in _PLUS),
}
"""The corners of each shape around its middle, in units of its radius."""

_TEXT = 12
"""The size of letters, as in the style sheet."""


@dataclass(frozen=True)
class Axis:
    """From values, of which `low` lies at the pixel `start` and `high` at `end`, to pixels; of logarithms where `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, log: bool = False) -> "Axis":
        """The axis that shows all finite values, with a twentieth of room at both ends."""
        found = [math.log10(value) if log else value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(found), max(found)
        room = (high - low) / 20 if high - low > 1e-9 * max(abs(low), abs(high)) else abs(high) / 20 or 1.0
        return cls(low - room, high + room, start, end, log)

    def at(self, value: float) -> float:
        """The pixel of a value; not finite where the value is not."""
        value = math.log10(value) if self.log else value
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: float, *, whole: bool = False) -> list[tuple[float, str]]:
        """Pixel and number of about `most` round values; `whole`: integers only."""
        if not self.log:
            return [(self.at(value), text) for value, text in _round(self.low, self.high, most, whole=whole)]
        low, high = 10**self.low, 10**self.high
        exponents = range(math.floor(self.low), math.ceil(self.high) + 1, math.ceil((self.high - self.low) / most))
        for factors in ((1,), (1, 2, 5)):
            found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
            inside = [(self.at(value), f"{value:g}") for value in found if low <= value <= high]
            if len(inside) > 1:
                return inside
        return [(self.at(value), text) for value, text in _round(low, high, most, whole=False)]


class Plot:
    """One picture: marks and words, laid down in this order, within a width; it grows downwards."""

    def __init__(self, width: float) -> None:
        self.width, self.height = width, 0.0
        self._parts: list[str] = []

    def line(self, points: Iterable[Point], look: str, *, width: float, dashes: str = "") -> None:
        """A line through pixels, those that are not finite left out."""
        path = "L".join(f"{_short(x)} {_short(y)}" for x, y in points if math.isfinite(x) and math.isfinite(y))
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(f'<path class="{look}" stroke-width="{width:g}"{dashed} d="M{path}"/>' if path else "")

    def marks(
        self, shape: str, look: str, points: Iterable[Point], *, radius: float, edge: float = 0, hollow: bool = False
    ) -> None:
        """One shape at each pixel; around it an edge of the paper's colour, or `hollow`: the paper's colour inside."""
        outline = _outline(shape, radius)
        path = "".join(f"M{_short(x + outline[0])} {_short(y + outline[1])}{outline[2]}"
                       for x, y in points if math.isfinite(x) and math.isfinite(y))  # fmt: skip
        kind = "hollow" if hollow else "dot"
        self._parts.append(f'<path class="{kind} {look}" stroke-width="{edge:g}" d="{path}"/>' if path else "")

    def text(self, x: float, y: float, words: str, look: str = "", *, upwards: bool = False) -> None:
        """Words from x on, or as the classes `middle` and `end` say; y is where letters stand."""
        place = f'x="{_short(x)}" y="{_short(y)}"'
        if upwards:
            place = f'transform="translate({_short(x)} {_short(y)}) rotate(-90)"'
        style = f' class="{look}"' if look else ""
        self._parts.append(f"<text {place}{style}>{escape(words)}</text>")

    def across(self, axis: Axis, top: float, bottom: float, name: str, *, whole: bool = False) -> None:
        """A horizontal axis: lines from top to bottom at round values, these and the name below them."""
        for x, number in axis.ticks(abs(axis.end - axis.start) / 75, whole=whole):
            self.line([(x, top), (x, bottom)], "grid", width=0.8)
            self.text(x, bottom + 16, number, "middle")
        self.text((axis.start + axis.end) / 2, bottom + 34, name, "middle")
        self.height = bottom + 40

    def upwards(self, axis: Axis, left: float, right: float, name: str) -> None:
        """A vertical axis: lines from left to right, numbers and the name left of them."""
        for y, number in axis.ticks(abs(axis.end - axis.start) / 36):
            self.line([(left, y), (right, y)], "grid", width=0.8)
            self.text(left - 6, y + 4, number, "end")
        self.text(12, (axis.start + axis.end) / 2, name, "middle", upwards=True)

    def legend(self, names: Sequence[str], draw: Callable[["Plot", int, float, float], None], *, room: float = 20) -> None:
        """Names below all else, as many in a line as fit; before each, `draw(plot, number, x, y)` fills the `room`."""
        lines: list[list[tuple[int, float]]] = [[]]
        for at, name in enumerate(names):
            width = room + length(name) + 14
            if lines[-1] and sum(each for _, each in lines[-1]) + width > self.width:
                lines.append([])
            lines[-1].append((at, width))
        for line in lines:
            x, self.height = max(0.0, (self.width - sum(each for _, each in line)) / 2), self.height + 20
            for at, width in line:
                draw(self, at, x, self.height - 10)
                self.text(x + room, self.height - 6, names[at])
                x += width
        self.height += 6

    def svg(self, version: str, label: str) -> Markup:
        """All of it; `label` is what a screen reader says."""
        size = f'width="{_short(self.width)}" height="{_short(self.height)}"'
        box = f'viewBox="0 0 {_short(self.width)} {_short(self.height)}"'
        head = f'<svg class="{version}" role="img" aria-label="{escape(label)}" {size} {box}>'
        return Markup("\n".join([head, *filter(None, self._parts), "</svg>"]))  # noqa: S704 - words are escaped above


def picture(draw: Callable[..., Plot], *, label: str) -> Markup:
    """Both versions of a picture, `draw(narrow=...)`; `label` is what a screen reader says."""
    return draw(narrow=False).svg("wide", label) + draw(narrow=True).svg("narrow", label)


def tone_of(architecture: str, *, is_chosen: bool = False) -> str:
    """The colour of a strategy: the chosen one stands out, the others by what they look at."""
    tones = {"flat": "flat", "late": "late", "logistic": "single", "probe": "single", "unimodal": "single"}
    return "chosen" if is_chosen else tones.get(architecture, "fused")


def length(words: str, *, bold: bool = False) -> float:
    """About how long words are in the widest of the usual fonts: rather too much, for what stands out is cut off."""
    each = (
        1.0 if east_asian_width(letter) in "WF" else 0.38 if letter in "ijlrtf.,:;'|!/ " else 0.8 if letter.isupper() else 0.64
        for letter in words
    )
    return _TEXT * sum(each) * (1.1 if bold else 1)


def _round(low: float, high: float, most: float, *, whole: bool) -> list[tuple[float, str]]:
    rough = (high - low) / max(most, 1)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * (1 - 1e-9))
    step = max(step, 1) if whole else step
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [(number * step, f"{number * step:.{decimals}f}".replace("-", "\N{MINUS SIGN}")) for number in numbers]


def _outline(shape: str, radius: float) -> tuple[float, float, str]:
    """Where a path begins beside the middle, and its rest in relative steps."""
    if shape == "o":
        arc = f"a{_short(radius)} {_short(radius)} 0 1 0 "
        return -radius, 0, f"{arc}{_short(2 * radius)} 0{arc}{_short(-2 * radius)} 0z"
    if shape == "|":
        return 0, -radius, f"v{_short(2 * radius)}"
    corners = [(x * radius, y * radius) for x, y in _OUTLINES[shape]]
    steps = [(x - a, y - b) for (a, b), (x, y) in itertools.pairwise(corners)]
    return *corners[0], "".join(f"l{_short(x)} {_short(y)}" for x, y in steps) + "z"


def _short(number: float) -> str:
    """A tenth of a pixel is enough."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
