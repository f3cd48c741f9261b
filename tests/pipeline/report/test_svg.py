"""Pictures are harmless, hold all that they are given, and say the same whatever the numbers are."""

import math
import re
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest

from fusecat.pipeline.report.calibration import Reliability
from fusecat.pipeline.report.contrasts import Pairs
from fusecat.pipeline.report.figures import Dot, curves, dots, dumbbells, matrix, pareto, reliability
from fusecat.pipeline.report.svg import _OUTLINES, MARKERS, NARROW, WIDE, Axis, Plot, length, picture

HOSTILE = "$a_b$ <script>été</script> \"&' 商品"
CURVE = Reliability(0.1, (0.2, 0.6, 0.9), (0.3, 0.5, 1.0), (50, 3, 900))
STRATEGIES = (HOSTILE, *(f"flat/{at}" for at in range(34)))
BESIDE = np.subtract.outer(np.arange(35.0), np.arange(35.0))
PICTURES = {
    "dots": partial(
        dots,
        [
            Dot("hierarchical/concatenation/concatenation", 61.2, 60, 63, "chosen", "o", [61, 61.4], bold=True),
            Dot(HOSTILE, 58, 52, 64, "late", "^", hollow=True),
            Dot("nothing known", math.nan, None, None, "single", "|"),
        ],
        axis="score",
        zero=True,
        shapes=list(MARKERS),
    ),
    "dumbbells": partial(dumbbells, ["10  Livres", HOSTILE], {"chosen": [40, 90], "text alone": [30, math.nan]}, axis="F1"),
    "matrix": partial(matrix, Pairs(STRATEGIES, BESIDE, np.abs(BESIDE) / 100, ("a",) * 35), 1),
    "reliability": partial(reliability, {"chosen": CURVE, "image alone": CURVE}),
    "pareto": partial(
        pareto,
        [("a", "flat", 0.01, 60.0), (HOSTILE, "late", 2.0, 70.0), ("c", "own", 300.0, 65.0)],
        chosen="a",
        best=["a", HOSTILE],
        axis="score",
    ),
    "free": partial(pareto, [("a", "flat", 0.0, 60.0)], chosen="a", best=["a"], axis="score"),
    "curves": partial(curves, {HOSTILE: [(1, 0.2), (2, 0.4)], "b": [(1, math.nan)]}, axis="loss"),
}


def drawn(name: str, version: str) -> ElementTree.Element:
    return ElementTree.fromstring(PICTURES[name](narrow=version == "narrow").svg(version, HOSTILE))


@pytest.mark.parametrize("version", ["wide", "narrow"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_keeps_to_its_width_and_its_classes(name: str, version: str) -> None:
    svg = drawn(name, version)
    assert svg.get("aria-label") == HOSTILE
    width, height = float(svg.get("width", 0)), float(svg.get("height", 0))
    assert 0 < width <= (NARROW if version == "narrow" else WIDE) and 100 < height < 1500
    for element in svg.iter():
        assert element.tag in ("svg", "path", "text") and not {"style", "id", "href"} & set(element.attrib)
        if element.tag == "path":
            path = element.get("d", "")
            assert re.fullmatch(r"[-MLlavz0-9. ]+", path), path
            for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path):
                assert -1 <= float(x) <= width + 1 and -1 <= float(y) <= height + 1, path
        elif element.tag == "text" and element.get("x"):
            words, look = element.text or "", (element.get("class") or "").split()
            size = length(words, bold="strong" in look) * (0.62 if "tiny" in look else 0.83 if "small" in look else 1)
            start = float(element.get("x", 0)) - size * (1 if "end" in look else 0.5 if "middle" in look else 0)
            assert start >= -1 or "middle" in look, words
            assert -1 <= float(element.get("y", 0)) <= height, words


@pytest.mark.parametrize("name", sorted(set(PICTURES) - {"matrix", "free", "reliability", "pareto"}))
def test_text_stays_text(name: str) -> None:
    texts = [element.text for element in drawn(name, "wide").iter("text")]
    assert HOSTILE in texts and all("<" not in text or text == HOSTILE for text in texts if text)


def test_both_versions_follow_each_other_and_are_the_same_every_time() -> None:
    def draw(narrow: bool) -> Plot:
        return PICTURES["dots"](narrow=narrow)

    text = picture(draw, label="dots")
    assert text == picture(draw, label="dots")
    assert re.findall(r'<svg class="(\w+)"', text) == ["wide", "narrow"]


def test_what_is_larger_lies_further() -> None:
    rows = [Dot(str(value), value, value - 1, value + 1, "fused", "s") for value in (-5.0, 3.0, 20.0)]
    marks = [element for element in dots_of(rows) if element.get("class") == "dot fused"]
    places = [tuple(map(float, re.findall(r"M(-?[\d.]+) (-?[\d.]+)", element.get("d", ""))[0])) for element in marks]
    assert len(places) == 3 and places == sorted(places)
    (x1, y1), (x2, y2), (x3, y3) = places
    assert (x3 - x1) / (x2 - x1) == pytest.approx(25 / 8, rel=1e-2) and y3 - y2 == y2 - y1


def dots_of(rows: list[Dot]) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(dots(rows, axis="score", narrow=False).svg("wide", "dots")).iter("path"))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [(0.031, 0.9), (1, 1), (3, 4), (2e-7, 1e9), (1e6, 1e6 + 1), (5e-4, 6e-4)])
def test_ticks_are_few_round_and_where_their_number_is(values: tuple[float, float], log: bool) -> None:
    axis = Axis.over(values, 100, 900, log=log)
    assert 100 < axis.at(min(values)) <= axis.at(max(values)) < 900
    ticks = axis.ticks(8)
    assert 2 <= len(ticks) <= 12 and len({text for _, text in ticks}) == len(ticks)
    for at, text in ticks:
        assert 99 <= at <= 901 and axis.at(float(text)) == pytest.approx(at, abs=0.5)


def test_numbers_below_zero_and_whole_ones_are_written_as_such() -> None:
    texts = [text for _, text in Axis.over([-1.5, 1.5], 0, 500).ticks(5)]
    assert texts == ["\N{MINUS SIGN}1", "0", "1"]
    assert all(text.isdecimal() for _, text in Axis.over([1, 2], 0, 900).ticks(9, whole=True))


def test_an_axis_of_nothing_is_an_axis() -> None:
    assert Axis.over([], 0, 100).ticks(4) and Axis.over([math.nan, math.inf], 0, 100).ticks(4)


@pytest.mark.parametrize("shape", [*_OUTLINES, "o", "|"])
def test_every_shape_is_around_its_middle(shape: str) -> None:
    plot = Plot(100)
    plot.marks(shape, "fused", [(50, 50), (math.nan, 3)], radius=4)
    path = re.search(r' d="M(-?[\d.]+) (-?[\d.]+)', str(plot.svg("wide", "")))
    assert path and 3 < math.dist((50, 50), (float(path[1]), float(path[2]))) < 6


def test_wide_letters_take_more_room() -> None:
    assert length("il") < length("ab") < length("AB") < length("商品") and length("ab") < length("ab", bold=True)
