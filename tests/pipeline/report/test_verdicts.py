"""Studies whose verdicts are kept as text: from each alone one can say what to use, by how much, over what, how sure.

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
from fusecat.pipeline.report.slices import compared_rows, side_of
from fusecat.pipeline.report.terminal import answer, shortened
from fusecat.stages.fusion.fit_settings import NAMED
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.metrics import LOG_LOSS, METRICS
from tests.pipeline.report.studies import make_study

GOLDEN = Path(__file__).parent / "golden"
TITLE, BOTH, IMAGE = "camembert.title", "camembert.title_description", "se_resnext50.image"
TFIDF = "reference.tfidf.title"
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
    "a single feature is best": {"strategies": (*FUSED, *SINGLE), "skill": {f"unimodal/{BOTH}": 4.6}},
    "a reference is best": {
        "strategies": (*FUSED, "logistic/baseline", *SINGLE, f"unimodal/{TFIDF}", f"probe/{TFIDF}"),
        "skill": {f"unimodal/{TFIDF}": 4.2, f"probe/{TFIDF}": 3.4},
    },
    "late fusion is best": {"strategies": (*FUSED, "logistic/baseline", *SINGLE), "skill": {"late/mean": 4.4}},
    "a logistic regression is best, by log loss": {
        "strategies": (*FUSED, "logistic/baseline", *SINGLE, f"unimodal/{TFIDF}"),
        "skill": {"logistic/baseline": 4.4, f"unimodal/{TFIDF}": 2.0},
        "info": {"metric": "log-loss"},
    },
    "everything is right on validation": {
        "strategies": (*FUSED, *SINGLE),
        "skill": dict.fromkeys((*FUSED, f"probe/{BOTH}", f"unimodal/{TITLE}"), 30.0),
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
    size = METRICS[report["metric"]].figure(abs(report["headline"]["difference"]))
    said_of = report["headline"]["chosen" if report["headline"]["reference"] == report["chosen"] else "reference"]
    sentence = next(line for line in text.splitlines() if said_of in line and size in line)
    assert re.search(r"\d( points?)? \(97.5 % interval", sentence)  # by how much, over what
    assert re.search("a true difference of|interval says nothing", text)  # how fine
    assert re.search("resampled validation sets|ties on validation", text)  # how sure


@pytest.mark.parametrize("name", STUDIES)
def test_no_interval_contradicts_the_word_beside_it(tmp_path, name):
    _, report = said(tmp_path, name)
    one_seed = {row["strategy"] for row in report["rows"] if len(row["seeds"]) == 1 and row["seeds"] != [0]}
    for each in report["contrasts"]:
        outside = not each["level_low"] <= 0 <= each["level_high"]
        assert each["real"] == (outside and not one_seed & {each["one"], each["other"]})
        assert each["level_low"] <= each["low"] <= each["high"] <= each["level_high"]


@pytest.mark.parametrize("name", STUDIES)
def test_every_section_of_the_page_speaks_of_what_was_chosen(tmp_path, name):
    comparison = compare(make_study(tmp_path, **STUDIES[name]), resamples=50)
    page = comparison.to_html()
    text = re.sub(r"<[^>]+>", "", re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.DOTALL))
    chosen, single = comparison.chosen.candidate, comparison.chosen.candidate.single
    assert ("What fusion would repair and what it would break" in text) == single
    assert ("What fusion repairs and what it breaks" in text) == (not single)
    assert single or "the chosen feature says" not in text
    sides = set(compared_rows(comparison))
    assert ("best fusion" in sides) == single and not (single and side_of(chosen) in sides), "its own kind is the chosen one"
    assert ("The chosen strategy merges no vectors" in text) == (not chosen.fused)
    assert ("the best fusion on validation against the chosen strategy" in text) == single
    assert ("averaged seeds to the temperature" in text) == (len(chosen.seeds) > 1)
    assert ("Differences are shown so that + is better" in text) == (comparison.metric is LOG_LOSS)
    shown = re.findall(r'<td class="number" data-value="(-?[\d.e-]+)">([+-][\d.]+)</td>', page)
    assert len(shown) > len(comparison.contrasts)
    assert all(float(value) * float(figure) >= 0 for value, figure in shown), "columns sort by what they show"


@pytest.mark.parametrize("name", STUDIES)
def test_whatever_the_metric_a_difference_above_0_is_better(tmp_path, name):
    comparison = compare(make_study(tmp_path, **STUDIES[name]), metric=LOG_LOSS, resamples=50)
    assert comparison.verdict.count(LOG_LOSS.convention) == 1
    first = comparison.row(comparison.headline.one).parts["test"]["log_loss"].mean
    better = comparison.headline.difference.value < 0
    assert better == (first < comparison.row(comparison.headline.other).parts["test"]["log_loss"].mean)
    span = re.search(r"97.5 % interval ([+-][\d.]+) to ([+-][\d.]+)", comparison.verdict)
    low, high = map(float, span.groups())
    assert low <= high and (low + high > 0) == better
    assert len(re.findall(r"\(97.5 %", comparison.verdict)) == 1, "the headline alone has half of the error"
    table = dict(zip([row.strategy for row in comparison.rows], str(comparison).splitlines()[1:], strict=False))
    for line in comparison.table:
        if line["difference"]:
            shown = re.search(r" ([+-]\d\.\d{3})", table[line["strategy"]])
            assert float(shown[1]) == pytest.approx(-line["difference"], abs=6e-4)


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


def test_strategies_of_an_earlier_fuse_are_named_with_their_features(tmp_path):
    runs = Runs(make_study(tmp_path, strategies=("baseline/average", "baseline/concatenation", *SINGLE)) / "runs")
    assert "another call of fuse" not in compare(tmp_path, resamples=20).verdict
    for run in list(runs):
        if run.strategy == "baseline/concatenation":
            runs.write(replace(run, features=run.features[:2]))
    said = compare(tmp_path, resamples=20).verdict
    assert "baseline/concatenation looks at 2" in said and "baseline/average looks at 4" in said


def test_long_names_lose_their_middle_and_stay_apart():
    names = ["unimodal/reference.tfidf.title_description", "late/mean", "unimodal/reference.tfidf_2.title_description"]
    assert shortened(names[:2], 20) == ["unimodal/r…scription", "late/mean"]
    assert shortened(names, 20) == names, "two that would look alike stay whole"
    assert all(len(name) <= 40 for name in shortened(names, 40)) and len(set(shortened(names, 40))) == 3


if __name__ == "__main__":
    for study in STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            golden(study).write_text(said(Path(folder), study)[0], encoding="utf-8")
