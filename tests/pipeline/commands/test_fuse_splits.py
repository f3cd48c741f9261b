"""`fuse --splits`: the same vectors on several splits, and only where they know nothing of any."""

import json
import shutil
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from fusecat.cache.records import write_record
from fusecat.cache.store import FeatureCache
from fusecat.cache.table import Feature
from fusecat.pipeline.cli import cli
from fusecat.stages.errors import UsageError
from fusecat.stages.external.align import catalogue_rows, new_split
from fusecat.stages.fusion.resplit import knows_the_split, resplit
from fusecat.stages.study_record import read_study
from fusecat.stages.vocabulary import SplitProtocol
from fusecat.stages.workspace import Workspace


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    labels = np.arange(150) % 3
    for name, width in (("title", 6), ("image", 9)):
        np.save(tmp_path / f"{name}.npy", (np.eye(3, width)[labels] + random.normal(size=(150, width))).astype(np.float32))
    (tmp_path / "ids.csv").write_text("\n".join(f"p{number}" for number in range(150)))
    lines = [f"p{number},{label},g{number // 2}" for number, label in enumerate(labels)]
    (tmp_path / "labels.csv").write_text("id,label,shop\n" + "\n".join(lines))
    return tmp_path


def put(files, *words, fitted_on="none"):
    for name in ("title", "image"):
        vectors = ("--vectors", files / f"{name}.npy", "--ids", files / "ids.csv", "--labels", files / "labels.csv")
        told = ("--fitted-on", fitted_on) if fitted_on else ()
        done = run("import", "--name", f"mine.{name}", *vectors, *told, *words, "--workspace", files / "w")
        assert done.exit_code == 0, (done.output, done.exception)


def test_each_split_is_a_workspace_and_the_answer_is_their_pool(files):
    put(files)
    words = ("fuse", "--splits", "3", "--seeds", "2", "--settings", "thesis", "--workspace", files / "w")
    done = run(*words, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    pooled = json.loads(done.stdout)
    places = [files / "w" / "splits" / str(number) for number in (1, 2, 3)]
    assert pooled["workspaces"] == [str(place) for place in places] and (pooled["over"], pooled["units"]) == ("splits", 3)
    assert sum(row["chosen"] for row in pooled["rows"]) == 3 and pooled["gain"]["low"] < pooled["gain"]["high"]
    assert json.loads(run("report", "--pool", *places, "--json").stdout)["rows"] == pooled["rows"]
    before = {path: path.stat().st_mtime_ns for path in (files / "w" / "splits").rglob("run.json")}
    shown = run(*words)
    assert "split 2 of 3" in shown.output
    assert "Whatever is chosen, against the single feature" in " ".join(shown.output.split())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (files / "w" / "report" / "pool.html").exists() and not (files / "w" / "runs").exists()
    for said in (("report", files / "w"), ("report", "--pool", files / "w")):
        assert json.loads(run(*said, "--json").stdout)["rows"] == pooled["rows"]
    shutil.copytree(files / "w", files / "v")
    both = json.loads(run("report", "--pool", files / "v", files / "w", "--json").stdout)
    assert both["units"] == 3 and len(both["workspaces"]) == 6 and (files / "v" / "report" / "pool.html").exists()
    run("fuse", "--seeds", "1", "--settings", "thesis", "--workspace", files / "w")
    own = run("report", files / "w")
    assert f"This is one split; the 3 splits that were compared: fusecat report --pool {files / 'w'}" in own.output


def test_the_first_split_is_the_workspaces_own(files):
    put(files)
    table = FeatureCache(files / "w" / "features").table()
    seeds, found = zip(*resplit(Workspace(files / "w"), table, ("mine.image",), 3), strict=True)
    assert seeds == (2020, 2021, 2022)
    np.testing.assert_array_equal(found[0].split, table.split)
    assert len({tuple(each.split) for each in found}) == 3 and len({each.fingerprint for each in found}) == 3
    assert all(list(each.features) == ["mine.image"] for each in found)


def test_groups_lie_in_one_part_of_every_split_and_are_drawn_as_a_workspace_of_that_seed_draws_them(files):
    put(files, "--group-by", "shop")
    place = Workspace(files / "w")
    found = [table for _, table in resplit(place, FeatureCache(place.features).table(), ("mine.image",), 3)]
    for number, table in enumerate(found):
        assert all(len(set(table.split[[row, row + 1]])) == 1 for row in range(0, 150, 2))
        drawn = new_split(
            files / "labels.csv", protocol=SplitProtocol.TEST_20, head_share=0, seed=2020 + number, group_by="shop"
        )
        np.testing.assert_array_equal(table.split, catalogue_rows(*drawn).split)
    done = run("fuse", "--splits", "2", "--seeds", "1", "--workspace", files / "w")
    assert done.exit_code == 0 and "2 splits of one catalogue (seeds 2020, 2021)" in " ".join(done.output.split())


def test_a_split_that_an_earlier_version_drew_with_groups_it_does_not_name_is_refused(files):
    put(files, "--group-by", "shop")
    record = json.loads((files / "w" / "split.json").read_text())
    del record["tied"]
    (files / "w" / "split.json").unlink()
    write_record(files / "w" / "split.json", {name: value for name, value in record.items() if name != "sha256"})
    done = run("fuse", "--splits", "2", "--workspace", files / "w")
    assert isinstance(done.exception, UsageError) and "75 groups of duplicates, which it does not name" in str(done.exception)


def test_settings_that_one_split_has_tuned_are_not_used_on_others(files):
    put(files)
    done = run("fuse", "--splits", "2", "--tuned", "--workspace", files / "w")
    assert isinstance(done.exception, UsageError) and "--tuned" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "fitted_on", "told"),
    [
        ((), None, "import it with --fitted-on none"),
        ((), "train", "fitted on train"),
    ],
)
def test_what_would_know_the_rows_of_another_split_is_refused(files, words, fitted_on, told, monkeypatch):
    put(files, *words, fitted_on=fitted_on)
    monkeypatch.setattr(sys, "argv", ["fusecat", "fuse", "--splits"])
    done = run("fuse", "--splits", "2", "--seeds", "1", "--workspace", files / "w")
    assert isinstance(done.exception, UsageError) and told in str(done.exception)
    assert not (files / "w" / "splits").exists() and "--splits" not in str(read_study(Workspace(files / "w")).commands)


@pytest.mark.parametrize(
    ("recipe", "free"),
    [
        ({"training": {"freeze": True}, "network": {"library": "transformers", "weights": "abc", "pooling": "mean"}}, True),
        ({"training": {"freeze": False}, "network": {"library": "transformers", "weights": "abc", "pooling": "mean"}}, False),
        ({"training": {"freeze": True}, "network": {"library": "transformers", "weights": "new", "pooling": "mean"}}, False),
        ({"training": {"freeze": True}, "network": {"library": "transformers", "weights": "abc", "pooling": "flatten"}}, False),
        ({"training": {}, "network": {"library": "scikit-learn"}}, False),
        ({"imported": {"attributes": {}}}, False),
        (
            {"training": {"prompts": ["une {}"]}, "network": {"library": "transformers", "weights": "abc", "pooling": "mean"}},
            True,
        ),
        ({"imported": {}}, True),
    ],
)
def test_only_what_learnt_nothing_here_is_free_of_the_split(recipe, free):
    feature = Feature("a.title", np.zeros((2, 1), np.float32), np.ones(2, bool), fitted_on=())
    assert (knows_the_split(recipe, feature) is None) is free
