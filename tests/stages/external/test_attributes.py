"""Attributes become the same vector wherever they are read, and what is odd about them is said."""

import json

import numpy as np
import pandas as pd
import pytest

from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.external.attributes import Attributes, AttributeTable
from fusecat.stages.external.vectors import ExternalVectors, Files

ROWS = 40
IDS = [f"p{row}" for row in range(ROWS)]


def classes(ids):
    return {identity: row % 3 for row, identity in enumerate(ids)}


@pytest.fixture
def table(tmp_path):
    """Prices with a comma and gaps, brands of which two are rare, years that are categories, and a product with nothing."""
    frame = pd.DataFrame({"id": IDS, "price": [f"{row},5" for row in range(ROWS)], "brand": "Lego", "year": "2020"}).astype(
        object
    )
    frame.loc[20:, "brand"] = "Ravensburger"
    frame.loc[38:, "brand"] = ["Rare", "Rarer"]
    frame.loc[::2, "year"] = "2021"
    frame.loc[5, "price"] = None
    frame.loc[7, ["price", "brand", "year"]] = None
    frame.to_csv(tmp_path / "products.csv", index=False, sep=";")
    return tmp_path / "products.csv"


def test_a_point_that_may_mark_thousands_is_asked_about(tmp_path):
    def learn(cells, wanted="price"):
        pd.DataFrame({"id": IDS, "price": cells}).to_csv(tmp_path / "p.csv", index=False)
        return Attributes.fit(tmp_path / "p.csv", wanted, classes(IDS)).columns[0]

    german = [f"{row}" if row % 2 else f"1.{row:03d}" for row in range(100, 100 + ROWS)]
    with pytest.raises(DataError, match=r"price: is the point of '1.100' .* a mark of thousands"):
        learn(german)
    assert learn(german, "price=number").middle < 200
    kilograms = [f"0.{row:03d}" if row % 2 else "2" for row in range(100, 100 + ROWS)]
    assert learn(kilograms).kind == "number"


def vectors(path, made, ids=IDS):
    found = ExternalVectors.join(Files("shop.attributes", path, attributes=made), ids, ("a",))
    with found.staged(path.parent) as (embedding, _):
        return embedding.read(range(len(ids))), found.present


def test_numbers_are_scaled_categories_pooled_and_what_is_missing_said(table):
    made = Attributes.fit(table, "price, brand,year=category", classes(IDS[:30]))
    price, brand, year = made.columns
    assert (price.kind, brand.kind, year.kind) == ("number", "category", "category")
    assert brand.values == ("Lego", "Ravensburger") and year.values == ("2020", "2021")
    numbers = np.array([row + 0.5 for row in range(30) if row not in (5, 7)])
    assert (price.middle, price.mean, price.scale) == (np.median(numbers), numbers.mean(), numbers.std())
    found, present = vectors(table, made)
    assert found.shape == (ROWS, made.width) == (ROWS, 2 + 4 + 4)
    assert np.flatnonzero(~present).tolist() == [7] and not found[7].any()
    np.testing.assert_allclose(found[30, 0], (30.5 - numbers.mean()) / numbers.std(), rtol=1e-6)
    np.testing.assert_allclose(found[5, :2], [(np.median(numbers) - numbers.mean()) / numbers.std(), 1], rtol=1e-6)
    assert found[[0, 25, 38, 39], 2:6].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]


def test_json_and_parquet_give_the_same_vectors(table, tmp_path):
    made = Attributes.fit(table, "price,brand", classes(IDS))
    pd.read_csv(table, sep=";", decimal=",").sample(frac=1, random_state=1).to_parquet(tmp_path / "products.parquet")
    again = Attributes.of(json.loads(json.dumps(made.record)))
    assert again == made
    np.testing.assert_array_equal(vectors(tmp_path / "products.parquet", again)[0], vectors(table, made)[0])


@pytest.mark.parametrize(
    ("wanted", "error", "told"),
    [
        ("prise", UsageError, r"products.csv has no column 'prise'; it has id, price, brand, year"),
        ("price=nummer", UsageError, "--attributes price=nummer: COLUMN, COLUMN=number or COLUMN=category"),
        ("price,price", UsageError, "each column once"),
        ("brand=number", DataError, "--attributes brand=number: row 1 holds 'Lego', which is no number"),
    ],
)
def test_what_is_not_understood_is_named(table, wanted, error, told):
    with pytest.raises(error, match=told):
        Attributes.fit(table, wanted, classes(IDS))


def test_a_number_that_is_none_later_is_named_with_its_row(table):
    made = Attributes.fit(table, "price", classes(IDS))
    table.write_text("id;price\np0;1,5\np1;on request\n")
    with pytest.raises(DataError, match="column price: row 2 holds 'on request', which is no number; leave it empty, or"):
        AttributeTable(table, made, None)
    with pytest.raises(DataError, match="none of its 2 ids is a product of train; the first is 'p0'"):
        Attributes.fit(table, "price", classes(["q0"]))


@pytest.mark.parametrize(
    "odd", [{}, {"columns": [{"name": "a"}]}, {"columns": [{"name": "a", "kind": "number", "values": [], "scale": 0}]}]
)
def test_records_of_others_are_checked(odd):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Attributes.of(odd)


@pytest.mark.parametrize("price", ["1,{}.50", "$ {}.99", "1 {},50 €", "{} %"])
def test_numbers_that_are_not_written_plainly_are_no_categories(price, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id;price\n" + "".join(f"p{row};{price.format(100 + row)}\n" for row in range(30)), encoding="utf-8")
    with pytest.raises(DataError, match="write plain ones"):
        Attributes.fit(path, "price", classes([f"p{row}" for row in range(30)]))


def test_a_word_among_numbers_does_not_make_them_categories(tmp_path):
    path, ids = tmp_path / "p.csv", [f"p{row}" for row in range(30)]
    path.write_text("id,price\n" + "".join(f"{row},{'N/A' if number % 3 == 0 else number}\n" for number, row in enumerate(ids)))
    with pytest.raises(DataError, match="row 1 holds 'N/A', which is no number, and most others are"):
        Attributes.fit(path, "price", classes(ids))
    assert Attributes.fit(path, "price=category", classes(ids)).columns[0].values == ("N/A",)


def test_the_label_is_no_attribute(tmp_path):
    path = tmp_path / "products.csv"
    rows = [
        (identity, f"10{code}", ("red", "green", "blue")[code], row % 2)
        for row, (identity, code) in enumerate(classes(IDS).items())
    ]
    pd.DataFrame(rows, columns=["id", "code", "name", "size"]).to_csv(path, index=False)
    for wanted in ("size,code", "code=category", "name"):
        with pytest.raises(
            DataError, match=r"--attributes (code|name): in train each of its values stands for one class: it is the label"
        ):
            Attributes.fit(path, wanted, classes(IDS))
    assert [each.name for each in Attributes.fit(path, "size", classes(IDS)).columns] == ["size"]
