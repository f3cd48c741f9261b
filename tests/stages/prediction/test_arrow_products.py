"""Rows of an Arrow table as products: what the ray engine does with a block, without Ray."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.prediction import Model, load_model, predict, save_model
from fusecat.stages.prediction.arrow_products import Pictures, columns_of, products_of
from fusecat.stages.prediction.formats import Format, Layout, as_table, write
from tests.stages.small_study import STRATEGIES, small_study

FIELDS = {"id": "sku", "title": "name", "description": "text", "image": "photo"}


@pytest.fixture(scope="module")
def model(sample_cut: Path, tmp_path_factory):
    place = small_study(sample_cut, tmp_path_factory.getbasetemp() / "small study")
    made = Model.of_runs(place, STRATEGIES[0], (1,), class_names={})
    return load_model(save_model(made, tmp_path_factory.mktemp("model") / "m", ""))


@pytest.fixture(scope="module")
def catalogue(sample_cut: Path):
    return read_catalogue(sample_cut, ReadingOptions(labels=False))


def table(catalogue, picture) -> pa.Table:
    columns = {
        "sku": [int(product.id) for product in catalogue.products],
        "name": [product.title for product in catalogue.products],
        "text": [product.description for product in catalogue.products],
        "photo": [picture(product.images[0]) if product.images else None for product in catalogue.products],
    }
    return pa.table(columns)


@pytest.mark.parametrize(
    "picture",
    [
        lambda path: path.name,
        lambda path: str(path.absolute()),
        lambda path: path.absolute().as_uri(),
        Path.read_bytes,
        lambda path: [path.name],
        lambda path: {"bytes": path.read_bytes(), "path": None},
        lambda path: {"bytes": None, "path": path.name},
    ],
)
def test_a_block_gets_the_table_of_predict(model, catalogue, picture, tmp_path) -> None:
    folder = next(product.images[0] for product in catalogue.products if product.images).parent
    block = table(catalogue, picture)
    layout = Layout(Format.PARQUET, top=2)
    answers = model(products_of(block, FIELDS, Pictures(str(folder.absolute()))))
    found = as_table(model, answers, layout)
    path = write(tmp_path / "p.parquet", layout, model, catalogue, predict(model, catalogue, tmp_path / "store"))
    assert found.equals(pq.read_table(path))


def test_a_picture_that_is_not_there_is_absent_and_one_of_elsewhere_is_refused(model, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"")
    pictures = Pictures(str(tmp_path / "in"))
    block = pa.table({"sku": ["a"], "photo": ["none.jpg"]})
    fields = {"id": "sku", "image": "photo"}
    assert products_of(block, fields, pictures) == [{"id": "a", "images": []}]
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg"), (tmp_path / "secret.jpg").as_uri(), "../in"):
        with pytest.raises(DataError, match=r"product 'a': column photo: .* lies outside"):
            products_of(pa.table({"sku": ["a"], "photo": [name]}), fields, pictures)
    with pytest.raises(DataError, match="nothing is fetched from the web"):
        products_of(pa.table({"sku": ["a"], "photo": ["https://x.example/a.jpg"]}), fields, pictures)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"sku": [None]}, "column sku: row 0 of a block has no id"),
        ({"sku": ["a"], "name": [1.5]}, "column name is double, not texts"),
        ({"sku": ["a"], "name": [["x"]]}, "not texts"),
        ({"sku": ["a"], "photo": [3]}, "a picture is a int"),
    ],
)
def test_what_is_no_product_is_refused_with_its_column(block, message) -> None:
    fields = {field: name for field, name in FIELDS.items() if name in block}
    with pytest.raises(DataError, match=message):
        products_of(pa.table(block), fields, Pictures("/"))


def test_columns_are_the_told_ones_then_the_study_s_then_those_of_the_field_s_name() -> None:
    texts = ("title", "description")
    names = ["SKU", "Title", "desc", "photo"]
    assert columns_of(names, {"id": "SKU"}, {"description": "desc", "image": "gone"}, texts) == {
        "id": "SKU", "title": "Title", "description": "desc",
    }  # fmt: skip
    with pytest.raises(UsageError, match="title=name: there is no such column; there are SKU"):
        columns_of(names, {"title": "name"}, {}, texts)
    with pytest.raises(UsageError, match="no column is the id"):
        columns_of(names, {}, {}, texts)
    with pytest.raises(UsageError, match="no column is the text or picture"):
        columns_of(["id"], {}, {}, texts)


def test_a_model_of_other_texts_asks_for_their_columns() -> None:
    fields = columns_of(["id", "brand", "title"], {}, {}, ("brand", "bullets"))
    assert fields == {"id": "id", "brand": "brand"}
    assert products_of(pa.table({"id": [1], "brand": ["Lego"]}), fields, Pictures("/")) == [{"id": "1", "brand": "Lego"}]


def test_no_rows_make_an_empty_table_of_the_same_columns(model) -> None:
    layout = Layout(Format.PARQUET)
    none, one = (as_table(model, model(products), layout) for products in ([], [{"title": "x"}]))
    assert none.schema == one.schema and (none.num_rows, one.num_rows) == (0, 1)
    np.testing.assert_allclose(one["probability"].to_numpy(), model([{"title": "x"}]).probability, atol=1e-6)
