from dataclasses import replace

import numpy as np
import pytest

from fusecat.pipeline.report.calibration import reliability
from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.confusions import confusions
from fusecat.pipeline.report.equivalence import equivalent, form
from fusecat.pipeline.report.insights import insights
from fusecat.pipeline.report.published import CODES, THESIS_80_20, THESIS_90_10, is_rakuten, published
from fusecat.pipeline.report.results import Candidate, Study
from fusecat.pipeline.report.slices import category_lines, path_f1
from fusecat.stages.fusion.runs import Products
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.scores import Outcome
from fusecat.stages.study_record import StudyRecord
from fusecat.stages.workspace import Workspace
from tests.pipeline.report.studies import THESIS, make_study
from tests.pipeline.report.test_comparison import FEW


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return compare(make_study(tmp_path_factory.mktemp("study"), strategies=THESIS), resamples=20)


def outcome(predicted, confidence=1.0):
    predicted = np.asarray(predicted, np.int32)
    same = np.full(len(predicted), confidence, np.float32)
    return Outcome(predicted, predicted, np.zeros(len(predicted), int), same, same)


def test_calibration_error_by_hand():
    labels = np.array([0, 0, 0, 0])
    curve = reliability([outcome([0, 0, 0, 1], 0.9)], labels)
    assert curve.error == pytest.approx(0.15)
    assert (curve.accuracy, curve.products) == ((0.75,), (4,))


def test_perfect_and_honest_probabilities_have_no_calibration_error():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 100_000).astype(np.float32)
    right = random.random(100_000) < confidence
    predicted = np.where(right, 0, 1).astype(np.int32)
    assert reliability([replace(outcome(predicted), confidence=confidence)], np.zeros(100_000, int)).error < 0.01


def test_confusions_count_what_is_repaired_and_broken(comparison):
    def candidate(predicted):
        return Candidate(comparison.rows[0].candidate.runs[:1], {"test": (outcome(predicted),)})

    labels = np.array([0, 0, 1, 1, 2])
    found = confusions(candidate([0, 0, 1, 2, 2]), candidate([1, 1, 1, 1, 2]), "test", labels, ("a", "b", "c"))
    assert [(pair.truth, pair.mistaken, pair.products) for pair in found.repairs] == [("a", "b", 2)]
    assert [(pair.truth, pair.mistaken, pair.products) for pair in found.breaks] == [("b", "c", 1)]
    assert (found.repaired, found.broken) == (2, 1)


def test_linear_strategies_that_are_one_function_are_named_together(comparison):
    groups = [set(group.strategies) for group in equivalent([row.candidate for row in comparison.rows])]
    free = {"baseline/concatenation", "flat/concatenation"}  # in this study every strategy takes the same features
    free |= {f"hierarchical/concatenation/{m}" for m in ("concatenation", "addition", "average")}
    assert free in groups
    shared = {f"{kind}/{merge}" for kind in ("baseline", "flat") for merge in ("addition", "average")}
    shared |= {f"hierarchical/{a}/{b}" for a in ("addition", "average") for b in ("addition", "average")}
    assert shared in groups


@pytest.mark.parametrize("first", ["concatenation", "addition", "average"])
@pytest.mark.parametrize("final", ["concatenation", "addition", "average"])
def test_kinship_is_what_the_algebra_says(first, final):
    """Rank of the set of weight matrices that a head can express, found by drawing random heads."""
    width, classes, random = 4, 3, np.random.default_rng(0)

    def draw(hierarchical):
        parts = []
        last = [random.normal(size=(classes, width)) for _ in range(3)]
        last = last if final == "concatenation" else [last[0]] * 3
        for network in range(2):
            inner = [random.normal(size=(width, width)) for _ in range(2)]
            inner = inner if hierarchical and first == "concatenation" else [np.eye(width)] * 2
            parts += [last[network] @ inner[0], last[network] @ inner[1]]
        return np.concatenate([part.ravel() for part in [*parts, last[2] @ random.normal(size=(width, width))]])

    freedom = np.linalg.matrix_rank(np.stack([draw(True) for _ in range(200)]))
    texts = {
        "a free matrix per feature": 4,
        "the texts of one network share a matrix": 2,
        "all texts share one matrix": 1,
    }
    said = form("hierarchical", first, final)
    assert freedom == (texts[said] + 1) * classes * width


def test_unknown_merges_have_no_kin():
    assert form("flat", None, "gated") is None
    assert form("hierarchical", "gated", "average") is None
    assert form("late", None, "mean") is None


def test_controls_are_means_over_seeds_of_the_judged_part(comparison):
    row = comparison.row("flat/average")
    expected = np.mean([run.controls["without image"]["test"]["macro_f1"] for run in row.candidate.runs])
    assert insights(comparison).controls["flat/average"]["without image"]["macro_f1"] == pytest.approx(expected)


def test_categories_sum_products_and_average_f1(tmp_path):
    top = {"10": "A", "20": "A", "30": "B", "40": "B", "50": "B", "60": "B"}
    seen = insights(compare(make_study(tmp_path, strategies=FEW, info={"top_level": top}), resamples=20))
    by_name = {line.name: line for line in category_lines(seen.classes)}
    assert set(by_name) == {"A", "B"}
    assert by_name["A"].products == sum(line.products for line in seen.classes if line.category == "A")
    assert by_name["A"].f1[0] == pytest.approx(np.mean([line.f1[0] for line in seen.classes if line.category == "A"]))


def study_of(codes, count, protocol="80-20"):
    labels = (np.arange(count) % len(codes)).astype(np.int32)
    split = (np.arange(count) % 3).astype(np.uint8)
    products = Products(np.arange(count).astype(str), labels, split, tuple(codes), ("train", "validation", "test"), "x")
    return Study(Workspace("nowhere"), StudyRecord(split={"protocol": protocol}), products, (), MACRO_F1)


def test_published_figures_stand_beside_rakuten_only():
    codes = sorted(CODES)
    assert published(study_of(codes, 55_025)) is THESIS_80_20
    assert published(study_of(codes, 84_916, "90-10")) is THESIS_90_10
    assert not is_rakuten(study_of(codes, 1_317))
    assert published(study_of([*codes[:-1], "9999"], 55_025)) == {}
    assert len(CODES) == 27


def test_hierarchical_f1_counts_the_levels_that_are_right(tmp_path):
    codes = ("A > B > C", "A > B > D", "A > E", "F > G")
    info = {"top_level": {code: code[0] for code in codes}}
    place = make_study(tmp_path, strategies=("probe/words.title",), codes=codes, classes=4, seeds=1, info=info)
    found = compare(place, resamples=5)
    labels, row = found.study.labels("test"), found.rows[0]
    predicted = row.candidate.outcomes["test"][0].predicted
    paths = [{tuple(code.split(" > ")[: level + 1]) for level in range(code.count(">") + 1)} for code in codes]
    shared = sum(len(paths[one] & paths[other]) for one, other in zip(predicted, labels, strict=True))
    total = sum(len(paths[one]) + len(paths[other]) for one, other in zip(predicted, labels, strict=True))
    assert 0 < shared < total / 2
    assert path_f1(found, [row]) == (pytest.approx(2 * shared / total),)
    assert insights(found).paths[0] == path_f1(found, [found.chosen])[0]
    assert (
        path_f1(compare(make_study(tmp_path / "plain", strategies=("probe/words.title",), seeds=1), resamples=5), [row]) == ()
    )
