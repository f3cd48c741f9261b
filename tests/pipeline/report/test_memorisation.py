import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest

from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.insights import insights
from fusecat.pipeline.report.memorisation import fitted_on
from fusecat.pipeline.report.output import write_report
from fusecat.pipeline.report.record import record
from fusecat.stages.extraction.settings import Pooling
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.study_record import StudyRecord
from tests.pipeline.report.studies import make_study
from tests.pipeline.report.test_comparison import FEW
from tests.stages.extraction.small import CAMEMBERT


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Heads fitted on train, which the networks have seen, and on head, which they have not."""
    root = make_study(tmp_path_factory.mktemp("study"), strategies=FEW)
    runs = Runs(root / "runs")
    for run in list(runs):
        if "fit" in run.scores and run.fitted_on:
            parts = {f"fit_{part}": dict.fromkeys(run.scores["fit"], value) for part, value in (("train", 0.9), ("head", 0.7))}
            runs.write(replace(run, fitted_on=("train", "head"), scores={**run.scores, **parts}))
    return root


def test_memorised_rows_stand_beside_unseen_ones(workspace):
    comparison = compare(workspace, resamples=20)
    found = {memory.part: (memory.networks, memory.scores["macro_f1"]) for memory in insights(comparison).memory}
    assert found.pop("test")[0] is False
    assert found == {"train": (True, pytest.approx(0.9)), "head": (False, pytest.approx(0.7))}
    page = write_report(comparison)[0].read_text()
    assert "have not seen them" in page and "were fitted on them too" in page


def test_one_part_alone_needs_no_score_of_its_own(tmp_path):
    comparison = compare(make_study(tmp_path, strategies=FEW), resamples=20)
    seen = insights(comparison)
    memory, report_part = seen.memory
    assert (memory.part, memory.networks) == ("train", True)
    assert report_part.scores["macro_f1"] == pytest.approx(seen.ablated.parts["test"]["macro_f1"].mean)
    expected = np.mean([run.scores["fit"]["macro_f1"] for run in seen.ablated.candidate.runs])
    assert memory.scores["macro_f1"] == pytest.approx(expected)


def test_a_chosen_late_fusion_leaves_the_controls_to_the_best_merge(workspace):
    comparison = compare(workspace, resamples=20)
    assert comparison.chosen.candidate.architecture == "late"
    report = record(comparison)
    merges = ("baseline", "flat", "hierarchical")
    assert report["dissected"] == next(row["strategy"] for row in report["rows"] if row["architecture"] in merges)
    assert "Take a field away" in write_report(comparison)[0].read_text()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, "Nobody said which rows camembert.title was fitted on"),
        (["train", "test"], "camembert.title was fitted on test: every figure with it is too good."),
        (["train"], None),
        ([], None),
    ],
)
def test_the_verdict_doubts_vectors_that_may_have_seen_the_labels(tmp_path, told, said):
    info = {"features": {"camembert.title": {"imported": "vectors.npy", "fitted_on": told}}}
    comparison = compare(make_study(tmp_path, strategies=FEW, info=info), resamples=20)
    verdict = record(comparison)["verdict"]
    assert ("camembert.title was fitted on" in verdict) == (said is not None)
    assert said is None or said in verdict
    fit, report_part = insights(comparison).memory
    assert fit.networks is True  # the other networks were fitted on train in any case
    assert report_part.networks is (None if told is None else "test" in told)


@pytest.mark.parametrize(
    ("freeze", "pooling", "parts"), [(False, "mean", ("train",)), (True, "mean", ()), (True, "flatten", ("train",))]
)
def test_a_frozen_network_saw_no_labels_unless_its_pooling_learnt(freeze, pooling, parts):
    training = dataclasses.replace(CAMEMBERT.training, freeze=freeze)
    kept = dataclasses.asdict(dataclasses.replace(CAMEMBERT, training=training, pooling=Pooling(pooling)))
    info = StudyRecord(features={"camembert.title": {"settings": json.loads(json.dumps(kept))}})
    assert fitted_on(info, "camembert.title") == parts
