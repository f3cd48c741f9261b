"""Trackers offline: curves of fine-tuning and the result of a study arrive, and nothing leaves this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusecat.stages.errors import UsageError
from fusecat.stages.tracking import Tracker, Tracking, track_study
from tests.pipeline.commands.test_extract import FEATURE, run, words

LOGGED = """
import json, mlflow, sys
mlflow.set_tracking_uri(sys.argv[1])
runs = [run for experiment in mlflow.search_experiments() for run in
        mlflow.search_runs([experiment.experiment_id], output_format="list")]
client = mlflow.MlflowClient()
print(json.dumps({run.info.run_name: {
    "metrics": {name: [each.value for each in client.get_metric_history(run.info.run_id, name)] for name in run.data.metrics},
    "params": run.data.params, "status": run.info.status} for run in runs}))
"""
SCORE = {"macro_f1": {"mean": 0.5}}
REPORT = {
    "catalogue": "c", "preset": "tiny", "metric": "macro-f1", "classes": 3, "chosen": "late/mean@flat", "reference": "a",
    "verdict": "late/mean@flat is chosen", "rows": [{"strategy": "late/mean@flat", "validation": SCORE, "test": None}],
}  # fmt: skip


def logged(folder: Path) -> dict:
    """What MLflow finds in a folder; asked elsewhere, because its libraries warn."""
    command = [sys.executable, "-c", LOGGED, folder.absolute().as_uri()]
    environment = os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true"}
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def test_mlflow_gets_the_curves_of_fine_tuning(sample_cut: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    workspace = tmp_path / "workspace"
    done = run(words(sample_cut, workspace, "--tracker", "mlflow"))
    assert done.returncode == 0, done.stderr
    kept = json.loads((workspace / "study.json").read_text(encoding="utf-8"))["features"][FEATURE]
    found = logged(workspace / "mlflow")[FEATURE]
    assert found["metrics"]["eval_macro_f1"] == pytest.approx([epoch["macro_f1"] for epoch in kept["curve"]])
    assert found["status"] == "FINISHED"


def test_mlflow_gets_the_result_of_a_study(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("<p>", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from tests.stages.test_tracking import *\n"
        "track_study(Tracking(Tracker.MLFLOW, Path(sys.argv[1]) / 'mlflow', 'report'), REPORT, "
        "Path(sys.argv[1]) / 'report' / 'index.html')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
    found = logged(tmp_path / "mlflow")["report"]
    assert found["metrics"] == {"late/mean at flat/validation/macro_f1": [0.5]}
    assert found["params"]["chosen"] == "late/mean@flat"
    assert list((tmp_path / "mlflow").rglob("index.html"))


def test_what_the_environment_says_holds_and_nothing_of_ours_stays_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    with Tracking(Tracker.WANDB, tmp_path / "wandb", "a").running():
        assert os.environ["WANDB_MODE"] == "online" and os.environ["WANDB_PROJECT"] == "fusecat"
    assert "WANDB_PROJECT" not in os.environ and os.environ["WANDB_MODE"] == "online"
    monkeypatch.delenv("WANDB_MODE")
    with Tracking(Tracker.WANDB, tmp_path / "wandb", "a").running():
        assert os.environ["WANDB_MODE"] == "offline"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.example")
    with Tracking(Tracker.MLFLOW, tmp_path, "a").running():
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://tracker.example" and "MLFLOW_ALLOW_FILE_STORE" not in os.environ


def test_tensorboard_takes_no_result_of_a_study(tmp_path) -> None:
    with pytest.raises(UsageError, match="mlflow or wandb"):
        track_study(Tracking(Tracker.TENSORBOARD, tmp_path, "a"), REPORT, None)
