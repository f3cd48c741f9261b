"""Stage two as a whole: runs that are learned, scored, stored, resumed; and what it must not import or look at."""

import dataclasses
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fusecat.stages.fusion import load_head
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import FIT_ON, fuse, schedule
from fusecat.stages.fusion.runs import DETERMINISTIC, Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.strategy_plan import plan
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.scores import scores
from fusecat.stages.vocabulary import Architecture
from tests.stages.fusion.synthetic import SEVEN, table
from tests.stages.fusion.test_merges import OWN

QUICK = FitSettings(epochs=20)


@pytest.fixture(scope="module")
def planted():
    return table()


@pytest.fixture(scope="module")
def done(planted, tmp_path_factory):
    runs = Runs(tmp_path_factory.mktemp("study") / "runs")
    fuse(planted, plan("average", SEVEN).strategies, runs, QUICK, seeds=2)
    return runs


def test_every_strategy_is_there_with_every_seed(done):
    found = {(run.strategy, run.seed) for run in done}
    for strategy in plan("average", SEVEN).strategies:
        seeds = (1, 2) if strategy.seeded else (DETERMINISTIC,)
        assert {(strategy.name, seed) for seed in seeds} <= found
    assert not done.interrupted()


def test_learned_strategies_find_the_planted_signal(done):
    for run in done:
        if run.architecture in ("baseline", "flat", "hierarchical"):
            assert run.scores["test"]["accuracy"] > 0.45, run.strategy


def test_scores_are_those_of_the_stored_probabilities(done, planted):
    for run in done:
        for part in ("validation", "test"):
            found = run.probabilities[part]
            np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
            assert run.scores[part] == scores(planted.labels[planted.rows(part)], found)


def test_a_unimodal_row_says_the_prior_of_the_absent_and_counts_the_present(done, planted):
    run = done.read("unimodal/camembert.description", DETERMINISTIC)
    rows = planted.rows("test")
    present = planted.features["camembert.description"].present[rows]
    shares = np.bincount(planted.labels[planted.rows("train", "head")], minlength=4) / len(planted.rows("train", "head"))
    np.testing.assert_allclose(run.probabilities["test"][~present], np.tile(shares, (int((~present).sum()), 1)), atol=1e-6)
    assert run.scores["test_present"] == scores(planted.labels[rows][present], run.probabilities["test"][present])
    assert run.scores["test_present"]["accuracy"] > run.scores["test"]["accuracy"]


def test_fused_runs_carry_their_controls(done):
    run = done.read("hierarchical/concatenation/average", 1)
    wanted = {f"{kind} {field}" for kind in ("without", "shuffled") for field in ("title", "description", "image")}
    assert set(run.controls) == wanted
    assert run.controls["shuffled title"]["test"]["accuracy"] < run.scores["test"]["accuracy"]
    assert set(run.scores) >= {"fit", "validation", "test"}
    assert run.fitted_on == ("train",)


def test_heads_fitted_on_two_parts_are_scored_on_each(done, tmp_path):
    both = table(head=0.2)
    runs = Runs(tmp_path / "runs")
    fuse(both, [Strategy.parse("baseline/average")], runs, QUICK, seeds=1)
    marks = runs.read("baseline/average", 1).scores
    sizes = [len(both.rows(part)) for part in ("train", "head")]
    mean = np.average([marks["fit_train"]["accuracy"], marks["fit_head"]["accuracy"]], weights=sizes)
    assert marks["fit"]["accuracy"] == pytest.approx(mean)
    assert "fit_train" not in done.read("baseline/average", 1).scores


def test_a_second_call_repeats_nothing_and_an_interrupted_run_is_done_again(planted, tmp_path):
    runs = Runs(tmp_path / "runs")
    strategies = plan("average", SEVEN, architecture="baseline").strategies[:1]
    calls = []
    fuse(planted, strategies, runs, QUICK, seeds=2, progress=lambda *call: calls.append(call))
    assert len(calls) == 2
    (runs.path(strategies[0].name, 2) / "run.json").unlink()
    fuse(planted, strategies, runs, QUICK, seeds=3, progress=lambda *call: calls.append(call))
    assert [call[0].seed for call in calls] == [1, 2, 2, 3]
    fuse(
        planted,
        strategies,
        runs,
        dataclasses.replace(QUICK, learning_rate=1e-3),
        seeds=1,
        progress=lambda *call: calls.append(call),
    )
    assert len(calls) == 5


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_head(planted, tmp_path):
    strategies = [Strategy.parse("hierarchical/concatenation/average")]
    first, second = Runs(tmp_path / "a"), Runs(tmp_path / "b")
    fuse(planted, strategies, first, QUICK, seeds=2)
    fuse(planted, strategies, second, QUICK, seeds=2)
    weights = [
        [(runs.path(strategies[0].name, seed) / "head.safetensors").read_bytes() for seed in (1, 2)] for runs in (first, second)
    ]
    assert weights[0] == weights[1]
    assert weights[0][0] != weights[0][1]


def test_a_stored_head_predicts_what_its_run_stored(done, planted):
    for name in ("hierarchical/concatenation/average", "probe/se_resnext50.image"):
        head = load_head(done.path(name, 1))
        rows = planted.rows("test")
        new = {
            feature: dataclasses.replace(
                planted.features[feature],
                embedding=planted.features[feature].embedding[rows],
                present=planted.features[feature].present[rows],
            )
            for feature in head.features
        }
        np.testing.assert_allclose(head.probabilities(new), done.read(name, 1).probabilities["test"], atol=1e-6)


def test_labels_of_the_test_part_change_nothing_but_test_scores(planted, tmp_path):
    labels = planted.labels.copy()
    rows = planted.rows("test")
    labels[rows] = np.roll(labels[rows], 1)
    strategies = [strategy for strategy in plan("average", SEVEN).strategies if strategy.name != "late"]
    left, right = Runs(tmp_path / "a"), Runs(tmp_path / "b")
    fuse(planted, strategies, left, QUICK, seeds=1)
    fuse(dataclasses.replace(planted, labels=labels), strategies, right, QUICK, seeds=1)
    for run in left:
        other = right.read(run.strategy, run.seed)
        for part in ("validation", "test"):
            np.testing.assert_array_equal(run.probabilities[part], other.probabilities[part])
        assert run.curve == other.curve


def test_runs_of_another_split_are_set_aside_not_mixed(planted, tmp_path):
    runs = Runs(tmp_path / "runs")
    strategies = plan("average", SEVEN, architecture="baseline").strategies[:1]
    fuse(planted, strategies, runs, QUICK, seeds=1)
    fuse(table(seed=1), strategies, runs, QUICK, seeds=1)
    assert len(list(runs)) == 1
    assert len(list(tmp_path.glob("runs-before-*"))) == 1


def test_runs_on_vectors_that_are_no_more_are_set_aside(planted, tmp_path):
    runs = Runs(tmp_path / "runs")
    names = ("baseline/average", "probe/camembert.title", "unimodal/camembert.title", "late/vote")
    fuse(planted, [Strategy.parse(name) for name in names], runs, QUICK, seeds=1)
    image = planted.features["se_resnext50.image"]
    changed = dataclasses.replace(image, embedding=np.ascontiguousarray(image.embedding[:, ::-1]))
    other = dataclasses.replace(planted, features={**planted.features, image.name: changed})
    fuse(other, [Strategy.parse("probe/se_resnext50.image")], runs, QUICK, seeds=1)
    assert {run.strategy for run in runs} == {"probe/camembert.title", "unimodal/camembert.title", "probe/se_resnext50.image"}


def test_an_ensemble_whose_member_was_fitted_anew_is_set_aside(planted, tmp_path):
    runs = Runs(tmp_path / "runs")
    strategies = [Strategy.parse(name) for name in ("baseline/average", "flat/average", "late/vote")]
    fuse(planted, strategies, runs, QUICK, seeds=1)
    fuse(planted, strategies[:1], runs, dataclasses.replace(QUICK, epochs=3), seeds=1)
    assert {run.strategy for run in runs} == {"baseline/average", "flat/average"}


def test_any_number_of_processes_gives_the_same_bytes(planted, tmp_path, monkeypatch):
    monkeypatch.setattr("fusecat.stages.fusion.parallel.WORTH_SPREADING", 0.0)
    strategies = [Strategy.parse(name) for name in ("baseline/average", "hierarchical/concatenation/gated", "late/calibrated")]
    one, two = Runs(tmp_path / "one"), Runs(tmp_path / "two")
    fuse(planted, strategies, one, QUICK, seeds=2, processes=1)
    fuse(planted, strategies, two, QUICK, seeds=2, processes=2)
    for run in one:
        for file in ("head.safetensors", "head.json", "predictions.npz"):
            found = [(runs.path(run.strategy, run.seed) / file).read_bytes() for runs in (one, two)]
            assert found[0] == found[1]


def test_stage_two_never_loads_what_only_stage_one_needs():
    heavy = {"transformers", "torchvision", "cv2", "fusecat.stages.catalogue", "fusecat.stages.extraction", "fusecat.pipeline"}
    code = "import sys, fusecat.stages.fusion.fuse; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "fusecat.stages.fusion.fuse" in loaded
    assert not heavy & set(loaded)


def test_a_merge_of_ones_own_that_was_edited_is_fitted_anew(planted, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = tmp_path / "edited_merge.py"
    code.write_text(OWN, encoding="utf-8")
    strategy = Strategy(Architecture.BASELINE, final="edited_merge:Halves")

    def key():
        return schedule(planted, [strategy], QUICK, seeds=1, metric=MACRO_F1, fit_on=FIT_ON)[0].key

    before = key()
    assert key() == before
    code.write_text(OWN.replace("-1e9", "-1e8"), encoding="utf-8")
    assert key() != before


def test_two_at_once_do_not_write_the_same_runs(tmp_path):
    """The second waits, says so once, and goes on when the first is done."""
    runs, said = Runs(tmp_path / "runs"), []
    with ThreadPoolExecutor(1) as beside:
        with runs.lock():

            def second():
                with Runs(tmp_path / "runs").lock(lambda: said.append("waiting")):
                    return time.monotonic()

            later = beside.submit(second)
            time.sleep(0.5)
            assert not later.done()
            released = time.monotonic()
        assert later.result() >= released
    assert said == ["waiting"]


def test_parts_that_a_table_does_not_have_hold_no_rows(tmp_path):
    made = table({"words.title": 4, "pixels.image": 4}, parts=("train", "validation", "test"))
    assert len(made.rows("head")) == 0
    (run,) = fuse(made, [Strategy.parse("baseline/average")], Runs(tmp_path), FitSettings(epochs=1), seeds=1)
    assert run.fitted_on == ("train",)
