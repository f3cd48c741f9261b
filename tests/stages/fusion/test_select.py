import pytest

from fusecat.cache.errors import DamagedFile
from fusecat.pipeline.report.comparison import compare
from fusecat.stages.errors import DataError, ModelError, UsageError
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.select import select
from fusecat.stages.metrics import MACRO_F1, METRICS
from tests.pipeline.report.studies import make_study


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_what_is_selected_is_what_the_report_chooses(tmp_path, metric):
    root = make_study(tmp_path, info={"metric": metric.name})
    chosen, found = compare(root, resamples=20).chosen, select(Runs(root / "runs"), metric)
    assert (found.strategy, found.seeds) == (chosen.strategy, chosen.candidate.seeds)


def test_a_tie_goes_by_name_in_both(tmp_path):
    root = make_study(tmp_path, strategies=("flat/average", "flat/addition"), skill={"flat/average": 40, "flat/addition": 40})
    assert select(Runs(root / "runs"), MACRO_F1).strategy == compare(root, resamples=20).chosen.strategy == "flat/addition"


def test_a_strategy_may_be_named_and_one_without_runs_is_refused(tmp_path):
    runs = Runs(make_study(tmp_path, strategies=("flat/average", "baseline/average")) / "runs")
    assert select(runs, MACRO_F1, "flat/average").strategy == "flat/average"
    with pytest.raises(UsageError, match=r"--strategy flat/averag: .*did you mean flat/average\?"):
        select(runs, MACRO_F1, "flat/averag")


def test_a_damaged_run_is_refused_though_another_would_be_chosen(tmp_path):
    runs = Runs(make_study(tmp_path, strategies=("flat/average", "baseline/average")) / "runs")
    (runs.path("baseline/average", 2) / "predictions.npz").write_bytes(b"")
    with pytest.raises(DamagedFile, match=r"seed-2/predictions\.npz"):
        select(runs, MACRO_F1)


def test_nothing_is_chosen_without_runs_or_validation(tmp_path):
    with pytest.raises(ModelError, match="no run is finished"):
        select(Runs(tmp_path / "runs"), MACRO_F1)
    root = make_study(tmp_path / "w", strategies=("flat/average",), products={"train": 60, "test": 90})
    with pytest.raises(DataError, match="validation"):
        select(Runs(root / "runs"), MACRO_F1)
