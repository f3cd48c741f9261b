"""What is asked beside the ranking: worked out once, kept for the same runs, shown in page, JSON and terminal."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from fusecat.cache.store import FeatureCache
from fusecat.pipeline.commands.fuse import command as fuse_command
from fusecat.pipeline.commands.report import command
from fusecat.pipeline.compare import compare as compare_arrays
from fusecat.pipeline.report.answers import Question
from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.costs import cheap, seconds
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.fit_data import FitData
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from tests.stages.fusion.synthetic import table
from tests.stages.fusion.workspace import seal

ALL = ("--curve", "--contribution", "--missing", "--labels")
NAMES = ("baseline/average", "probe/words.title", "probe/pixels.image")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Frozen vectors of one's own, of which somebody said that no label of this catalogue shaped them."""
    root = tmp_path_factory.mktemp("asked")
    made = table({"words.title": 8, "pixels.image": 8}, products=400, signal=0.8)
    seal(made, root)
    told = {name: {"imported": f"{name}.npy", "fitted_on": []} for name in made.features}
    (root / "study.json").write_text(json.dumps({"features": told, "metric": "macro-f1"}), encoding="utf-8")
    strategies = [Strategy.parse(name) for name in NAMES]
    fuse(FeatureCache(root / "features").table(), strategies, Runs(root / "runs"), FitSettings(epochs=6, steps=0), seeds=2)
    return root


@pytest.fixture(scope="module")
def asked(workspace):
    return run(workspace, *ALL)


def run(root, *options, code=0):
    result = CliRunner().invoke(command, ["--workspace", str(root), *options])
    assert result.exit_code == code or result.exception, result.output
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_answers_stand_in_the_terminal_the_page_and_the_json(workspace, asked):
    report = json.loads((workspace / "report" / "report.json").read_text())
    answers, said = report["asked"], " ".join(asked.split())
    curve = answers["curve"]
    assert [point["share"] for point in curve["points"]] == [0.1, 0.2, 0.5, 1.0]
    assert all(point["low"] <= point["mean"] <= point["high"] for point in curve["points"])
    assert curve["honest"] and curve["doubled"]["low"] <= curve["doubled"]["gain"] <= curve["doubled"]["high"]
    assert "would bring about" in said and "not a measurement" in said
    lines = answers["contribution"]["lines"]
    assert [line["player"] for line in lines] == ["title", "image"]
    for part in ("validation", "test"):
        total = sum(line[part]["value"] for line in lines)
        assert 0.1 < total < 1
    assert "Contribution of fields on validation in points (Shapley): title +" in said
    page = (workspace / "report" / "index.html").read_text()
    assert all(f'<section id="{name}"' in page for name in ("curve", "contribution", "missing", "labels"))


def test_what_a_missing_field_costs_begins_with_the_head_s_own_score(workspace, asked):
    report = json.loads((workspace / "report" / "report.json").read_text())
    missing, rows = report["asked"]["missing"], {row["strategy"]: row for row in report["rows"]}
    assert missing["shares"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    for line in missing["lines"]:
        scores = [score["mean"] for score in line["scores"]]
        assert scores[0] == pytest.approx(rows[missing["strategy"]]["test"]["macro_f1"]["mean"])
        assert scores[-1] < scores[0] - 0.02
        without = rows[missing["strategy"]]["controls"][f"without {line['field']}"]["macro_f1"]
        assert scores[-1] == pytest.approx(without, abs=1e-6), "all of it missing is the control"


def test_doubted_labels_are_a_table_for_whoever_decides(workspace, asked):
    lines = list(csv.DictReader((workspace / "report" / "suspected-labels.csv").read_text().splitlines()))
    answer = json.loads((workspace / "report" / "report.json").read_text())["asked"]["labels"]
    assert len(lines) == sum(answer["by_class"].values()) and f"{len(lines)} of {answer['examined']}" in asked
    assert "products" not in answer, "ids stand in the table alone"
    assert all(line["label"] != line["suggested"] and line["decision"] == "" for line in lines)
    gaps = [float(line["p_label"]) - float(line["p_suggested"]) for line in lines]
    assert gaps == sorted(gaps)


def test_what_is_worked_out_is_kept_for_the_same_runs_only(workspace, asked, monkeypatch):
    kept = (workspace / "questions.json").read_bytes()
    monkeypatch.setattr("fusecat.stages.fusion.learning_curve.learning_curve", None)
    assert "would bring about" in " ".join(run(workspace).split())
    run(workspace, *ALL)
    assert (workspace / "questions.json").read_bytes() == kept
    run(workspace, "--shareable")
    shared = workspace / "report-shareable"
    assert not (shared / "suspected-labels.csv").exists()
    ids = FeatureCache(workspace / "features").table().ids
    assert not any(f">{name}<" in (shared / "index.html").read_text() for name in ids)
    answer = run(workspace, "--metric", "accuracy", "--json")
    assert list(json.loads(answer)["asked"]) == ["labels"], "of heads, another metric is another question"


def test_a_damaged_file_of_answers_is_told_and_written_anew(workspace, asked):
    path = workspace / "questions.json"
    whole = path.read_bytes()

    def said():
        ended = CliRunner().invoke(command, ["--workspace", str(workspace), "--json"])
        told = json.loads(ended.stdout)["asked"]
        found = {question: {name: each for name, each in told[question].items() if name != "seconds"} for question in told}
        return found, "questions.json: damaged" in ended.stderr.replace("\n", " ")

    before, _ = said()
    for damaged in (whole[:-40], whole.replace(b'"share":0.5', b'"share":0.9').replace(b'"share": 0.5', b'"share": 0.9')):
        path.write_bytes(damaged)
        assert said() == (before, True)


def test_what_has_no_answer_is_refused_with_a_way_out(workspace, tmp_path):
    made = table({"a.title": 6}, products=200)
    kept = FeatureCache(seal(made, tmp_path) / "features").table()
    fuse(kept, [Strategy.parse("unimodal/a.title")], Runs(tmp_path / "runs"), seeds=1)
    for option, reason in (
        ("--curve", "no strategy here has a head"),
        ("--contribution", "no head here merges features"),
        ("--missing", "no head here merges features"),
    ):
        with pytest.raises(UsageError, match=f"{option}: {reason}.*fusecat fuse"):
            run(tmp_path, option)
    shutil.rmtree(tmp_path / "features")
    with pytest.raises(UsageError, match=r"--labels: .*features holds no feature to ask"):
        run(tmp_path, "--labels")
    with pytest.raises(UsageError, match="--curve is asked of one workspace"):
        run(tmp_path, "--pool", "--curve", str(workspace))


def test_networks_that_know_the_labels_promise_nothing(tmp_path):
    made = table({"a.title": 6, "b.image": 6}, products=200)  # fitted on train
    kept = FeatureCache(seal(made, tmp_path) / "features").table()
    fuse(kept, [Strategy.parse("flat/average")], Runs(tmp_path / "runs"), FitSettings(epochs=2, steps=0), seeds=1)
    said = " ".join(run(tmp_path, "--curve").split())
    assert "it is no forecast" in said and "would bring" not in said


FUSED = ("--architecture", "baseline", "--settings", "thesis", "--seeds", "2")


def fused(root, *options):
    result = CliRunner().invoke(fuse_command, ["--workspace", str(root), *FUSED, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_small_studies_are_told_unasked_unless_somebody_wants_none_of_it(workspace, tmp_path, monkeypatch):
    shutil.copytree(workspace / "features", tmp_path / "features")
    shutil.copy(workspace / "study.json", tmp_path)
    said = fused(tmp_path, "--no-questions")
    assert "Learning curve" not in said and not (tmp_path / "questions.json").exists()
    monkeypatch.setattr("fusecat.pipeline.report.costs.CHEAP", 0.0)
    said = fused(tmp_path)
    assert f"Not worked out, as it takes longer: fusecat report {tmp_path} --curve (about" in said
    assert "Learning curve" not in said and not (tmp_path / "questions.json").exists()
    monkeypatch.undo()
    said = fused(tmp_path)
    assert all(word in said for word in ("Learning curve", "Contribution of", "training labels are doubted"))
    assert "Not worked out" not in said
    assert set(json.loads((tmp_path / "report" / "report.json").read_text())["asked"]) == set(Question)


def test_an_answer_stays_when_runs_are_added_that_it_is_not_about(workspace, asked, monkeypatch):
    before = json.loads((workspace / "questions.json").read_text())["answers"]
    kept, strategies = FeatureCache(workspace / "features").table(), [Strategy.parse(name) for name in (*NAMES, "late/probes")]
    fuse(kept, strategies, Runs(workspace / "runs"), FitSettings(epochs=6, steps=0), seeds=2)
    try:
        monkeypatch.setattr("fusecat.stages.fusion.contribution.games", None)
        found = json.loads(run(workspace, "--curve", "--contribution", "--json"))["asked"]
        assert found["curve"] == before["curve"]["answer"] and "labels" not in found
    finally:
        shutil.rmtree(workspace / "runs" / "late")


def test_what_runs_say_already_is_not_fitted_again(workspace, tmp_path, monkeypatch):
    """Of the curve all but the last point, of the contribution the pair: probes are there, with the same figures."""
    for name in ("features", "runs"):
        shutil.copytree(workspace / name, tmp_path / name)
    shutil.copy(workspace / "study.json", tmp_path)
    fits, plain = [], FitData.fit
    monkeypatch.setattr(
        FitData, "fit", lambda self, strategy, *of, **more: fits.append(strategy.name) or plain(self, strategy, *of, **more)
    )
    found = json.loads(run(tmp_path, "--curve", "--contribution", "--json"))
    curve, lines = found["asked"]["curve"], found["asked"]["contribution"]["lines"]
    assert len([name for name in fits if name == curve["strategy"]]) == 3 * 3 + 1, "two seeds of three were fitted on all"
    assert not any(name.startswith("probe") for name in fits if name != curve["strategy"])
    rows = {row["strategy"]: row for row in found["rows"]}
    assert lines[0]["alone"] == pytest.approx(rows["probe/words.title"]["validation"]["macro_f1"]["mean"])


def test_costs_grow_with_products_and_heads_and_nothing_is_asked_that_has_no_answer(workspace, tmp_path):
    comparison = compare(workspace)
    costs = {question: seconds(question, comparison) for question in Question}
    assert all(0 <= cost < 10 for cost in costs.values()) and set(cheap(comparison)) == set(Question)
    row = comparison.rows[0]
    wide = replace(
        row, candidate=replace(row.candidate, runs=tuple(replace(each, parameters=10**9) for each in row.candidate.runs))
    )
    larger = replace(comparison, rows=(wide, *comparison.rows[1:]))
    assert seconds(Question.CURVE, larger) > 50 * costs[Question.CURVE]
    made = table({"a.title": 6}, products=200)
    fuse(
        FeatureCache(seal(made, tmp_path) / "features").table(),
        [Strategy.parse("unimodal/a.title")],
        Runs(tmp_path / "runs"),
        seeds=1,
    )
    assert cheap(compare(tmp_path)) == []


def test_a_notebook_gets_the_same_answers_when_it_looks(workspace, asked):
    made = table({"words.title": 8, "pixels.image": 8}, products=400, signal=0.8)
    features = {name: feature.embedding for name, feature in made.features.items()}
    options = {"present": {name: feature.present for name, feature in made.features.items()}, "fusion": "average", "seeds": 2}
    found = compare_arrays(features, made.labels, splits=1, settings=FitSettings(epochs=6, steps=0), **options)
    assert "answers" not in vars(found)
    assert list(found.answers) == list(Question) and found.answers["curve"]["honest"]
    assert found.answers is found.answers and not found.study.workspace.root.exists()
    missing = found.answers["missing"]
    own = found.row(missing["strategy"]).parts["test"]["macro_f1"].mean
    assert missing["lines"][0]["scores"][0]["mean"] == pytest.approx(own), "the heads that were compared, fitted again"
    assert '<section id="curve"' in found.to_html()
    assert list(found.ask("curve")) == ["curve"]
    with pytest.raises(ValueError, match="'curves' is not a valid Question"):
        found.ask("curves")
