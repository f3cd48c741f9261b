import numpy as np
import pytest
from scipy.stats import binomtest, chi2, norm, t

from fusecat.pipeline.report.statistics import (
    Estimates,
    bootstrap,
    holm,
    letters,
    mcnemar,
    resampling_weights,
    score,
    vote,
)
from fusecat.stages.scores import Outcome


def outcomes(labels: np.ndarray, predicted: np.ndarray, truth: np.ndarray | None = None) -> list[Outcome]:
    truth = np.ones(predicted.shape, np.float32) if truth is None else truth
    return [Outcome(labels, each, np.zeros(len(labels), int), sure, sure) for each, sure in zip(predicted, truth, strict=True)]


def models(n: int = 300, classes: int = 5, count: int = 3, accuracy: float = 0.7, seed: int = 0) -> list[Outcome]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    predicted = np.where(random.random((count, n)) < accuracy, labels, random.integers(0, classes, (count, n)))
    return outcomes(labels, predicted, random.random((count, n)).astype(np.float32))


def test_resampling_keeps_the_size_of_every_class_and_repeats_itself():
    labels = np.array([0] * 7 + [1] * 2 + [2])
    random_order = np.random.default_rng(0).permutation(10)
    labels = labels[random_order]
    first = np.concatenate(list(resampling_weights(labels, 50)))
    again = np.concatenate(list(resampling_weights(labels, 50)))
    assert (first == again).all() and first.shape == (50, 10)
    for label in range(3):
        assert first[:, labels == label].sum(axis=1) == pytest.approx(np.full(50, (labels == label).sum()))
    assert (first[:, labels == 2] == 1).all()


def test_the_bootstrapped_error_of_accuracy_is_the_textbook_one_even_in_small_classes():
    labels = np.repeat(np.arange(50), 4)
    random = np.random.default_rng(3)
    right = random.random(200) < 0.6
    given = outcomes(labels, np.where(right, labels, labels + 1)[None])
    expected = np.sqrt(sum(np.var(right[labels == c], ddof=1) * 4 for c in range(50))) / 200
    assert bootstrap(given, 4000)["accuracy"][0].std() == pytest.approx(expected, rel=0.06)


def test_identical_strategies_do_not_differ_and_a_pure_seed_spread_gives_students_interval():
    flat = np.zeros((5, 100))
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    estimates = Estimates.of([values, values], [flat + values[:, None], flat + values[:, None]])
    low, high = estimates.interval(0)
    half = t.ppf(0.975, 4) * values.std(ddof=1) / np.sqrt(5)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half))
    assert estimates.difference(0, 1).p == pytest.approx(1)


def test_differences_are_paired_by_product():
    given = models(count=1)
    draws, value = bootstrap(given, 200)["macro_f1"], score(given)["macro_f1"]
    estimates = Estimates.of([value, value + 0.01], [draws, draws + 0.01])
    difference = estimates.difference(1, 0)
    assert difference.value == pytest.approx(0.01)
    assert difference.error == pytest.approx(0, abs=1e-6)
    assert difference.p == 0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_mcnemar_by_hand():
    one, other = np.array([1, 1, 1, 1, 1, 0, 0], bool), np.array([0, 0, 0, 0, 0, 1, 0], bool)
    assert mcnemar(one, other) == (5, 1, pytest.approx(2 * (1 + 6) / 64))
    assert mcnemar(one, one) == (0, 0, 1.0)


def test_p_values_and_quantiles_are_those_of_scipy_stats():
    one, other = np.repeat([True, False], 700), np.tile([True, False], 700)
    one[:40], other[:40] = True, False
    only_one, only_other, p = mcnemar(one, other)
    assert only_one + only_other < 1000
    assert p == pytest.approx(binomtest(only_one, only_one + only_other).pvalue)
    only_one, only_other, p = mcnemar(np.tile(one, 3), np.tile(other, 3))
    assert p == pytest.approx(chi2.sf((abs(only_one - only_other) - 1) ** 2 / (only_one + only_other), 1))
    found = Estimates.of([np.array([0.5, 0.6, 0.4]), np.array([0.4, 0.3, 0.2])], [np.zeros((3, 9))] * 2).difference(0, 1)
    assert found.p == pytest.approx(2 * t.sf(found.value / found.error, found.freedom))


def test_a_vote_is_the_majority_and_a_tie_goes_to_the_average():
    predicted = np.array([[0, 1, 2], [0, 2, 1], [1, 1, 0]])
    assert vote(predicted, np.array([1, 1, 1])).tolist() == [0, 1, 1]


def test_groups_share_a_letter_unless_told_apart():
    apart = np.zeros((4, 4), bool)
    for one, other in ((0, 2), (0, 3), (1, 3)):
        apart[one, other] = apart[other, one] = True
    groups = letters(apart)
    for one in range(4):
        for other in range(4):
            assert bool(set(groups[one]) & set(groups[other])) != apart[one, other]
    assert groups == ["a", "ab", "bc", "c"]


def test_a_detectable_difference_is_found_four_times_in_five():
    random = np.random.default_rng(4)
    flat, error, alpha, count = np.zeros(1000), 0.01, 0.025, 4000
    known = Estimates.of([np.array([0.5])] * 2, [random.normal(0, error / np.sqrt(2), (1, 1000)), flat[None]])
    smallest = known.difference(0, 1).detectable(alpha)
    step = known.difference(0, 1).error
    found = np.mean([norm.sf(abs(gap) / step) * 2 < alpha for gap in random.normal(smallest, step, count)])
    assert found == pytest.approx(0.8, abs=0.02)
