"""`fusecat predict`, `export` and `refit` on a study: what the report chose is what they use."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fusecat.cache.store import FeatureCache
from fusecat.pipeline.cli import main
from fusecat.pipeline.report.comparison import compare
from fusecat.stages.calibration import temperature, tempered
from fusecat.stages.scores import scores
from fusecat.stages.study_record import change_study
from fusecat.stages.workspace import Workspace
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
    heat = temperature(study.probabilities(candidate, "validation"), study.labels("validation"))
    assert found["scores"] == scores(study.labels("test"), tempered(study.probabilities(candidate, "test")[:], heat))
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
    assert "Title, description and picture of a product in" in card and "heads of seeds 1, 2, averaged" in card
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


def test_refit_reads_from_disk_what_does_not_fit_into_memory(run, workspace, tmp_path, monkeypatch) -> None:
    other = Path(shutil.copytree(workspace, tmp_path / "workspace"))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=0))
    monkeypatch.setattr(FeatureCache, "table", lambda *_: pytest.fail("all of it was read"))
    for strategy in STRATEGIES:
        assert run("refit", "--workspace", other, "--strategy", strategy)["compared_on"]


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


def test_a_study_of_imported_vectors_alone_predicts_imported_vectors(run, tmp_path) -> None:
    random, labels = np.random.default_rng(0), np.arange(150) % 3
    (tmp_path / "labels.csv").write_text("id,label\n" + "\n".join(f"p{at},{at % 3}" for at in range(150)), encoding="utf-8")
    (tmp_path / "ids.csv").write_text("\n".join(f"p{at}" for at in range(150)), encoding="utf-8")
    (tmp_path / "new.csv").write_text("\n".join(f"n{at}" for at in range(20)), encoding="utf-8")
    where, centres = ("--workspace", tmp_path / "w"), random.normal(size=(3, 8)) * 6
    vectors: list[str] = []
    for name in ("mine.title_description", "mine.image"):
        np.save(tmp_path / f"{name}.npy", (centres[labels] + random.normal(size=(150, 8))).astype(np.float32))
        np.save(tmp_path / f"{name}.new.npy", (centres[labels[:20]] + random.normal(size=(20, 8))).astype(np.float32))
        files = ("--vectors", tmp_path / f"{name}.npy", "--ids", tmp_path / "ids.csv", "--labels", tmp_path / "labels.csv")
        run("import", "--name", name, "--fitted-on", "none", *files, *where)
        vectors += ["--vectors", f"{name}={tmp_path / f'{name}.new.npy'}"]
    run("fuse", "--fusion", "average", "--architecture", "baseline", "--seeds", "1", *where)
    options = (*where, "--strategy", "baseline/average", "--output", tmp_path / "out.csv")
    found = run("predict", *options, *vectors, "--ids", tmp_path / "new.csv")
    rows = read_table(tmp_path / "out.csv", ",")
    assert [row["id"] for row in rows] == [f"n{at}" for at in range(20)]
    assert sum(int(row["code"]) == at % 3 for at, row in enumerate(rows)) >= 15
    assert found["vectors"]["mine.image"]["joined"] == 20
    assert {row["flag"] for row in rows} == {""}
    (tmp_path / "products.csv").write_text("id,title\n" + "\n".join(f"n{at},un titre" for at in range(20)), encoding="utf-8")
    catalogue = (tmp_path / "products.csv", "--columns", "id=id,title=title")
    told = run("predict", *catalogue, *options, *vectors[2:], "--ids", tmp_path / "new.csv", code=4)
    assert "needs mine.title_description, which no network here computes" in told
    # rows of the study under ids of others, among new ones: only what is new is scored
    for name in ("mine.title_description", "mine.image"):
        both = [np.load(tmp_path / f"{name}{end}.npy") for end in ("", ".new")]
        np.save(tmp_path / f"{name}.mixed.npy", np.concatenate(both))
    names = [f"p{(at + 3) % 150}" for at in range(150)] + [f"n{at}" for at in range(20)]
    (tmp_path / "mixed.csv").write_text("\n".join(names), encoding="utf-8")
    truth = [*labels, *labels[:20]]
    lines = [f"{name},un titre,{label}" for name, label in zip(names, truth, strict=True)]
    (tmp_path / "judged.csv").write_text("\n".join(["id,title,label", *lines]), encoding="utf-8")
    mixed = [word.replace(".new.npy", ".mixed.npy") for word in vectors]
    judged = ("--columns", "id=id,title=title,label=label", "--images", "none", "--ids", tmp_path / "mixed.csv")
    found = run("predict", tmp_path / "judged.csv", *judged, *mixed, *options[:-1], tmp_path / "judged.out")
    parts = json.loads((tmp_path / "w" / "split.json").read_text(encoding="utf-8"))["parts"]
    tests = list(parts.values()).count("test")
    assert (found["left_out_by"], found["left_out_of_scores"], found["scored"]) == ("content", 150 - tests, 20 + tests)
    run("export", tmp_path / "model", *where, "--strategy", "baseline/average")
    again = ("--model", tmp_path / "model", "--output", tmp_path / "again.csv", "--workspace", tmp_path / "elsewhere")
    run("predict", *again, *vectors, "--ids", tmp_path / "new.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert "--vectors mine.image=FILE" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--vectors", "camembert.title"), "--vectors camembert.title: FEATURE=... is needed"),
        (("--vectors", "camembert.title=nowhere.npy"), "nowhere.npy: there is no such file"),
        (("--ids", "nowhere.csv"), "--ids nowhere.csv: pass one for all --vectors"),
        (("--logits", "camembert.title=a.npy"), "--logits a.npy|there is no such file"),
        (("--key", "camembert.title=v"), "--key camembert.title: no --vectors are given for it"),
    ],
)
def test_vectors_that_make_no_sense_are_refused(run, workspace, sample_cut, words, told) -> None:
    assert re.search(told, run("predict", sample_cut, "--workspace", workspace, *words, code=2))


def test_a_new_catalogue_is_read_as_the_study_s_was(run, workspace, sample_cut, tmp_path) -> None:
    other = Path(shutil.copytree(workspace, tmp_path / "workspace"))
    columns = {"id": "sku", "title": "nom", "label": "rayon", "image": "photo"}
    reading = {"columns": columns, "images": "none", "max_images": 1, "follow_symlinks": False, "encoding": "cp1252"}
    change_study(Workspace(other), lambda study: replace(study, reading=reading))
    new = tmp_path / "new.csv"
    new.write_text("sku;nom;photo\n1;gâteau;a.jpg\n2;chaîne;b.jpg\n", encoding="cp1252")
    where = ("--workspace", other, "--strategy", STRATEGIES[3], "--output", tmp_path / "out.csv")
    found = run("predict", new, *where)
    assert (found["products"], found["flagged"]["without_title"], found["flagged"]["without_image"]) == (2, 0, 2)
    assert "0 of 2 images found" in run("predict", new, *where, "--images", "first", code=3)
    run("export", tmp_path / "model", "--workspace", other, "--strategy", STRATEGIES[3])
    model = ("--model", tmp_path / "model", "--workspace", tmp_path / "elsewhere", "--output", tmp_path / "again.csv")
    run("predict", new, *model)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    challenge = tmp_path / "sigir"
    shutil.copytree(sample_cut, challenge, ignore=shutil.ignore_patterns("image_training"))
    assert run("predict", challenge, *where)["flagged"]["without_image"] == 180


def test_pictures_that_were_too_large_for_the_study_are_too_large_for_its_model(run, workspace, sample_cut, tmp_path) -> None:
    other = Path(shutil.copytree(workspace, tmp_path / "workspace"))
    change_study(Workspace(other), lambda study: replace(study, reading={"max_image_pixels": 100}))
    where = ("--strategy", "hierarchical/concatenation/average", "--output", tmp_path / "out.csv")
    assert run("predict", sample_cut, "--workspace", other, *where)["flagged"]["without_image"] == 180
    assert run("predict", sample_cut, "--workspace", workspace, *where)["flagged"]["without_image"] < 180
    told = ("--max-image-pixels", 40_000_000)
    assert run("predict", sample_cut, "--workspace", other, *where, *told)["flagged"]["without_image"] < 180
    run("export", tmp_path / "model", "--workspace", other, "--strategy", where[1])
    model = ("--model", tmp_path / "model", "--workspace", tmp_path / "elsewhere", "--output", tmp_path / "again.csv")
    assert run("predict", sample_cut, *model)["flagged"]["without_image"] == 180
