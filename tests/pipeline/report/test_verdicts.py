"""Six studies whose verdicts are kept as text: from each alone one can say what to use, by how much, over what, how sure.

After a wanted change: `python -m tests.pipeline.report.test_verdicts` writes them anew, to be read before they are committed.
"""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.record import record
from fusecat.pipeline.report.terminal import answer, shortened
from fusecat.stages.fusion.fit_settings import NAMED
from fusecat.stages.fusion.runs import Runs
from tests.pipeline.report.studies import make_study

GOLDEN = Path(__file__).parent / "golden"
TITLE, BOTH, IMAGE = "camembert.title", "camembert.title_description", "se_resnext50.image"
SINGLE = tuple(f"{kind}/{name}" for kind in ("unimodal", "probe") for name in (TITLE, BOTH, IMAGE))
FUSED = ("baseline/average", "flat/average", "hierarchical/average/average", "late/mean")
VECTORS = {name: {"imported": f"{name}.npy", "fitted_on": None} for name in ("words", "pixels")}


def skewed(most: int, *, products: int = 450, classes: int = 6) -> list[int]:
    """Labels of which the first class has `most` times as many as the last, in a fixed order."""
    shares = np.geomspace(most, 1, classes)
    return np.random.default_rng(3).choice(classes, products, p=shares / shares.sum()).tolist()


STUDIES = {
    "a clear winner": {
        "strategies": (*FUSED, *SINGLE),
        "skill": {"baseline/average": 4.6},
        "products": {"train": 240, "validation": 150, "test": 300},
    },
    "a tie": {"strategies": (*FUSED, *SINGLE), "skill": dict.fromkeys(FUSED, 2.9)},
    "text only": {"strategies": ("text/average", "text/concatenation", *(name for name in SINGLE if "image" not in name))},
    "skewed classes": {"strategies": (*FUSED, *SINGLE), "labels": skewed(30)},
    "imported vectors": {
        "strategies": ("baseline/average", "baseline/gated", "probe/words", "probe/pixels"),
        "features": ("words", "pixels"),
        "skill": {"probe/words": 2.4, "probe/pixels": 1.2},
        "info": {"features": VECTORS, "preset": ""},
    },
    "one class dominates, one seed": {"strategies": ("baseline/average", *SINGLE[3:]), "labels": skewed(400), "seeds": 1},
}


def said(root: Path, name: str) -> tuple[str, dict]:
    """The verdict of a study as the terminal prints it, a sentence a line, and its report."""
    comparison = compare(make_study(root, **STUDIES[name]), resamples=200)
    report = record(comparison)
    return "\n".join(answer(comparison, report)) + "\n", report


def golden(name: str) -> Path:
    return GOLDEN / f"verdict - {name}.txt"


@pytest.mark.parametrize("name", STUDIES)
def test_a_verdict_is_the_golden_one_and_says_all_that_one_asks(tmp_path, name):
    text, report = said(tmp_path, name)
    assert text == golden(name).read_text(encoding="utf-8")
    assert text.startswith(f"Use {report['chosen']} (")  # what
    size = f"{abs(100 * report['headline']['difference']):.1f}"
    sentence = next(line for line in text.splitlines() if report["headline"]["reference"] in line and size in line)
    assert re.search(r"points? \(\d+(\.\d+)? % interval", sentence)  # by how much, over what
    assert "a true difference of" in text and "resampled validation sets" in text  # how sure


@pytest.mark.parametrize("name", STUDIES)
def test_no_interval_contradicts_the_word_beside_it(tmp_path, name):
    _, report = said(tmp_path, name)
    one_seed = {row["strategy"] for row in report["rows"] if len(row["seeds"]) == 1 and row["seeds"] != [0]}
    for each in report["contrasts"]:
        outside = not each["level_low"] <= 0 <= each["level_high"]
        assert each["real"] == (outside and not one_seed & {each["one"], each["other"]})
        assert each["level_low"] <= each["low"] <= each["high"] <= each["level_high"]


def test_what_the_image_adds_is_a_planned_difference_where_the_texts_were_fitted_alone(tmp_path):
    strategies = ("baseline/average", "text/average", *SINGLE)
    comparison = compare(make_study(tmp_path, strategies=strategies, skill={"baseline/average": 4.6}), resamples=50)
    (said,) = [sentence for sentence in comparison.verdict.split(". ") if sentence.startswith("The image adds")]
    pair = {"baseline/average", "text/average"}
    contrast = next(each for each in comparison.contrasts if {each.one, each.other} == pair)
    assert f"{100 * abs(contrast.difference.value):.1f} points to the same texts, text/average" in said
    assert "Fields left out" not in comparison.verdict


@pytest.mark.parametrize(("name", "doubted"), [("thesis", True), ("default", False)])
def test_heads_that_were_hardly_trained_are_doubted(tmp_path, name, doubted):
    """Seven epochs of the thesis on 240 products are 14 steps."""
    runs = Runs(make_study(tmp_path, strategies=("flat/average", "probe/camembert.title")) / "runs")
    for run in list(runs):
        runs.write(replace(run, settings=NAMED[name].record()))
    assert ("Heads took 14 steps only" in compare(tmp_path, resamples=20).verdict) == doubted


def test_long_names_lose_their_middle_and_stay_apart():
    names = ["unimodal/reference.tfidf.title_description", "late/mean", "unimodal/reference.tfidf_2.title_description"]
    assert shortened(names[:2], 20) == ["unimodal/r…scription", "late/mean"]
    assert shortened(names, 20) == names, "two that would look alike stay whole"
    assert all(len(name) <= 40 for name in shortened(names, 40)) and len(set(shortened(names, 40))) == 3


if __name__ == "__main__":
    for study in STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            golden(study).write_text(said(Path(folder), study)[0], encoding="utf-8")
