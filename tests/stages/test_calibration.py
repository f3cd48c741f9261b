"""One temperature finds the one that was planted, changes no answer, and noise has a floor."""

import numpy as np
import pytest

from fusecat.stages.calibration import RANGE, calibration_error, error_interval, noise_floor, temperature, tempered


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def drawn(products: int, heat: float, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure by a factor of `heat`, and labels drawn from the honest ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(products, classes))
    honest = softmax(logits)
    labels = (honest.cumsum(1) > random.random((products, 1))).argmax(1)
    return softmax(logits * heat).astype(np.float32), labels


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.5])
def test_the_planted_temperature_is_found(heat):
    probabilities, labels = drawn(20_000, heat)
    assert temperature(probabilities, labels) == pytest.approx(heat, rel=0.05)
    after = tempered(probabilities, temperature(probabilities, labels))
    right = after.argmax(1) == labels
    assert calibration_error(after.max(1), right) < 0.015
    assert heat == 1 or calibration_error(probabilities.max(1), right) > 0.05


def test_a_large_table_that_is_sorted_by_class_gives_the_temperature_of_all():
    """Half of the classes are three times too sure, half honest: the first rows would say that all of them are."""
    (sure, first), (honest, second) = drawn(10_000, 3.0, classes=500), drawn(10_000, 1.0, classes=500, seed=1)
    both, labels = np.concatenate([sure, honest]), np.concatenate([first, second])
    found = temperature(both, labels)
    mixed = np.random.default_rng(2).permutation(len(labels))
    assert found < 2.5 < 2.9 < temperature(sure, first)
    assert found == pytest.approx(temperature(both[mixed], labels[mixed]), rel=0.05)


@pytest.mark.parametrize(("products", "classes", "whole"), [(701, 7, 4_000), (1_000, 3, 2_999), (130, 30, 3_000), (65, 2, 128)])
def test_a_part_of_any_size_tells_the_temperature(monkeypatch, products, classes, whole):
    monkeypatch.setattr("fusecat.stages.calibration.WHOLE", whole)
    probabilities, labels = drawn(products, 2.5, classes)
    assert 1 < temperature(probabilities, labels) < RANGE[1]


@pytest.mark.parametrize("heat", [RANGE[0], 0.7, 3.0, RANGE[1]])
def test_no_answer_changes_whatever_the_temperature(heat):
    probabilities, _ = drawn(500, 3.0)
    probabilities[0] = [0.30000001, 0.3, 0.2, 0.1, 0.1]
    probabilities[1] = [0.2, np.nextafter(np.float32(0.3), np.float32(1)), 0.3, 0.1, 0.1]
    probabilities[2] = [0.3, 0.2, np.nextafter(np.float32(0.3), np.float32(1)), 0.1, 0.1]
    probabilities[3] = [0, 0, 0, 1, 0]
    after = tempered(probabilities, heat)
    np.testing.assert_array_equal(after.argmax(1), probabilities.argmax(1))
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-5)
    assert after.dtype == np.float32 and np.isfinite(after).all()


def test_a_model_that_is_never_wrong_keeps_a_finite_temperature_and_few_products_none():
    labels = np.arange(60) % 3
    sure = np.eye(3, dtype=np.float32)[labels] * 0.97 + 0.01
    assert RANGE[0] < temperature(sure, labels) < 1
    assert temperature(sure[:19], labels[:19]) == 1.0
    np.testing.assert_array_equal(tempered(sure, 1.0), sure)


def test_a_perfectly_calibrated_model_lies_at_its_noise_floor():
    """Of 200 sets drawn from honest probabilities, about 95 % lie below the bound, and their mean is the floor."""
    random = np.random.default_rng(1)
    confidence = random.uniform(0.3, 1, size=250)
    floor, high = noise_floor(confidence)
    found = [calibration_error(confidence, random.random(250) < confidence) for _ in range(200)]
    assert np.mean(found) == pytest.approx(floor, rel=0.08)
    assert 0.90 <= np.mean(np.array(found) < high) <= 0.99
    assert noise_floor(np.repeat(confidence, 16), samples=100)[0] < floor / 3


def test_the_interval_of_the_calibration_error_knows_what_chance_adds():
    """Honest probabilities: 0 is inside, and the debiased error far below the plain one. A planted gap of 8 points is found."""
    random = np.random.default_rng(3)
    zero, debiased, plain, held = 0, [], [], 0
    for _ in range(25):
        confidence = random.uniform(0.3, 1, size=250)
        honest, boastful = random.random(250) < confidence, random.random(250) < confidence - 0.08
        low, middle, high = error_interval(confidence, honest, samples=100)
        assert 0 <= low <= middle <= high
        zero += low == 0
        debiased.append(middle)
        plain.append(calibration_error(confidence, honest))
        low, _, high = error_interval(confidence, boastful, samples=100)
        held += low <= 0.08 <= high
    assert zero >= 23 and held >= 22
    assert np.mean(debiased) < np.mean(plain) / 2
    many = random.uniform(0.3, 1, size=20_000)
    low, middle, high = error_interval(many, random.random(20_000) < many - 0.08)
    assert 0.065 < low < middle < high < 0.095 and middle == pytest.approx(0.08, abs=0.01)


def test_a_model_that_is_never_wrong_and_says_so_has_an_interval_from_nothing():
    low, middle, high = error_interval(np.ones(30), np.ones(30, bool))
    assert (low, middle) == (0.0, 0.0) and 0 < high < 0.3
