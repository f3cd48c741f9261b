"""A study of three texts, two image networks and attributes, from the first look at the catalogue to an exported model."""

import json
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from fusecat import load_model
from fusecat.pipeline.cli import cli
from fusecat.pipeline.console import default_catalogue
from tests.conftest import read_table, write_table

pytestmark = pytest.mark.slow

TEXTS = tuple(f"camembert.{field}" for field in ("title", "description", "english"))
FULLEST = ("camembert.title_description", "camembert.english")
OTHERS = ("resnet.image", "se_resnext50.image", "shop.attributes")
PRESET = """
base = "{base}"
[networks.camembert]
fields = ["title", "description", "english", "title_description"]
shape = {{ hidden_size = 32, num_attention_heads = 2, intermediate_size = 32 }}
vocabulary = 300
[networks.camembert.training]
epochs = 4
[networks.se_resnext50]
shape = {{ groups = 2, inplanes = 8 }}
size = 32
resize = 32
[networks.se_resnext50.training]
epochs = 1
[networks.resnet]
library = "timm"
model = "resnet10t"
fields = ["image"]
size = 32
resize = 32
[networks.resnet.training]
epochs = 1
"""


def run(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


@pytest.fixture(scope="module")
def shop(sample_cut: Path, tmp_path_factory) -> Path:
    """The sample as a table of one's own, with the Unicode name as a third text; its taxonomy and code point are attributes."""
    pytest.importorskip("timm")
    folder = tmp_path_factory.mktemp("shop")
    emoji = {row["Integer_id"]: row["Emoji"] for row in read_table(default_catalogue() / "sources.tsv")}
    top = {row["Prdtypecode"]: row["Top level category"] for row in read_table(sample_cut / "catalog_english_taxonomy.tsv")}
    codes = {row["Integer_id"]: row["Prdtypecode"] for row in read_table(sample_cut / "Y_train.tsv")}
    rows, attributes = [], []
    for row in read_table(sample_cut / "X_train.tsv"):
        identity, sign = row["Integer_id"], emoji[row["Integer_id"]][0]
        picture = sample_cut / "image_training" / f"image_{row['Image_id']}_product_{row['Product_id']}.jpg"
        texts = {"title": row["Title"], "description": row["Description"], "english": unicodedata.name(sign, "SIGN")}
        rows.append({"id": identity, **texts, "label": codes[identity], "image": str(picture)})
        attributes.append({"id": identity, "top": top[codes[identity]], "point": str(ord(sign))})
    write_table(folder / "products.csv", rows, ",")
    write_table(folder / "attributes.csv", attributes, ",")
    (folder / "three.toml").write_text(PRESET.format(base="tiny"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def options(shop: Path, sample_cut: Path) -> list[str]:
    columns = "id=id,title=title,description=description,english=english,label=label,image=image"
    return [str(shop / "products.csv"), "--columns", columns, "--image-folder", str(sample_cut / "image_training")]


@pytest.fixture(scope="module")
def study(shop: Path, options: list[str]) -> Path:
    place = ("--workspace", shop / "w")
    found = json.loads(run("check", *options, *place, "--json"))
    assert found["products"] == 180 and found["missing_texts"] == {"english": 0} and not found["missing_images"]
    networks = ("--networks", "camembert,se_resnext50,resnet")
    run("extract", *options, "--preset", shop / "three.toml", *networks, *place)
    run("import", "--name", "shop", "--vectors", shop / "attributes.csv", "--attributes", "top,point", *place)
    run("fuse", "--fusion", "average", "--seeds", "2", *place)
    return shop / "w"


def test_architectures_hold_what_the_verdict_says(study: Path) -> None:
    found = json.loads(run("report", "--json", "--workspace", study))
    taken = {name: set(row["features"]) for row in found["rows"] for name in (row["strategy"], *row["also"])}
    assert taken["baseline/average"] == {*FULLEST, *OTHERS}
    assert taken["flat/average"] == taken["hierarchical/concatenation/average"] == {*TEXTS, *OTHERS}
    told = found["verdict"]
    for kind, names in (("Baseline takes", FULLEST), ("Flat and hierarchical take", TEXTS)):
        said = told[told.index(kind) :].partition(". ")[0]
        assert all(name in said for name in (*names, *OTHERS)), said


def test_an_exported_model_answers_as_the_study_and_flags_what_lacks(study: Path, shop: Path, options: list[str]) -> None:
    brought, strategy = ("--vectors", f"shop.attributes={shop / 'attributes.csv'}"), ("--strategy", "flat/average")
    model = ("--model", shop / "model")
    run("predict", *options, *brought, *strategy, "--workspace", study, "--output", shop / "one.csv")
    run("export", shop / "model", *strategy, "--workspace", study)
    run("predict", *options, *brought, *model, "--output", shop / "two.csv")
    assert (shop / "one.csv").read_bytes() == (shop / "two.csv").read_bytes()
    table = pd.read_csv(shop / "products.csv", dtype=str).drop(columns="english")
    table.to_csv(shop / "lacking.csv", index=False)
    lacking = [str(shop / "lacking.csv"), *options[1:]]
    told = run("predict", *lacking, *brought, *model, "--output", shop / "three.csv")
    assert "180 without english" in told
    assert pd.read_csv(shop / "three.csv", dtype=str)["missing"].str.split().map(lambda names: "english" in names).all()


def test_a_model_of_texts_alone_is_asked_for_them_in_python(study: Path, shop: Path) -> None:
    run("export", shop / "texts", "--strategy", "probe/camembert.english", "--workspace", study)
    model = load_model(shop / "texts")
    found = model([{"title": "x", "english": "DOG FACE"}, {"title": "x"}, {}], reasons=True)
    assert [answer["missing"] for answer in found.records()] == [
        ["description", "image"],
        ["description", "english", "image"],
        ["title", "description", "english", "image"],
    ]
    assert [answer["flag"] for answer in found.records()] == ["", "unseen", "empty"]
    assert next(found.records())["adds"].keys() == {"title", "description", "english", "image"}
