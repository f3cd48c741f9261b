"""Thresholds and sets are chosen on validation and keep on test what they promise, as far as chance allows."""

import numpy as np
import pytest

from fusecat.pipeline.report.certainty import answered, certainty, conformal_threshold, share_of
from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.record import record
from fusecat.pipeline.report.terminal import confused, trusted
from fusecat.stages.scores import Outcome
from tests.pipeline.report.studies import make_study
from tests.pipeline.report.test_comparison import FEW
from tests.stages.test_calibration import drawn


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return compare(make_study(tmp_path_factory.mktemp("study"), strategies=FEW), resamples=20)


def outcome(seed: int, products: int = 400) -> Outcome:
    return Outcome.of(*drawn(products, 1.0, seed=seed))


def test_the_largest_share_is_answered_that_is_right_often_enough():
    said = outcome(0)
    found = answered(said, outcome(1), 0.9)
    taken = said.confidence >= found.threshold
    assert said.right[taken].mean() >= 0.9 and taken.mean() == pytest.approx(found.hoped)
    more = said.confidence >= np.sort(said.confidence[~taken])[-1]
    assert said.right[more].mean() < 0.9 or found.hoped == 1
    assert 0 < found.answered < 1 and found.right.low < found.right.value < found.right.high
    never = Outcome.of(*drawn(50, 1.0, seed=2))
    wrong = Outcome(never.labels, (never.labels + 1).astype(np.int32), never.rank, never.truth, never.confidence)
    assert (answered(wrong, said, 0.9).threshold, answered(wrong, said, 0.9).right) == (None, None)


def test_conformal_sets_hold_the_truth_as_often_as_they_promise():
    """Marginal over calibration sets: 200 pairs of 100 and 200 products at 90 %."""
    covered = []
    for seed in range(200):
        limit = conformal_threshold(outcome(2 * seed, 100).truth, 0.9)
        covered.append((outcome(2 * seed + 1, 200).truth >= limit).mean())
    assert 0.89 <= np.mean(covered) <= 0.925
    assert conformal_threshold(np.full(8, 0.9), 0.9) == 0.0, "too few products to promise anything: every code"


def test_an_exact_interval_is_that_of_the_binomial():
    from scipy.stats import binomtest

    for hits, of in ((0, 5), (5, 5), (17, 40)):
        found = share_of(np.arange(of) < hits)
        expected = binomtest(hits, of).proportion_ci(method="exact")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_what_is_shipped_is_measured_on_test_and_written_down(comparison):
    found, report = certainty(comparison), record(comparison)
    assert report["certainty"]["temperature"] == found.temperature > 0
    assert found.products == len(comparison.study.labels("test"))
    assert [each.target for each in found.selective] == [0.9, 0.95, 0.99]
    assert found.sets.covered.of == found.products and 0 <= found.floor < found.floor_high
    assert 0 <= found.low <= found.debiased <= found.high and report["certainty"]["high"] == found.high
    (line,) = trusted(report)
    assert f"{100 * found.selective[1].answered:.0f} % of test" in line


def test_the_commonest_mistakes_are_counted_and_named(comparison):
    report = record(comparison)
    pairs = report["mistakes"]
    assert [pair["products"] for pair in pairs] == sorted((pair["products"] for pair in pairs), reverse=True)
    assert all(pair["truth"] != pair["mistaken"] and pair["of"] == 20 for pair in pairs)
    several = [pair for pair in pairs if pair["products"] > 1]
    assert len(several) in (0, len(pairs)), "what happens once is no pattern"
    told = confused(report)
    assert bool(told) == bool(several) and all(f"class {several[0]['truth']} for" in line for line in told)


def test_without_test_nothing_is_promised(tmp_path):
    found = compare(make_study(tmp_path, strategies=FEW, products={"train": 60, "validation": 90}), resamples=20)
    assert certainty(found) is None and record(found)["certainty"] is None
