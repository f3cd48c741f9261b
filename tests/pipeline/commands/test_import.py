"""`fusecat import`: from two files to a workspace that stage two can use."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusecat.cache.store import FeatureCache
from fusecat.pipeline.cli import cli
from fusecat.stages.catalogue.split import Split
from fusecat.stages.errors import UsageError
from fusecat.stages.external.align import new_split
from fusecat.stages.vocabulary import SplitProtocol

SMALL = Path(__file__).parents[2] / "small.toml"


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32))
    (tmp_path / "ids.csv").write_text("\n".join(f"p{number}" for number in range(100)))
    (tmp_path / "labels.csv").write_text("id,label\n" + "\n".join(f"p{number},{number % 2}" for number in range(120)))
    return tmp_path


def run(files, *words):
    words = ["import", "--vectors", files / "v.npy", "--ids", files / "ids.csv", "--workspace", files / "w", *words]
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_labels_and_vectors_make_a_study(files):
    done = run(files, "--name", "mine", "--field", "title", "--labels", files / "labels.csv", "--protocol", "90-10")
    assert done.exit_code == 0, done.exception
    assert "for 100 of 120 products" in done.output and "20 products have no vector" in done.output
    assert "Nobody said which rows the encoder was fitted on" in done.output
    table = FeatureCache(files / "w" / "features").table()
    assert table.features["mine.title"].fitted_on is None
    assert len(table.rows("validation")) == 12 and len(table.rows("test")) == 0
    study = json.loads((files / "w" / "study.json").read_text())
    assert (study["products"], study["labelled"], study["split"]["counts"]) == (120, 120, {"train": 108, "validation": 12})
    assert study["features"]["mine.title"]["field"] == "title"
    catalogue, parting = new_split(files / "labels.csv", protocol=SplitProtocol.NO_TEST, head_share=0, seed=2020)
    assert Split.read(files / "w" / "split.json", catalogue).parts == parting.parts


def test_a_second_import_joins_and_json_is_json(files):
    assert run(files, "--name", "mine.title", "--labels", files / "labels.csv").exit_code == 0
    done = run(files, "--name", "mine.image", "--fitted-on", "none", "--json")
    record = json.loads(done.stdout)
    assert (record["feature"], record["state"], record["absent"], record["fitted_on"]) == ("mine.image", "sealed", 20, [])
    assert set(FeatureCache(files / "w" / "features").table().features) == {"mine.image", "mine.title"}
    assert set(json.loads((files / "w" / "study.json").read_text())["features"]) == {"mine.image", "mine.title"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "mine.title"], "--labels: .* knows no products yet"),
        (["--name", "mine"], "pass --field, or end the name with one: mine.title"),
        (["--name", "mine.title", "--field", "image"], "leave one of them out"),
    ],
)
def test_what_is_missing_is_named(files, words, told):
    done = run(files, *words)
    assert isinstance(done.exception, UsageError)
    assert re.search(told, str(done.exception))
    assert not (files / "w").exists()


def test_another_split_than_that_of_the_workspace_is_refused(files):
    drawn = ["--protocol", "90-10", "--split-seed", "7", "--head-share", "0.2"]
    assert run(files, "--name", "mine.title", "--labels", files / "labels.csv", *drawn).exit_code == 0
    assert run(files, "--name", "same.title", *drawn).exit_code == 0
    assert run(files, "--name", "silent.title").exit_code == 0
    for flag, value, held in (("--protocol", "80-20", "90-10"), ("--split-seed", "2020", "7"), ("--head-share", "0", "0.2")):
        done = run(files, "--name", "other.title", flag, value)
        assert isinstance(done.exception, UsageError)
        assert re.search(rf"{flag} {value}\S*: .* was split with {flag} {held}; leave {flag} out", str(done.exception))
    (files / "w" / "study.json").unlink()
    assert "was split already" in str(run(files, "--name", "other.title", *drawn).exception)


def test_a_failed_first_import_leaves_no_split_behind(files):
    words = ["--name", "mine.title", "--labels", files / "labels.csv", "--split-seed"]
    vectors = np.load(files / "v.npy")
    np.save(files / "v.npy", vectors * np.nan)
    assert run(files, *words, "1").exit_code != 0
    assert not (files / "w" / "split.json").exists()
    np.save(files / "v.npy", vectors)
    assert run(files, *words, "2").exit_code == 0
    assert json.loads((files / "w" / "split.json").read_text())["seed"] == 2


def test_ids_that_the_encoder_saw_and_nobody_knows_are_counted_and_named(files):
    (files / "seen.txt").write_text("p3\np4\nstranger\n")
    done = run(files, "--name", "mine.title", "--labels", files / "labels.csv", "--fitted-on", files / "seen.txt")
    assert "1 ids of --fitted-on belong to no product; first: 'stranger'" in done.output


def extracted(files, *words, code=0):
    """`fusecat extract` of 60 products whose columns, encoding and number have to be told: one network of one field."""
    products = files / "own.csv"
    if not products.exists():
        rows = [f"p{number};{'chaîne' if number % 2 else 'gâteau'} {number};{number % 2}" for number in range(80)]
        products.write_text("\n".join(["sku;nom;rayon", *rows]), encoding="cp1252")
    told = ["--columns", "id=sku,title=nom,label=rayon", "--encoding", "cp1252", "--limit", "60"]
    network = ["--preset", SMALL, "--networks", "camembert", "--fields", "title", "--epochs", "1"]
    words = ["extract", products, *told, *network, "--workspace", files / "w", *words]
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, done.exception
    return done


def test_without_features_the_catalogue_is_read_as_extract_read_it(files):
    extracted(files)
    shutil.rmtree(files / "w" / "features")
    done = run(files, "--name", "mine.title")
    assert done.exit_code == 0, done.exception
    assert "for 60 of 60 products" in done.output and "40 vectors belong to no product" in done.output


def test_without_features_a_study_of_labels_alone_is_read_from_its_labels(files):
    assert run(files, "--name", "mine.title", "--labels", files / "labels.csv").exit_code == 0
    shutil.rmtree(files / "w" / "features")
    assert "for 100 of 120 products" in run(files, "--name", "other.title").output


def test_extract_after_import_keeps_what_was_imported(files):
    extracted(files)
    assert run(files, "--name", "mine.title", "--fitted-on", "none").exit_code == 0
    imported = json.loads((files / "w" / "study.json").read_text())["features"]["mine.title"]
    assert imported["imported"] == "v.npy"
    extracted(files)
    features = json.loads((files / "w" / "study.json").read_text())["features"]
    assert features["mine.title"] == imported
    assert set(features) == {"camembert.title", "mine.title"}
    assert set(FeatureCache(files / "w" / "features").table().features) == {"camembert.title", "mine.title"}


def test_copies_on_both_sides_are_warned_of_and_groups_keep_them_together(files):
    vectors = np.load(files / "v.npy")
    vectors[50:] = vectors[:50]
    np.save(files / "v.npy", vectors)
    lines = [f"p{number},{number % 2},{number % 50 if number < 100 else ''}" for number in range(120)]
    (files / "labels.csv").write_text("id,label,model\n" + "\n".join(lines))
    words = ["--name", "mine.title", "--labels", files / "labels.csv"]
    told = json.loads(run(files, *words, "--json").stdout)["warnings"]
    assert len(told) == 1 and "validation and test rows have the vectors of a row of train" in told[0]
    assert "--group-by COLUMN" in run(files, *words).output
    assert "--group-by model: " in (told := str(run(files, *words, "--group-by", "model").exception)) and "otherwise" in told
    assert isinstance(run(files, *words, "--group-by", "nothing", "--workspace", files / "w2").exception, UsageError)
    done = run(files, *words, "--group-by", "model", "--workspace", files / "w2", "--json")
    assert json.loads(done.stdout)["warnings"] == []
    assert run(files, *words, "--group-by", "model", "--workspace", files / "w2").exit_code == 0
    study = json.loads((files / "w2" / "study.json").read_text())
    assert study["split"]["groups"] == {"count": 50, "products": 100, "largest": ["p0", "p50"]}


def test_a_column_of_the_labels_says_the_part(files):
    parts = ["train"] * 7 + ["val", "TEST", ""]
    lines = [f"p{number},{number % 2},{parts[number // 2 % 10]}" for number in range(120)]
    (files / "labels.csv").write_text("id,label,fold\n" + "\n".join(lines))
    done = run(files, "--name", "mine.title", "--labels", files / "labels.csv", "--split-column", "fold")
    assert done.exit_code == 0, done.exception
    table = FeatureCache(files / "w" / "features").table()
    assert [len(table.rows(part)) for part in ("train", "validation", "test")] == [84, 12, 12]
    (files / "labels.csv").write_text("id,label,fold\n" + "\n".join([*lines[:3], "p3,1,rest", *lines[4:]]))
    words = ["--name", "mine.title", "--labels", files / "labels.csv", "--split-column", "fold", "--workspace", files / "w2"]
    assert "labels.csv: line 5, column fold: 'rest' is no part" in str(run(files, *words).exception)


@pytest.mark.parametrize("fields", [("words.title", "pix.image"), ("a.title", "b.title"), ("a.title", "a.description")])
def test_whatever_is_imported_is_fused(files, fields):
    for name in fields:
        assert run(files, "--name", name, "--labels", files / "labels.csv", "--fitted-on", "none").exit_code == 0
    done = CliRunner().invoke(cli, ["fuse", "--seeds", "1", "--settings", "thesis", "--workspace", str(files / "w")])
    assert done.exit_code == 0, done.exception
    assert (files / "w" / "runs" / "flat" / "average" / "seed-1" / "run.json").is_file()
    assert "Left out: " in done.output


def test_vectors_that_tell_nothing_or_the_class_itself_are_warned_of(files):
    labels, vectors = np.arange(100) % 2, np.load(files / "v.npy")
    odd = ((np.ones((100, 4)), "nothing is learnt of it"), (np.c_[vectors, labels], "is it the label?"))
    for number, (array, told) in enumerate(odd):
        np.save(files / "v.npy", array.astype(np.float32))
        words = ("--name", "mine.title", "--labels", files / "labels.csv", "--workspace", files / f"w{number}")
        assert told in json.loads(run(files, *words, "--json").stdout)["warnings"][0]
