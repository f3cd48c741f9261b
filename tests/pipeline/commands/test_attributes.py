"""A study with a text, a picture and attributes, from the import to what an exported model answers."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from fusecat.cache.store import FeatureCache
from fusecat.pipeline.cli import cli
from fusecat.stages.errors import UsageError

ROWS = 150
LABELS = np.arange(ROWS) % 3


def run(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def run_plainly(*words):
    """As `run`; raises what the command raises."""
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Words and pixels are noise: only the attributes know the class."""
    folder, random = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    ids = [f"p{row}" for row in range(ROWS)]
    frame = pd.DataFrame({"id": ids, "label": LABELS, "price": LABELS * 10 + random.normal(size=ROWS), "brand": LABELS})
    frame["brand"] = frame["brand"].map({0: "Lego", 1: "Ravensburger", 2: "Haba"}).where(random.random(ROWS) > 0.2)
    frame.to_csv(folder / "products.csv", index=False)
    place = ("--workspace", folder / "w")
    for name in ("words.title", "words.brand_text", "pix.image"):
        np.savez(folder / f"{name}.npz", embedding=random.normal(size=(ROWS, 6)), id=np.array(ids))
        labels = ("--labels", folder / "products.csv")
        run(
            "import",
            "--name",
            name,
            "--field",
            name.rpartition(".")[2],
            "--vectors",
            folder / f"{name}.npz",
            *labels,
            "--fitted-on",
            "none",
            *place,
        )
    table = ("--vectors", folder / "products.csv", "--attributes", "price,brand")
    told = run("import", "--name", "shop", *table, *place)
    assert "learnt from train: price (number), brand (3 values, others pooled)" in told
    assert "was there already" in run("import", "--name", "shop", *table, *place)
    run("fuse", "--seeds", "1", *place)
    return folder


def test_attributes_are_measured_on_the_train_of_each_split(study):
    place, table = ("--workspace", study / "w"), ("--vectors", study / "products.csv", "--attributes", "price,brand")
    told = CliRunner().invoke(cli, [str(word) for word in ("fuse", "--seeds", "1", "--splits", "3", *place)])
    assert "shop.attributes depends on the split" in str(told.exception)
    assert "import it again with --splits 3" in str(told.exception)
    with pytest.raises(UsageError, match="--splits measures --attributes"):
        vectors = ("--vectors", study / "pix.image.npz")
        run_plainly("import", "--name", "pix.image", *vectors, "--splits", "3", *place)
    for asked in (("--splits", "3"), ()):  # those that are there are made again without being asked for
        assert json.loads(run("import", "--name", "shop", *table, *asked, "--json", *place))["splits"] == 3
    prices = pd.read_csv(study / "products.csv")["price"].to_numpy()
    for number in (2, 3):
        own = study / "w" / "splits" / str(number)
        learnt = json.loads((own / "attributes" / "shop.attributes.json").read_text())["columns"][0]
        train = FeatureCache(own / "features").table().rows("train")
        assert learnt["mean"] == pytest.approx(prices[train].mean(), rel=1e-6) and learnt["name"] == "price"
    pooled = json.loads(run("fuse", "--seeds", "1", "--splits", "3", "--json", *place))
    assert pooled["units"] == 3 and any(row["strategy"] == "probe/shop.attributes" for row in pooled["rows"])


def test_every_architecture_takes_what_the_rule_says(study):
    rows = json.loads(run("report", "--json", "--workspace", study / "w"))["rows"]
    taken = {name: row["features"] for row in rows for name in (row["strategy"], *row["also"])}
    everything = {"shop.attributes", "words.title", "words.brand_text", "pix.image"}
    for strategy in ("baseline/average", "flat/average", "hierarchical/concatenation/average"):
        assert set(taken[strategy]) == everything
    assert "probe/shop.attributes" in taken and "probe/words.brand_text" in taken


def test_a_model_answers_from_a_table_as_the_workspace_does(study):
    place = ("--workspace", study / "w", "--strategy", "flat/average")
    brought = [("--vectors", f"{name}={study / name}.npz") for name in ("words.title", "words.brand_text", "pix.image")]
    brought = [word for pair in brought for word in pair] + ["--vectors", f"shop.attributes={study / 'products.csv'}"]
    run("predict", *brought, *place, "--output", study / "one.csv")
    run("export", study / "model", *place)
    assert "shop.attributes=TABLE" in (study / "model" / "README.md").read_text()
    run("predict", *brought, "--model", study / "model", "--output", study / "two.csv")
    assert (study / "one.csv").read_bytes() == (study / "two.csv").read_bytes()
    answers = pd.read_csv(study / "one.csv", dtype=str)
    assert (answers["code"].to_numpy() == LABELS.astype(str)).mean() > 0.8
    assert not answers["flag"].fillna("").str.contains("empty").any()


def test_attributes_that_were_replaced_by_vectors_are_forgotten(study, tmp_path):
    import shutil

    shutil.copytree(study / "w", tmp_path / "w")
    assert (tmp_path / "w" / "attributes" / "shop.attributes.json").is_file()
    vectors = ("--vectors", study / "pix.image.npz", "--workspace", tmp_path / "w")
    run("import", "--name", "shop.attributes", *vectors)
    assert not (tmp_path / "w" / "attributes" / "shop.attributes.json").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--name", "words.titel"), "did you mean words.title[?]; for a field of your own: --name words --field titel"),
        (("--name", "mini.v2"), "end the name with one: mini.v2.title; for a field of your own: --name mini --field v2"),
        (("--name", "words", "--field", "Brand Name"), "'Brand Name' is no field"),
        (("--name", "shop", "--attributes", "price", "--ids", "products.csv"), "the table has its ids and columns"),
    ],
)
def test_names_and_options_are_checked(study, words, told, monkeypatch):
    monkeypatch.chdir(study)
    words = ["import", *words, "--vectors", "products.csv", "--workspace", "w"]
    with pytest.raises(Exception, match=told):
        CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
