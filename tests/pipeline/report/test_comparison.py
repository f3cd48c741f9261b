import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

import fusecat.pipeline.report
from fusecat.cache.errors import DamagedFile
from fusecat.pipeline.report.comparison import choices, compare
from fusecat.pipeline.report.record import record
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.metrics import METRICS
from tests.pipeline.report.studies import make_study

FEW = ("baseline/average", "flat/average", "hierarchical/average/average", "late/mean",
       "unimodal/camembert.title_description", "probe/camembert.title_description", "probe/se_resnext50.image")  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"), strategies=FEW)


@pytest.fixture(scope="module")
def comparison(workspace):
    return compare(workspace, resamples=200)


def test_rows_are_ranked_by_validation_whatever_test_says(comparison):
    validation = [row.parts["validation"]["macro_f1"].mean for row in comparison.rows]
    assert validation == sorted(validation, reverse=True)
    assert comparison.chosen is comparison.rows[0]


def test_turning_the_test_figures_over_changes_no_rank(workspace, tmp_path):
    other = make_study(tmp_path, strategies=FEW)
    runs = Runs(other / "runs")
    for run in list(runs):
        turned = dict(run.probabilities) | {"test": run.probabilities["test"][:, ::-1]}
        runs.write(replace(run, probabilities=turned))
    ranks = [[row.strategy for row in compare(path, resamples=20).rows] for path in (workspace, other)]
    assert ranks[0] == ranks[1]


def test_means_and_values_equal_those_of_scikit_learn(comparison, workspace):
    runs = Runs(workspace / "runs")
    labels = runs.products().labels[runs.products().rows("test")]
    for row in comparison.rows:
        expected = [
            f1_score(labels, runs.read(row.strategy, seed).probabilities["test"].argmax(axis=1), average="macro")
            for seed in row.candidate.seeds
        ]
        assert row.parts["test"]["macro_f1"].values == pytest.approx(expected, abs=1e-12)


def test_the_spread_of_a_single_value_is_null(comparison):
    report = record(comparison)
    spreads = {row["strategy"]: row["test"]["macro_f1"]["sd"] for row in report["rows"]}
    assert spreads["late/mean"] is None
    assert spreads["baseline/average"] > 0
    json.dumps(report, allow_nan=False)


def test_the_reference_is_the_single_feature_that_validation_prefers(comparison):
    assert comparison.reference == next(row.strategy for row in comparison.rows if row.candidate.single)
    headline = record(comparison)["headline"]
    assert headline["chosen"] == comparison.chosen.strategy
    means = [comparison.row(headline[side]).parts["test"]["macro_f1"].mean for side in ("chosen", "reference")]
    assert headline["difference"] == pytest.approx(means[0] - means[1])
    assert headline["low"] < headline["difference"] < headline["high"]


def test_against_changes_the_reference_and_refuses_what_is_not_there(workspace):
    comparison = compare(workspace, against="late/mean", resamples=20)
    assert comparison.reference == "late/mean"
    with pytest.raises(UsageError, match=r"--against late/man: .*late/mean"):
        compare(workspace, against="late/man", resamples=20)


def test_a_single_feature_that_wins_is_chosen_and_the_best_fusion_is_held_against_it(tmp_path):
    best = "probe/camembert.title_description"
    comparison = compare(make_study(tmp_path, strategies=FEW, skill={best: 9.0}), resamples=50)
    assert comparison.chosen.strategy == comparison.reference == best
    assert not comparison.row(comparison.headline.one).candidate.single
    assert comparison.headline.difference.value < 0


def test_without_a_test_part_the_verdict_says_that_these_are_selection_scores(tmp_path):
    comparison = compare(make_study(tmp_path, strategies=FEW, products={"train": 60, "validation": 90}), resamples=50)
    report = record(comparison)
    assert report["report_part"] == "validation"
    assert all(row["test"] is None for row in report["rows"])
    assert "selection scores" in report["verdict"]


def test_damaged_runs_are_refused_interrupted_ones_are_listed_and_never_averaged(tmp_path):
    root = make_study(tmp_path, strategies=FEW)
    before = compare(root, resamples=20)
    (root / "runs" / "flat" / "average" / "seed-2" / "run.json").unlink()
    torn = root / "runs" / "baseline" / "average" / "seed-3"
    (torn / "predictions.npz").write_bytes(b"PK torn")
    with pytest.raises(DamagedFile, match=r"seed-3/predictions\.npz: damaged .*run 'fusecat fuse' again"):
        compare(root, resamples=20)
    (torn / "run.json").unlink()
    after = compare(root, resamples=20)
    assert after.study.interrupted == ("baseline/average, seed 3", "flat/average, seed 2")
    assert after.row("flat/average").candidate.seeds == (1, 3)
    kept = before.row("baseline/average").parts["test"]["macro_f1"].values[:2]
    assert after.row("baseline/average").parts["test"]["macro_f1"].values == kept


def test_a_workspace_without_runs_says_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        compare(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="fusecat fuse"):
        compare(tmp_path)


def test_the_ensemble_of_seeds_is_a_row(comparison):
    ensembles = {row["strategy"]: row for row in record(comparison)["ensembles"]}
    assert "late/mean" not in ensembles  # it draws nothing at random
    row = comparison.row("baseline/average")
    assert ensembles[row.strategy]["ensemble"] is True
    runs = Runs(Path(comparison.study.workspace.runs))
    mean = sum(runs.read(row.strategy, seed).probabilities["test"] for seed in row.candidate.seeds)
    expected = f1_score(comparison.study.labels("test"), mean.argmax(axis=1), average="macro")
    assert ensembles[row.strategy]["test"]["macro_f1"]["mean"] == pytest.approx(expected)


def test_a_run_on_other_terms_is_no_repetition(tmp_path):
    root = make_study(tmp_path, strategies=FEW)
    runs = Runs(root / "runs")
    runs.write(replace(runs.read("flat/average", 3), settings={"epochs": 99}))
    comparison = compare(root, resamples=20)
    assert comparison.row("flat/average").candidate.seeds == (1, 2)
    assert comparison.study.failed[0].startswith("flat/average, seed 3: fitted on other terms")
    runs.write(replace(runs.read("flat/average", 2), settings={"epochs": 99}))
    (line,) = compare(root, resamples=20).study.failed
    assert line.startswith("flat/average, seeds 2, 3: fitted on other terms") and "--seeds 3" in line


def test_an_identical_twin_is_no_real_difference_and_a_planted_one_is(tmp_path):
    names = ("probe/camembert.title_description", "flat/average", "flat/addition")
    root = make_study(tmp_path, strategies=names, products={"train": 60, "validation": 600, "test": 900}, seeds=5,
                      skill={"flat/average": 3.6, "flat/addition": 3.6})  # fmt: skip
    comparison = compare(root, resamples=200)
    assert comparison.headline.real and comparison.headline.difference.value > 0
    twins = next(c for c in comparison.contrasts if {c.one, c.other} == {"flat/average", "flat/addition"})
    assert not twins.real
    groups = dict(zip(comparison.pairs.strategies, comparison.pairs.groups, strict=True))
    assert set(groups["flat/average"]) & set(groups["flat/addition"])
    assert not set(groups["flat/average"]) & set(groups[names[0]])


def test_every_key_of_the_json_is_documented(comparison):
    documented = (Path(fusecat.pipeline.report.__file__).parent / "REPORT.md").read_text()
    report = record(comparison)
    for key in [*report, *report["rows"][0], *report["contrasts"][0], *report["headline"]]:
        assert f"`{key}`" in documented or re.search(rf"[{{ ,]{key}[,}}]", documented), key


def test_two_names_of_one_function_are_one_row(tmp_path):
    """flat/addition and hierarchical/addition/addition say the same of every product: no test of a difference that is none."""
    root = make_study(tmp_path, strategies=FEW)
    runs = Runs(root / "runs")
    name, twin = next(name for name in FEW if name.startswith("flat/")), "hierarchical/addition/addition"
    for seed in (1, 2, 3):
        run = runs.read(name, seed)
        runs.write(replace(run, strategy=twin, architecture="hierarchical", first="addition", final="addition"))
    compared = compare(root, resamples=20)
    row = compared.row(twin)
    assert row is compared.row(name) and row.candidate.names == (name, twin)
    assert len(compared.rows) == len(FEW) and not any(twin in (each.one, each.other) for each in compared.contrasts)
    assert compare(root, against=twin, resamples=20).reference == name


def test_the_share_of_choices_is_that_of_fresh_validation_sets():
    """Said of one validation set, on average over many, and found over as many fresh ones."""
    random = np.random.default_rng(0)
    truth, products, said, found = np.array([0.70, 0.72, 0.69]), 200, [], []
    for _ in range(300):
        right = random.random((3, products)) < truth[:, None]
        weights = random.multinomial(products, np.full(products, 1 / products), size=200)
        order = np.argsort(-right.mean(axis=1), kind="stable")
        shares = np.zeros(3)
        shares[order] = choices((right @ weights.T / products)[order], METRICS["accuracy"])
        said.append(shares)
        found.append(np.eye(3)[order[0]])
    assert np.mean(said, axis=0) == pytest.approx(np.mean(found, axis=0), abs=0.08)


def test_the_cheapest_that_is_nearly_as_good_is_named(tmp_path):
    compared = compare(make_study(tmp_path, strategies=FEW, skill={"camembert.title_description": 3.15}), resamples=100)
    frugal = compared.row(compared.frugal)
    scores = [row.parts["validation"]["macro_f1"] for row in (compared.chosen, frugal)]
    assert len(frugal.candidate.features) <= len(compared.chosen.candidate.features)
    assert scores[0].mean - scores[1].mean <= (scores[0].high - scores[0].low) / 2
    assert sum(row.share for row in compared.rows) == pytest.approx(1)
