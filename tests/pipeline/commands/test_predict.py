"""`fusecat predict`, `export` and `refit` on a study: what the report chose is what they use."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.report.comparison import compare
from stages.scores import scores
from tests.conftest import read_table
from tests.stages.small_study import STRATEGIES, small_study


@pytest.fixture(scope="module")
def workspace(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_study(sample_cut, tmp_path_factory.getbasetemp() / "small study").root


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command; returns its JSON, or the line of its error where another exit code is expected."""

    def call(*arguments: str | Path, code: int = 0):
        monkeypatch.setattr(sys, "argv", ["fusecat", *map(str, arguments), *([] if code else ["--json"])])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert int(ended.value.code or 0) == code, captured.err
        return captured.err.strip() if code else json.loads(captured.out)

    return call


def test_the_chosen_strategy_predicts_and_the_test_products_score_as_in_the_report(run, workspace, sample_cut) -> None:
    comparison = compare(workspace, resamples=20)
    found = run("predict", sample_cut, "--workspace", workspace)
    assert found["strategy"] == comparison.chosen.strategy
    assert found["seeds"] == list(comparison.chosen.candidate.seeds)
    study, candidate = comparison.study, comparison.chosen.candidate
    assert found["scores"] == scores(study.labels("test"), study.probabilities(candidate, "test"))
    assert found["scored"] == len(study.labels("test"))
    assert found["left_out_of_scores"] == 180 - found["scored"]
    path = workspace / "predictions" / "catalogue.csv"
    assert found["output"] == str(path)
    assert [row["id"] for row in read_table(path, ",")] == [row["Integer_id"] for row in read_table(sample_cut / "X_train.tsv")]
    before = path.read_bytes()
    again = run("predict", sample_cut, "--workspace", workspace)
    assert set(again["encoded"].values()) == {0}
    assert path.read_bytes() == before
    assert not list((workspace / "predictions").glob("*.part"))


def test_another_strategy_and_one_run_can_be_named(run, workspace, sample_cut, tmp_path) -> None:
    options = ("--workspace", workspace, "--strategy", STRATEGIES[0], "--output", tmp_path / "here.tsv", "--format", "sigir")
    found = run("predict", sample_cut, *options, "--run", "2")
    assert (found["strategy"], found["seeds"]) == (STRATEGIES[0], [2])
    lines = read_table(tmp_path / "here.tsv")
    assert list(lines[0]) == ["Integer_id", "Image_id", "Product_id", "Prdtypecode"]
    given = read_table(sample_cut / "X_train.tsv")
    numbers = ("Integer_id", "Image_id", "Product_id")
    assert [[line[name] for name in numbers] for line in lines] == [[row[name] for name in numbers] for row in given]


def test_an_exported_model_gives_the_same_file(run, workspace, sample_cut, tmp_path) -> None:
    options = ("--workspace", workspace, "--strategy", STRATEGIES[1])
    first = run("predict", sample_cut, *options, "--output", tmp_path / "one.csv")
    exported = run("export", tmp_path / "model", *options)
    assert exported["strategy"] == STRATEGIES[1]
    elsewhere = tmp_path / "elsewhere"
    found = run(
        "predict", sample_cut, "--model", tmp_path / "model", "--workspace", elsewhere, "--output", tmp_path / "two.csv"
    )
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert found["scored"] == 180  # the model does not say which products taught it
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert f"| test | {first['scores']['macro_f1']:.4f} |" in card
    for heading in ("## Data", "## Scores", "## Limits", "## Licence"):
        assert heading in card
    assert "Mammifères" in card


def test_refitted_heads_are_used_on_demand_and_never_scored_on_the_study(run, workspace, sample_cut, tmp_path) -> None:
    other = Path(shutil.copytree(workspace, tmp_path / "workspace"))
    assert "fusecat refit" in run("predict", sample_cut, "--workspace", other, "--refit", code=4)
    record = run("refit", "--workspace", other, "--strategy", STRATEGIES[1])
    assert record["products"] == 180
    found = run("predict", sample_cut, "--workspace", other, "--refit")
    assert found["strategy"] == STRATEGIES[1]
    assert found["scores"] is None
    assert found["left_out_of_scores"] == 180
    run("export", tmp_path / "model", "--workspace", other, "--refit")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "nothing is left to test them on" in card
    assert "| test |" not in card


def test_abstaining_is_counted(run, workspace, sample_cut, tmp_path) -> None:
    options = ("--workspace", workspace, "--strategy", STRATEGIES[1], "--output", tmp_path / "a.csv", "--top", "1")
    chances = [
        float(row["probability"]) for _ in [run("predict", sample_cut, *options)] for row in read_table(tmp_path / "a.csv", ",")
    ]
    bound = float(np.median(chances))
    found = run("predict", sample_cut, *options, "--threshold", bound)
    rows = read_table(tmp_path / "a.csv", ",")
    assert 0 < found["abstained"] == sum(row["code"] == "" for row in rows) < 180


def test_mistakes_end_in_one_line(run, workspace, sample_cut, tmp_path) -> None:
    where = ("--workspace", workspace)
    assert "baseline/average" in run("predict", sample_cut, *where, "--strategy", "baseline/averag", code=2)
    assert "--model" in run("predict", sample_cut, *where, "--model", tmp_path, "--strategy", "late/mean", code=2)
    assert "export" in run("predict", sample_cut, *where, "--model", tmp_path, code=4)
    assert "no such run" in run("predict", sample_cut, *where, "--strategy", STRATEGIES[0], "--run", "7", code=4)
    assert "sigir layout" in run("predict", sample_cut, *where, "--format", "ens", code=2)
    assert "no such folder" in run("predict", sample_cut, "--workspace", tmp_path / "nowhere", code=2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert "not empty" in run("export", tmp_path / "full", *where, code=2)
    assert (tmp_path / "full" / "thesis.tex").exists()
