"""A workspace and a model that version 0.1.0 wrote (commit ddd87a8) are used as they are: nothing is computed again.

The archive: four classes of the sample, 20 products each (`cut_sample`), read from the folder `catalogue` with
`preset.toml`; `fuse --fusion average --seeds 2 --settings thesis`, `tune`, `refit`, `export`. `expected.json` is its
report, `predicted.csv` what its model said of the catalogue; `encoders/` is without the image network.
"""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusecat.pipeline.cli import cli
from fusecat.stages.fusion.restore import load
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.tune import read_tuned
from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.prediction.refit import read_refit
from fusecat.stages.workspace import Workspace
from tests.conftest import cut_sample

ARCHIVE = Path(__file__).parent / "archive" / "workspace-0.1.0.tar.gz"
FUSE = ("fuse", "--fusion", "average", "--seeds", "2", "--settings", "thesis", "--json")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as file:
        file.extractall(folder, filter="data")
    cut_sample(folder / "catalogue", classes=4, each=20)
    return folder


@pytest.fixture
def run(earlier, monkeypatch):
    monkeypatch.chdir(earlier)

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, [*words, "--workspace", "w"])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    return run


def test_features_are_hits(run):
    preset = ("--preset", "w/preset.toml", "--networks", "camembert,se_resnext50")
    plans = json.loads(run("extract", "catalogue", *preset, "--explain", "--json"))
    assert [plan["verdict"]["state"] for plan in plans] == ["hit"] * 4


def test_runs_are_hits_and_the_report_has_the_same_figures(earlier, run):
    report, expected = json.loads(run("report", "--json")), json.loads((earlier / "w" / "expected.json").read_text("utf-8"))
    kept = ("strategy", "features", "seeds", "parameters")

    def place(row):  # what ties on validation stood by name then, and stands by cost now
        score = round(row["validation"][expected["metric"].replace("-", "_")]["mean"], 9)
        return -score, len(row["features"]), row["parameters"], row["strategy"]

    ordered = sorted(expected["rows"], key=place)
    assert [[row[name] for name in kept] for row in report["rows"]] == [[row[name] for name in kept] for row in ordered]
    for row, before in zip(report["rows"], ordered, strict=True):
        for part in ("validation", "test"):
            for key, score in before[part].items():  # of the metrics that there were
                for name, value in score.items():
                    figure = None if value is None else pytest.approx(value, rel=1e-6)
                    assert row[part][key][name] == figure, (row["strategy"], part, key)
    assert report["chosen"] == expected["chosen"]
    for name, value in expected["headline"].items():
        figure = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
        assert report["headline"][name] == figure, name
    # rows that later versions add stand beside the runs that were there, which nothing touches
    kept_files = {path: path.stat().st_mtime_ns for path in (earlier / "w" / "runs").rglob("seed-*/*")}
    found = json.loads(run(*FUSE))
    assert len(found["runs"]) == len(list((earlier / "w" / "runs").rglob("run.json"))) > 20
    assert {path: path.stat().st_mtime_ns for path in kept_files} == kept_files


def test_runs_know_metrics_that_came_after_them(earlier, run):
    report = json.loads(run("report", "--json", "--metric", "top-3-accuracy"))
    values = [row["validation"]["top_3_accuracy"]["mean"] for row in report["rows"]]
    assert values == sorted(values, reverse=True) and len(set(values)) > 1
    for path in (earlier / "w" / "runs" / "baseline" / "average").rglob("run.json"):
        assert "top_3_accuracy" not in json.loads(path.read_text("utf-8"))["scores"]["validation"]


def test_a_metric_is_one_entry(earlier, tmp_path, monkeypatch):
    """Ranked by, fitted for, reported, exported and scored, though the table is all that knows of it."""
    error = Metric("error-rate", "error rate", lambda outcome: 1 - outcome.mean(outcome.right), sign=-1)
    monkeypatch.setitem(METRICS, error.name, error)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(earlier / "w", tmp_path / "w")
    shutil.copytree(earlier / "catalogue", tmp_path / "catalogue")

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, [*words, "--workspace", "w"])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    told = run(*FUSE[:-1], "--architecture", "baseline", "--metric", error.name, "--processes", "1")
    assert "chosen by error-rate on validation" in told and "macro-f1 chose their epochs" in told
    epochs = [epoch["error_rate"] for epoch in Runs(Path("w/runs")).record("baseline/average", 1)["curve"]]
    assert Runs(Path("w/runs")).record("baseline/average", 1)["settings"]["best_epoch"] - 1 in np.flatnonzero(
        np.array(epochs) == min(epochs)
    )
    report = json.loads(run("report", "--json"))
    values = [row["validation"]["error_rate"]["mean"] for row in report["rows"]]
    assert report["metric"] == error.name and values == sorted(values)
    assert "error rate" in Path("w/report/index.html").read_text("utf-8")
    assert "test_error_rate_mean" in Path("w/report/report.csv").read_text("utf-8")
    plans = json.loads(
        run("extract", "catalogue", "--preset", "w/preset.toml", "--networks", "camembert", "--explain", "--json")
    )
    assert {plan["verdict"]["state"] for plan in plans} == {"hit"}
    strategy = "probe/camembert.title"
    run("export", "model", "--strategy", strategy, "--metric", error.name)
    assert "error rate" in Path("model/README.md").read_text("utf-8")
    scored = json.loads(run("predict", "catalogue", "--strategy", strategy, "--json"))["scores"]
    assert scored["error_rate"] == pytest.approx(1 - scored["accuracy"])


def test_what_was_tuned_and_refitted_is_read(earlier, run):
    record = read_refit(Workspace(earlier / "w"))
    assert load(earlier / "w" / "refit" / "seed-1").strategy.name == record["strategy"] == "probe/se_resnext50.image"
    tuned = json.loads(run(*FUSE, "--tuned", "--architecture", "baseline"))["runs"]
    assert {line["strategy"] for line in tuned if line["tuned"]} == set(read_tuned(earlier / "w" / "tuning"))


def test_the_model_answers_as_it_did(earlier, run):
    run("predict", "catalogue", "--model", "w/model", "--output", "again.csv")
    assert (earlier / "again.csv").read_bytes() == (earlier / "w" / "predicted.csv").read_bytes()
