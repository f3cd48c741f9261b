"""A workspace and a model that version 0.1.0 wrote (commit ddd87a8) are used as they are: nothing is computed again.

The archive: four classes of the sample, 20 products each (`cut_sample`), read from the folder `catalogue` with
`preset.toml`; `fuse --fusion average --seeds 2 --settings thesis`, `tune`, `refit`, `export`. `expected.json` is its
report, `predicted.csv` what its model said of the catalogue; `encoders/` is without the image network.
"""

import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from fusecat.pipeline.cli import cli
from fusecat.stages.fusion.restore import load
from fusecat.stages.fusion.tune import read_tuned
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
    before = {path: path.stat().st_mtime_ns for path in (earlier / "w" / "runs").rglob("seed-*/*")}
    found = json.loads(run(*FUSE))
    assert len(found["runs"]) == len(list((earlier / "w" / "runs").rglob("run.json"))) > 20
    assert {path: path.stat().st_mtime_ns for path in (earlier / "w" / "runs").rglob("seed-*/*")} == before
    report, expected = json.loads(run("report", "--json")), json.loads((earlier / "w" / "expected.json").read_text("utf-8"))
    kept = ("strategy", "features", "seeds", "validation", "test", "parameters")
    assert [[row[name] for name in kept] for row in report["rows"]] == [
        [row[name] for name in kept] for row in expected["rows"]
    ]
    assert report["chosen"] == expected["chosen"] and report["headline"] == expected["headline"]


def test_what_was_tuned_and_refitted_is_read(earlier, run):
    record = read_refit(Workspace(earlier / "w"))
    assert load(earlier / "w" / "refit" / "seed-1").strategy.name == record["strategy"] == "probe/se_resnext50.image"
    tuned = json.loads(run(*FUSE, "--tuned", "--architecture", "baseline"))["runs"]
    assert {line["strategy"] for line in tuned if line["tuned"]} == set(read_tuned(earlier / "w" / "tuning"))


def test_the_model_answers_as_it_did(earlier, run):
    run("predict", "catalogue", "--model", "w/model", "--output", "again.csv")
    assert (earlier / "again.csv").read_bytes() == (earlier / "w" / "predicted.csv").read_bytes()
