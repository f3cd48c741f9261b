"""Scores equal those of scikit-learn, and weights mean what they say."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score, top_k_accuracy_score

from fusecat.stages.metrics import LOG_LOSS, MACRO_F1, METRICS, Metric
from fusecat.stages.scores import Outcome, scores, scores_of


def answers(n: int = 300, classes: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all classes but the last, and probabilities of all of them."""
    random = np.random.default_rng(seed)
    return np.arange(n) % (classes - 1), random.dirichlet(np.ones(classes), n).astype(np.float32)


@pytest.mark.parametrize("metric", [metric for metric in METRICS.values() if metric.recomputed], ids=str)
def test_what_takes_no_probabilities_equals_scikit_learn(metric):
    labels, found = answers()
    words = {"accuracy_score": accuracy_score, "f1_score": f1_score, "recall_score": recall_score}
    given = {"labels": labels, "predicted": found.argmax(1), "classes": np.unique(labels)}
    assert scores(labels, found)[metric.key] == pytest.approx(eval(metric.recomputed, words | given), abs=1e-12)


def test_an_interval_ends_where_no_score_can_be():
    assert MACRO_F1.bounded(-0.1, 1.2) == (0.0, 1.0)
    assert LOG_LOSS.bounded(-0.1, 4.5) == (0.0, 4.5)
    kappa = Metric("kappa", "kappa", lambda outcome: outcome.mean(outcome.right), percent=False, least=-1.0)
    assert kappa.bounded(-0.058, 1.753) == (-0.058, 1.0)


def test_what_takes_probabilities_equals_scikit_learn():
    labels, found = answers()
    values = scores(labels, found)
    assert values["log_loss"] == pytest.approx(log_loss(labels, found, labels=range(6)), rel=1e-6)
    assert values["top_3_accuracy"] == pytest.approx(top_k_accuracy_score(labels, found, k=3, labels=range(6)))


def test_the_first_of_equal_classes_leads_and_what_is_no_number_is_last():
    found = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [np.nan, np.nan, np.nan]], np.float32)
    outcome = Outcome.of(found, np.array([0, 1, 1]))
    assert outcome.rank.tolist() == [0, 1, 3]
    assert (outcome.rank[:2] == 0).tolist() == outcome.right[:2].tolist()


def test_a_class_that_is_predicted_and_never_true_costs_no_row_of_the_mean():
    sure = np.ones(4, np.float32)
    outcome = Outcome(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), np.zeros(4, int), sure, sure)
    assert MACRO_F1.of(outcome) == pytest.approx((2 / 3 + 1) / 2)


def test_a_weight_of_two_is_the_product_twice():
    labels, found = answers(60)
    random = np.random.default_rng(2)
    drawn = np.concatenate([random.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in range(5)])
    outcome = Outcome.of(found, labels)
    weighted = outcome.weighted(np.bincount(drawn, minlength=60)[:, None].astype(np.float64))
    repeated = scores_of(outcome.take(drawn))
    for metric in METRICS.values():
        assert metric.of(weighted) == pytest.approx([repeated[metric.key]]), metric


def test_a_figure_is_shown_as_people_read_it():
    assert (MACRO_F1.figure(0.5), MACRO_F1.gain(0.01), MACRO_F1.points) == ("50.0", "+1.0", " points")
    assert (LOG_LOSS.figure(0.5), LOG_LOSS.gain(-0.01), LOG_LOSS.points) == ("0.500", "+0.010", "")
    assert (MACRO_F1.gains(-0.1, 0.2), LOG_LOSS.gains(-0.1, 0.2)) == ("-10.0 to +20.0", "-0.200 to +0.100")
    assert [MACRO_F1.gain(value) for value in (0.0, -0.0, -1e-5)] == ["+0.0"] * 3
    assert (MACRO_F1.convention, LOG_LOSS.ranks) == ("", "log loss, less is better")
    assert LOG_LOSS.convention.startswith("Less log loss is better")
    assert (MACRO_F1.figure(None), MACRO_F1.gain(None)) == ("–", "")
    assert MACRO_F1.bounded(-0.1, 1.1) == (0, 1) and LOG_LOSS.bounded(-0.1, 1.1) == (0, 1.1)
