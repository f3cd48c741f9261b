"""`fuse --splits`: the same vectors on several splits, and only where they know nothing of any."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fusecat.cache.store import FeatureCache
from fusecat.cache.table import Feature
from fusecat.pipeline.cli import cli
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.resplit import knows_the_split, resplit
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
    assert "split 2 of 3" in shown.output and "Whatever is chosen, against the single feature" in shown.output.replace(
        "\n", " "
    )
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (files / "w" / "report" / "pool.html").exists() and not (files / "w" / "runs").exists()


def test_the_first_split_is_the_workspaces_own(files):
    put(files)
    table = FeatureCache(files / "w" / "features").table()
    found = resplit(Workspace(files / "w"), table, ("mine.image",), 3)
    np.testing.assert_array_equal(found[0].split, table.split)
    assert len({tuple(each.split) for each in found}) == 3 and len({each.fingerprint for each in found}) == 3
    assert all(list(each.features) == ["mine.image"] for each in found)


@pytest.mark.parametrize(
    ("words", "fitted_on", "told"),
    [
        ((), None, "import it with --fitted-on none"),
        ((), "train", "fitted on train"),
        (("--group-by", "shop"), "none", "75 groups of duplicates"),
    ],
)
def test_what_would_know_the_rows_of_another_split_is_refused(files, words, fitted_on, told):
    put(files, *words, fitted_on=fitted_on)
    done = run("fuse", "--splits", "2", "--seeds", "1", "--workspace", files / "w")
    assert isinstance(done.exception, UsageError) and told in str(done.exception)
    assert not (files / "w" / "splits").exists()


@pytest.mark.parametrize(
    ("recipe", "free"),
    [
        ({"training": {"freeze": True}, "network": {"library": "transformers", "weights": "abc", "pooling": "mean"}}, True),
        ({"training": {"freeze": False}, "network": {"library": "transformers", "weights": "abc", "pooling": "mean"}}, False),
        ({"training": {"freeze": True}, "network": {"library": "transformers", "weights": "new", "pooling": "mean"}}, False),
        ({"training": {"freeze": True}, "network": {"library": "transformers", "weights": "abc", "pooling": "flatten"}}, False),
        ({"training": {}, "network": {"library": "scikit-learn"}}, False),
        ({"imported": {"attributes": {}}}, False),
        ({"imported": {}}, True),
    ],
)
def test_only_what_learnt_nothing_here_is_free_of_the_split(recipe, free):
    feature = Feature("a.title", np.zeros((2, 1), np.float32), np.ones(2, bool), fitted_on=())
    assert (knows_the_split(recipe, feature) is None) is free
