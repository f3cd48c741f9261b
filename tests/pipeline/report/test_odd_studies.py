"""Studies that nobody plans and everybody has once: the report says what it can and never fails."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.output import write_report
from fusecat.stages.fusion.runs import Runs
from tests.pipeline.report.studies import make_study

TWO = ("flat/average", "probe/camembert.title")
CODES = [
    "</script><script>alert(1)</script>",
    "=cmd()",
    "\u202eRTL\u202c",
    "\x1b[31mred\x9b31m",
    "W" * 400,
    "a|b`c`",
    "電子機器",
    "العربية",
]


def reported(root):
    """report.json of a study and all its other files, read again."""
    page, _ = write_report(compare(root, resamples=20))
    files = {path.name: path.read_text() for path in page.parent.iterdir()}
    shown = re.sub(r"<script>.*?</script>", "", files["index.html"], flags=re.DOTALL)
    assert not re.search(r">\s*[+-]?(nan|inf|None)\s*<", shown)
    return json.loads(files["report.json"], parse_constant=pytest.fail), files


def change(root, strategies=TWO, **others):
    """Write a small study with every run changed as `others` says: name of a field -> function of run and products."""
    make_study(root, strategies=strategies)
    runs = Runs(root / "runs")
    products = runs.products()
    for run in list(runs):
        runs.write(replace(run, **{name: of(run, products) for name, of in others.items()}))
    return root


def answers(shift):
    """Probabilities that are sure, and right where `shift` is 0."""

    def made(run, products):
        labels = {part: products.labels[products.rows(part)] for part in ("validation", "test")}
        return {part: np.eye(6, dtype=np.float32)[(of + shift) % 6] for part, of in labels.items()}

    return made


@pytest.mark.parametrize("strategies", [("flat/average",), ("probe/camembert.title",), ("late/mean",)])
def test_one_strategy_is_chosen_and_compared_with_nothing(tmp_path, strategies):
    report, _ = reported(make_study(tmp_path, strategies=strategies))
    assert report["chosen"] == strategies[0]
    assert (report["headline"], report["contrasts"]) == (None, [])


def test_two_classes_and_one_seed_are_enough(tmp_path):
    report, _ = reported(make_study(tmp_path, strategies=TWO, classes=2, seeds=1))
    assert report["classes"] == 2
    assert "Heads with one seed only" in report["verdict"]


def test_a_class_without_a_test_product_has_no_line_and_no_part_in_the_mean(tmp_path):
    report, _ = reported(make_study(tmp_path, strategies=TWO, labels=[at % 6 if at < 330 else at % 5 for at in range(450)]))
    assert [line["code"] for line in report["by_class"]] == ["10", "20", "30", "40", "50"]
    row = report["rows"][0]
    assert row["test"]["macro_f1"]["mean"] == pytest.approx(np.mean([line["chosen"] for line in report["by_class"]]))


def test_equal_strategies_do_not_differ(tmp_path):
    report, _ = reported(change(tmp_path, probabilities=answers(1)))
    assert [contrast["p"] for contrast in report["contrasts"]] == [1.0] * len(report["contrasts"])
    assert len({row["group"] for row in report["rows"]}) == 1


@pytest.mark.parametrize(("shift", "word"), [(0, "right"), (1, "wrong")])
def test_an_interval_without_width_is_not_taken_for_certainty(tmp_path, shift, word):
    report, _ = reported(change(tmp_path, probabilities=answers(shift)))
    assert f"It has every test product {word}, so its interval says nothing" in report["verdict"]


def test_classes_of_one_product_are_counted_in_the_verdict(tmp_path):
    labels = [at % 5 for at in range(449)] + [5]
    report, _ = reported(make_study(tmp_path, strategies=TWO, labels=labels))
    assert "1 of 6 type codes have one test product: no interval counts its luck." in report["verdict"]


def test_probabilities_that_are_no_numbers_fail_their_run_only(tmp_path):
    make_study(tmp_path, strategies=TWO)
    runs = Runs(tmp_path / "runs")
    for seed in (1, 2):
        torn = runs.read("flat/average", seed)
        probabilities = dict(torn.probabilities)
        probabilities["test"][3] = np.nan
        runs.write(replace(torn, probabilities=probabilities))
    shutil.rmtree(tmp_path / "runs" / "probe" / "camembert.title" / "seed-3")
    report, _ = reported(tmp_path)
    assert [name.partition(":")[0] for name in report["failed"]] == ["flat/average, seed 1", "flat/average, seed 2"]
    assert {row["strategy"]: row["seeds"] for row in report["rows"]} == {"flat/average": [3], "probe/camembert.title": [1, 2]}
    write_report(compare(tmp_path, resamples=20), shareable=True)
    shared = (tmp_path / "report-shareable" / "report.json").read_text()
    assert "flat/average, seed 2" in shared and str(tmp_path) not in shared


def test_hostile_type_codes_and_long_names_stay_what_they_are(tmp_path):
    long = f"flat/my.module:{'Y' * 200}"
    info = {"class_names": {code: code for code in CODES}, "top_level": {code: code for code in CODES}}
    report, files = reported(make_study(tmp_path, strategies=(*TWO, long), codes=CODES, classes=len(CODES), info=info))
    assert {line["code"] for line in report["by_class"]} == set(CODES)
    assert long in {row["strategy"] for row in report["rows"]}
    for name, text in files.items():
        assert not set("\x1b\x9b\u202e\u202c") & set(text), name
    assert "<script>alert" not in files["index.html"] + files["report.md"]


def test_many_strategies_need_no_picture_of_all_pairs(tmp_path):
    report, files = reported(make_study(tmp_path, strategies=[f"flat/m{at}" for at in range(61)], seeds=1, classes=3))
    assert len(report["rows"]) == 61
    assert "Every pair" not in files["index.html"]
