"""Laws of late fusion: masks, honesty on noise, what is learnt where, and exact storage."""

import dataclasses

import numpy as np
import pytest

from fusecat.cache.table import FeatureTable
from fusecat.stages.fusion import load_head
from fusecat.stages.fusion.feasible import feasible
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.late import method_class
from fusecat.stages.fusion.late.crossfit import fit_on_all, folds
from fusecat.stages.fusion.late.ensembles import select, vote
from fusecat.stages.fusion.late.method import LateMethod
from fusecat.stages.fusion.late.modality_logits import ModalityLogits
from fusecat.stages.fusion.runs import DETERMINISTIC, Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.strategy_plan import plan
from fusecat.stages.metrics import ACCURACY
from fusecat.stages.scores import scores
from fusecat.stages.vocabulary import Architecture, Late
from tests.stages.fusion.synthetic import SEVEN, table

METHODS = [late for late in Late if method_class(late) is not None]
LEARNING = [late for late in METHODS if method_class(late).learns]
every_method = pytest.mark.parametrize("late", METHODS, ids=str)
CLASSES = 4
EAGER = FitSettings(epochs=8, learning_rate=3e-2)


def modality_logits(n=80, features=3, seed=0, missing=0.3, strength=2.0):
    """Three networks of different skill; the last one's field is missing at times."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, n)
    skill = strength * np.linspace(1, 0.2, features)
    logits = random.normal(size=(n, features, CLASSES)) + skill[:, None] * np.eye(CLASSES)[labels][:, None]
    present = np.ones((n, features), bool)
    present[:, -1] = random.random(n) >= missing
    return ModalityLogits(np.where(present[:, :, None], logits, 0), present), labels


def fitted(late, seen, labels):
    method = method_class(late)(seen.logits.shape[1], np.bincount(labels, minlength=CLASSES) / len(labels))
    method.fit(seen, labels)
    return method


@every_method
def test_rows_are_probabilities_and_do_not_mix(late):
    seen, labels = modality_logits()
    method = fitted(late, seen, labels)
    found = method.predict(seen)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    order = np.random.default_rng(1).permutation(len(seen))
    np.testing.assert_allclose(method.predict(seen.rows(order)), found[order], atol=1e-6)


@every_method
def test_what_an_absent_field_would_have_said_does_not_matter(late):
    seen, labels = modality_logits()
    method = fitted(late, seen, labels)
    garbage = ModalityLogits(np.where(seen.present[:, :, None], seen.logits, 50.0), seen.present)
    np.testing.assert_array_equal(method.predict(garbage), method.predict(seen))


@every_method
def test_a_product_with_no_field_at_all_gets_the_prior(late):
    seen, labels = modality_logits()
    method = fitted(late, seen, labels)
    nothing = ModalityLogits(np.zeros_like(seen.logits[:2]), np.zeros_like(seen.present[:2]))
    np.testing.assert_allclose(method.predict(nothing), np.tile(method.prior, (2, 1)), atol=1e-6)


@every_method
def test_opinions_beat_chance_and_state_is_restored_exactly(late):
    seen, labels = modality_logits(n=400)
    method = fitted(late, seen, labels)
    fresh, truth = modality_logits(n=400, seed=7)
    assert (method.predict(fresh).argmax(1) == truth).mean() > 0.5
    other = method_class(late)(seen.logits.shape[1], method.prior)
    other.restore(method.state())
    np.testing.assert_array_equal(other.predict(fresh), method.predict(fresh))


def test_the_three_rules_by_hand():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    seen = ModalityLogits(np.log(probabilities)[None], np.array([[True, True, False]]))
    used = probabilities[:2]
    by_hand = {Late.MEAN: used.mean(0), Late.PRODUCT: np.sqrt(used.prod(0)), Late.MAXIMUM: used.max(0)}
    for late, expected in by_hand.items():
        found = method_class(late)(3, np.ones(3) / 3).predict(seen)
        np.testing.assert_allclose(found[0], expected / expected.sum(), atol=1e-6)


def test_weights_go_to_the_network_that_knows():
    seen, labels = modality_logits(n=600)
    assert fitted(Late.WEIGHTED, seen, labels).weights.argmax() == 0


def test_a_temperature_repairs_what_was_multiplied():
    seen, labels = modality_logits(n=3000, features=1, missing=0)
    plain = fitted(Late.CALIBRATED, seen, labels).temperatures
    hot = fitted(Late.CALIBRATED, ModalityLogits(seen.logits * 5, seen.present), labels).temperatures
    np.testing.assert_allclose(hot, plain * 5, rtol=0.02)


def test_a_vote_is_the_majority_and_ties_go_to_the_mean():
    members = [np.array([row], np.float32) for row in ([0.6, 0.4, 0], [0.55, 0.45, 0], [0, 1, 0])]
    assert vote(members).argmax() == 0
    assert vote(members[1:]).argmax() == 1


def test_selection_never_does_worse_than_the_best_member_where_it_is_fitted():
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 300)
    members = [random.dirichlet(np.ones(CLASSES), 300).astype(np.float32) for _ in range(5)]
    members[3][np.arange(300), labels] += 0.5
    weights = select(members, labels, ACCURACY)
    best = max((member.argmax(1) == labels).mean() for member in members)
    mixed = sum(weight * member for weight, member in zip(weights, members, strict=True))
    assert weights.sum() == pytest.approx(1)
    assert (mixed.argmax(1) == labels).mean() >= best


def test_folds_part_every_class_evenly():
    labels = np.repeat([0, 1, 2], [50, 12, 3])
    fold = folds(labels)
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 1
    assert np.bincount(fold[labels == 0]).tolist() == [10] * 5


def test_folds_hold_copies_together_and_leave_the_others_where_they_were():
    labels = np.repeat([0, 1, 2], [50, 12, 3])
    groups = np.arange(len(labels))
    assert (folds(labels, groups) == folds(labels)).all()
    groups[[3, 7, 40, 55]] = 3
    fold = folds(labels, groups)
    assert len(set(fold[[3, 7, 40, 55]])) == 1
    assert (np.delete(fold, [7, 40, 55]) == np.delete(folds(labels), [7, 40, 55])).all()


def noise(seed, products=900):
    """Logits that know nothing, of networks that are very sure of themselves."""
    made = table(dict.fromkeys(SEVEN, 2), products=products, signal=0, seed=seed, missing=0)
    random = np.random.default_rng(seed)
    features = {
        name: dataclasses.replace(feature, logits=(3 * random.normal(size=feature.logits.shape)).astype(np.float32))
        for name, feature in made.features.items()
    }
    return dataclasses.replace(made, features=features)


@pytest.mark.parametrize("strategy", ["late/lightgbm", "late/selection"])
def test_copies_among_the_validation_products_flatter_nobody(strategy, tmp_path):
    made = noise(4)
    rows = made.rows("validation")
    first, second = np.array_split(rows, 2)
    second = second[: len(first)]
    first = first[: len(second)]
    labels, groups = made.labels.copy(), np.arange(len(made.labels))
    labels[second], groups[second] = labels[first], groups[first]
    for feature in made.features.values():
        feature.logits.flags.writeable = True
        feature.logits[second] = feature.logits[first]
    made = dataclasses.replace(made, labels=labels, fingerprint="copied")
    members = plan("average", made.features).strategies if strategy == "late/selection" else ()
    marks = {}
    for told, known in (("alone", None), ("grouped", groups)):
        own = dataclasses.replace(made, groups=known)
        wanted = [*members, Strategy.parse(strategy)]
        run = fuse(own, wanted, Runs(tmp_path / "runs"), FitSettings(epochs=1), seeds=1)[-1]
        marks[told] = run.scores["validation"]["accuracy"], run.key
    assert marks["alone"][1] != marks["grouped"][1]  # runs of the one are not taken for runs of the other
    assert abs(marks["grouped"][0] - 0.25) < 0.1
    if strategy == "late/lightgbm":  # which remembers what it has seen
        assert marks["alone"][0] > 0.4


@pytest.mark.parametrize("late", LEARNING, ids=str)
def test_on_noise_a_learning_method_stays_at_chance_on_validation(late, tmp_path):
    made = noise(3)
    (run,) = fuse(made, [Strategy(Architecture.LATE, final=late.value)], Runs(tmp_path / "runs"))
    # 225 products of 4 even classes: the standard deviation of chance is 0.029
    assert abs(run.scores["validation"]["accuracy"] - 0.25) < 0.1
    assert run.fitted_on == ("validation",)
    assert "out-of-fold" in run.notes[0]


def test_head_rows_are_used_where_no_network_has_seen_them(tmp_path):
    made = table(head=0.2, products=600)
    strategy = [Strategy(Architecture.LATE, final="weighted")]
    assert fuse(made, strategy, Runs(tmp_path / "a"))[0].fitted_on == ("head",)
    seen = {name: dataclasses.replace(feature, fitted_on=("train", "head")) for name, feature in made.features.items()}
    assert fuse(dataclasses.replace(made, features=seen), strategy, Runs(tmp_path / "b"))[0].fitted_on == ("validation",)
    unknown = {name: dataclasses.replace(feature, fitted_on=None) for name, feature in made.features.items()}
    assert fuse(dataclasses.replace(made, features=unknown), strategy, Runs(tmp_path / "c"))[0].fitted_on == ("validation",)
    folded = {name: dataclasses.replace(feature, logits_oof=feature.logits) for name, feature in seen.items()}
    assert fuse(dataclasses.replace(made, features=folded), strategy, Runs(tmp_path / "d"))[0].fitted_on == ("train",)


def test_what_would_learn_for_hours_is_left_out_and_says_so():
    made = table({"camembert.title": 2, "se_resnext50.image": 2}, products=3000, classes=2800, missing=0)
    chosen = feasible(made, plan("all", made.features))
    assert [name for name in chosen.left_out if name.startswith("late")] == ["late/lightgbm"]
    assert "of 2,800 classes learns for about 1 hours" in chosen.left_out["late/lightgbm"]
    # from few head rows it learns once, and in time
    features = {name: dataclasses.replace(feature, fitted_on=("train",)) for name, feature in made.features.items()}
    made = dataclasses.replace(made, features=features, split=np.where(np.arange(3000) < 100, 1, made.split).astype(np.uint8))
    assert "late/lightgbm" not in feasible(made, plan("all", made.features)).left_out


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """All strategies on one small table, one seed."""
    made: FeatureTable = table(signal=4, missing=0.1)
    runs = Runs(tmp_path_factory.mktemp("all") / "runs")
    chosen = feasible(made, plan("all", made.features))
    fuse(made, chosen.strategies, runs, EAGER, seeds=1, processes=1)
    return made, runs, chosen


def test_everything_runs_and_beats_chance(everything):
    _, runs, chosen = everything
    assert {run.strategy for run in runs} == {strategy.name for strategy in chosen.strategies}
    weak = {run.strategy: run.scores["test"]["accuracy"] for run in runs if run.scores["test"]["accuracy"] < 0.35}
    assert not weak


def test_whatever_was_fused_is_loaded_and_predicts_the_same(everything):
    made, runs, _ = everything
    rows = made.rows("test")
    new = {
        name: dataclasses.replace(
            feature, embedding=feature.embedding[rows], present=feature.present[rows], logits=feature.logits[rows]
        )
        for name, feature in made.features.items()
    }
    for run in runs:
        found = load_head(runs.path(run.strategy, run.seed)).probabilities(new)
        np.testing.assert_allclose(found, run.probabilities["test"], atol=2e-6, err_msg=run.strategy)


@pytest.mark.parametrize("name", ["late/mean", "late/mean@flat", "late/calibrated"])
def test_late_fusion_tells_what_it_would_say_without_a_field(everything, name):
    made, runs, _ = everything
    run = next(run for run in runs if run.strategy == name)
    rows = made.rows("test")
    head = load_head(runs.path(name, run.seed))
    fields = {feature.rpartition(".")[2] for feature in run.features}
    assert set(run.controls) == {f"without {field}" for field in fields}
    for field in fields:
        masked = {
            feature: dataclasses.replace(each, present=each.present & (feature.rpartition(".")[2] != field))
            for feature, each in made.features.items()
        }
        expected = scores(made.labels[rows], head.probabilities(masked)[rows])
        assert run.controls[f"without {field}"]["test"] == pytest.approx(expected, abs=1e-6)
        unseen = [part for part in run.probabilities if part not in run.fitted_on]
        assert list(run.controls[f"without {field}"]) == unseen, "the same bytes every time"


def test_a_loaded_head_saved_elsewhere_stands_alone(everything, tmp_path):
    made, runs, _ = everything
    for name in ("late/vote", "late/selection", "late/lightgbm", "unimodal/camembert.title", "hierarchical/gated/gated"):
        head = load_head(runs.path(name, next(run.seed for run in runs if run.strategy == name)))
        copied = load_head(head.save(tmp_path / name))
        np.testing.assert_array_equal(copied.probabilities(made.features), head.probabilities(made.features))


def test_an_ensemble_is_made_again_only_when_a_member_changes(everything):
    made, runs, chosen = everything
    calls = []
    fuse(made, chosen.strategies, runs, EAGER, seeds=1, progress=lambda *call: calls.append(call))
    assert calls == []
    assert runs.read("late/mean", DETERMINISTIC).parameters == 0


class Noting(LateMethod):
    """Learns which rows it was given."""

    learns = True

    def fit(self, modality_logits, labels):
        self.given = modality_logits, labels

    def combine(self, modality_logits):
        return np.ones((len(modality_logits), len(self.prior)))


def noted(seen, **changes):
    """What a method is fitted on again, and the parts, where every feature is changed in this way."""
    features = {name: dataclasses.replace(feature, **changes) for name, feature in seen.features.items()}
    rows = {part: seen.rows(part) for part in seen.parts}
    method, parts = fit_on_all(lambda: Noting(2, np.full(4, 0.25)), features, list(features), seen.labels, rows)
    return method, parts, features, rows


def test_a_refit_learns_from_what_networks_have_not_seen_and_from_out_of_fold_logits_of_what_they_have():
    seen = table({"camembert.title": 6, "se_resnext50.image": 10}, head=0.2)
    oof = np.random.default_rng(5).normal(size=(len(seen.labels), 4)).astype(np.float32)
    assert noted(seen)[1] == ("head", "validation", "test")
    assert noted(seen, fitted_on=None)[1] == ("validation", "test")
    assert noted(seen, fitted_on=())[1] == ("train", "head", "validation", "test")
    assert noted(seen, fitted_on=("train", "head", "validation", "test"))[1] == ()
    method, parts, features, rows = noted(seen, logits_oof=oof)
    assert parts == ("train", "head", "validation", "test")
    order = np.concatenate([rows[part] for part in parts])
    logits, labels = method.given[0].whole().logits, method.given[1]
    np.testing.assert_array_equal(labels, seen.labels[order])
    train, first = len(rows["train"]), next(iter(features.values()))
    np.testing.assert_array_equal(logits[:train, 0], oof[rows["train"]])
    np.testing.assert_array_equal(logits[train:, 0], first.logits[order[train:]])
