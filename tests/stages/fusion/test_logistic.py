"""The tuned logistic regression: scikit-learn's on features of equal length, chosen on validation alone."""

import dataclasses
import re

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fusecat.pipeline.compare import compare
from fusecat.stages.fusion import load_head
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, ClassWeights, FitSettings, Scaling
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.logistic import STRENGTHS, Choice, fit_logistic
from fusecat.stages.fusion.runs import DETERMINISTIC, Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import MACRO_F1
from tests.stages.fusion.synthetic import table

FLAT = Strategy.parse("logistic/flat")
FEATURES = {"words.title": 30, "words.description": 20, "pixels.image": 60}


def blocks(made, names, scaling):
    """The features side by side as the docstring says, by numpy."""
    fitted, found = made.rows("train", "head"), []
    for name in names:
        feature = made.features[name]
        held = fitted[feature.present[fitted]]
        block = feature.embedding.astype(np.float64) - feature.embedding[held].astype(np.float64).mean(axis=0)
        block[~feature.present] = 0
        if scaling is Scaling.COLUMN:
            block /= block[fitted].std(axis=0)
        found.append(block / np.sqrt((block[held] ** 2).sum(axis=1).mean()))
    return np.hstack(found)


@pytest.mark.parametrize("scaling", [Scaling.FEATURE, Scaling.COLUMN])
@pytest.mark.parametrize("products", [160, 600], ids=["fewer products than columns", "more"])
def test_it_is_scikit_learns(products, scaling):
    made = table(FEATURES, products=products)
    fit_data = gather(made, list(FEATURES), ("train",), standardise=DEFAULT.standardise)
    known = fit_logistic(FLAT, fit_data, MACRO_F1, choice=Choice(1.0, ClassWeights.INVERSE, scaling)).fitted.head
    rows, names = made.rows("train"), known.features
    everything = blocks(made, names, scaling)
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=3000, tol=1e-7).fit(everything[rows], made.labels[rows])
    from fusecat.stages.fusion.fit import predict

    said = predict(known, fit_data.vectors.select(names), np.arange(products))
    np.testing.assert_allclose(said, model.predict_proba(everything), atol=5e-3)
    assert (said.argmax(1) == model.predict(everything)).mean() > 0.99


def test_validation_chooses_and_test_is_not_looked_at(tmp_path):
    made = table(FEATURES, signal=0.6)
    other = made.labels.copy()
    other[made.rows("test")] = 0
    found = []
    for at, labels in enumerate((made.labels, other)):
        runs = Runs(tmp_path / f"{at}" / "runs")
        found += fuse(dataclasses.replace(made, labels=labels, fingerprint=f"{at}"), [FLAT], runs, processes=1)
        assert load_head(runs.path(FLAT.name, DETERMINISTIC)).classes == made.classes
    one, two = found
    assert one.settings == two.settings and one.settings["tried"] == 4 * len(STRENGTHS)
    np.testing.assert_array_equal(one.probabilities["validation"], two.probabilities["validation"])
    fit_data = gather(made, list(FEATURES), ("train",), standardise=DEFAULT.standardise)
    best = fit_logistic(FLAT, fit_data, MACRO_F1).choice
    assert Choice.of(one.settings) == best


@pytest.mark.parametrize("held", [1, 2, 3], ids=lambda held: f"{held} of four classes to fit on")
def test_classes_without_fit_rows_are_never_said(tmp_path, held):
    made = table(FEATURES)
    labels = made.labels.copy()
    rows = made.rows("train", "head")
    labels[rows] = labels[rows] % held
    run = fuse(dataclasses.replace(made, labels=labels), [FLAT], Runs(tmp_path / "runs"), processes=1)[0]
    chances = run.probabilities["test"][:]
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert chances[:, held:].max() < 1e-4


def test_the_verdict_says_whether_heads_are_worth_more():
    random = np.random.default_rng(0)
    labels = np.arange(400) % 4
    linear = {name: np.eye(4)[labels] @ random.normal(size=(4, 12)) + random.normal(size=(400, 12)) for name in "ab"}
    found = compare(linear, labels, fusion="average", splits=1, settings=FitSettings(epochs=3))
    assert "logistic/baseline" in {row.strategy for row in found.rows}
    beaten = r"better than a tuned logistic regression, logistic/baseline \([^;)]*\)"
    assert re.search("than a tuned logistic regression|is a plain logistic regression", found.verdict)
    assert not re.search(beaten, found.verdict)
    signs = random.choice([-1.0, 1.0], size=(600, 2, 6))
    labels = (signs[:, 0, 0] * signs[:, 1, 0] > 0).astype(int)  # of which neither feature says anything alone
    product = {"a": signs[:, 0] + 0.1 * random.normal(size=(600, 6)), "b": signs[:, 1] + 0.1 * random.normal(size=(600, 6))}
    found = compare(product, labels, fusion="bilinear", splits=1, settings=FitSettings(steps=400, epochs=60))
    assert re.search(beaten, found.verdict)
