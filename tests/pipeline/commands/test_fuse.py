"""`fusecat fuse` and `fusecat tune` from the command line's side."""

import json

import pytest
from click.testing import CliRunner

from fusecat.pipeline.commands.fuse import Ticker, command
from fusecat.pipeline.commands.tune import command as tune
from fusecat.pipeline.console import console
from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.verdict import verdict
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.fit_settings import THESIS
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.vocabulary import Merge
from tests.stages.fusion.synthetic import table
from tests.stages.fusion.workspace import seal

ONE = ("--architecture", "baseline", "--seeds", "1", "--settings", "thesis")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return seal(table(products=120), tmp_path_factory.mktemp("study"))


def run(*arguments, command=command):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=True)


def test_it_prints_what_it_does_and_ends_with_the_comparison(workspace):
    result = run("--workspace", workspace, *ONE)
    assert result.exit_code == 0, result.output
    assert "heads fitted on train, chosen by macro-f1 on validation" in result.output
    assert "baseline/average" in result.output
    assert (workspace / "report" / "index.html").is_file()


def test_json_is_one_document_with_a_line_for_each_run(workspace):
    result = run("--workspace", workspace, *ONE, "--json")
    found = json.loads(result.output)
    learned = {"baseline/average", *(f"probe/{name}" for name in table(products=120).features)}
    assert learned <= {line["strategy"] for line in found["runs"]}
    assert found["left_out"] == {}


def test_the_command_stands_in_the_report_that_it_ends_with(workspace, monkeypatch):
    (workspace / "study.json").write_text('{"commands": ["fusecat extract"]}')
    monkeypatch.setattr("sys.argv", ["fusecat", "fuse", *ONE])
    try:
        assert run("--workspace", workspace, *ONE).exit_code == 0
    finally:
        (workspace / "study.json").unlink()
    page = (workspace / "report" / "index.html").read_text()
    assert "fusecat extract\nfusecat fuse --architecture baseline --seeds 1 --settings thesis\n" in page


def test_heads_are_fitted_as_the_fusion_table_of_a_preset_says(workspace, tmp_path):
    preset = tmp_path / "mine.toml"
    preset.write_text('base = "tiny"\n[fusion]\nsettings = "thesis"\nloss = "focal"\nepochs = 2\n')
    options = ("--workspace", workspace, "--architecture", "baseline", "--seeds", "1", "--json")
    assert run(*options, "--settings", preset).exit_code == 0
    settings = Runs(workspace / "runs").record("baseline/average", 1)["settings"]
    assert (settings["loss"], settings["epochs"], settings["learning_rate"]) == ("focal", 2, THESIS.learning_rate)
    (workspace / "study.json").write_text('{"fusion_settings": "thesis", "fusion": {"loss": "focal", "epochs": 2}}')
    try:
        before = (workspace / "runs" / "baseline" / "average" / "seed-1" / "run.json").stat().st_mtime_ns
        assert run(*options).exit_code == 0
        assert (workspace / "runs" / "baseline" / "average" / "seed-1" / "run.json").stat().st_mtime_ns == before
        (workspace / "study.json").write_text('{"fusion": {"los": "focal"}}')
        assert "there is no setting 'los'" in str(run(*options).exception)
    finally:
        (workspace / "study.json").unlink()
    assert "'nonesuch'" in str(run(*options, "--settings", "nonesuch").exception)


def test_vectors_may_stay_on_disk(workspace):
    held = json.loads(run("--workspace", workspace, *ONE, "--json").output)["runs"]
    streamed = json.loads(run("--workspace", workspace, *ONE, "--stream", "--json").output)["runs"]
    kept = [line for line in held if line["architecture"] != "logistic"]  # which needs its vectors in memory
    assert len(kept) == len(held) - 2
    held = kept
    assert [line["strategy"] for line in streamed] == [line["strategy"] for line in held]
    # fitted again, since the batches are others
    learned = [line["strategy"].startswith(("baseline", "probe", "late/probes")) for line in held]
    assert [line["fit_seconds"] != other["fit_seconds"] for line, other in zip(streamed, held, strict=True)] == learned


def test_what_cannot_run_is_named_and_left_out(tmp_path):
    made = table({"camembert.title_description": 6, "resnet.image": 8}, products=120)
    reason = "no network has features of two parts of a product, such as title and description"
    options = ("--workspace", seal(made, tmp_path), "--seeds", "1", "--settings", "thesis")
    found = json.loads(run(*options, "--json").output)
    assert found["left_out"]["hierarchical/average/average"] == reason
    assert f"left out: 3 of hierarchical, such as hierarchical/concatenation/average ({reason})" in run(*options).output
    assert f"Left out: hierarchical ({reason})." in verdict(compare(tmp_path))
    taken = {line["strategy"]: line["features"] for line in found["runs"]}
    assert taken["baseline/average"] == taken["flat/average"] == list(made.features)


def test_a_feature_alone_is_said_not_to_be_fused(tmp_path):
    made = table({"camembert.title": 6}, products=120)
    assert run("--workspace", seal(made, tmp_path), "--seeds", "1", "--settings", "thesis").exit_code == 0
    told = "Nothing is fused: a merge needs at least two features, and there is camembert.title alone."
    assert told in verdict(compare(tmp_path))


def test_every_merge_is_a_choice_and_shown_in_the_help():
    shown = run("--help").output
    assert all(merge.value in shown for merge in Merge)


def test_an_empty_workspace_is_one_error_that_says_what_to_do_first(tmp_path):
    result = run("--workspace", tmp_path)
    assert "run 'fusecat extract' or 'fusecat import' first" in str(result.exception)
    assert result.exception.exit_code == 4


def test_tuned_settings_are_found_by_tune_and_used_by_fuse(workspace):
    options = ("--architecture", "baseline", "--settings", "thesis")
    found = json.loads(run("--workspace", workspace, *options, "--trials", "1", "--json", command=tune).output)
    assert "baseline/average" in found
    tuned = json.loads(run("--workspace", workspace, *ONE, "--tuned", "--json").output)
    assert all(line["tuned"] for line in tuned["runs"] if line["architecture"] in ("baseline", "probe"))


def test_the_ticker_says_what_was_done_when_it_is_interrupted(capsys):
    class Run:
        strategy, seed, scores = "baseline/average", 1, {"validation": {"macro_f1": 0.5}}

    with pytest.raises(KeyboardInterrupt), Ticker(console(), MACRO_F1) as ticker:
        ticker(Run(), 1, 60)
        raise KeyboardInterrupt
    assert "1 of 60 runs done" in capsys.readouterr().out


def test_a_first_merge_is_refused_where_there_is_none(workspace):
    done = run("--architecture", "baseline", "--first-merge", "addition", "--workspace", workspace)
    assert isinstance(done.exception, UsageError)
    assert "--architecture baseline has no first merge" in str(done.exception)


def test_the_regression_is_fitted_alone_where_it_is_asked_for(workspace):
    options = ("--workspace", workspace, "--architecture", "logistic", "--seeds", "1", "--json")
    lines = json.loads(run(*options).output)["runs"]
    assert [line["strategy"] for line in lines if line["architecture"] == "logistic"] == ["logistic/flat", "logistic/baseline"]
    assert not [line for line in lines if line["architecture"] in ("baseline", "flat", "hierarchical", "text")]
