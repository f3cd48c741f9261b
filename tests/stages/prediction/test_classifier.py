"""A model called with products in memory: the answers of `predict`, without a file."""

import importlib.util
import io
import json
import pickle
import re
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from fusecat.stages.calibration import tempered
from fusecat.stages.catalogue.data_model import Catalogue, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.prediction import Classifier, Model, load_model, predict, save_model
from fusecat.stages.prediction.answer import predict_with_reasons
from fusecat.stages.prediction.formats import Format, Layout, write
from tests.conftest import read_table
from tests.stages.small_study import STRATEGIES, small_study

HIERARCHICAL, BASELINE, LATE, _ = STRATEGIES


@pytest.fixture(scope="module")
def folders(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Strategy -> model folder."""
    place = small_study(sample_cut, tmp_path_factory.getbasetemp() / "small study")
    seeds = {HIERARCHICAL: (1, 2), BASELINE: (1,), LATE: (0,)}
    root = tmp_path_factory.mktemp("models")
    return {
        name: save_model(Model.of_runs(place, name, some, class_names={}), root / str(number), "")
        for number, (name, some) in enumerate(seeds.items())
    }


@pytest.fixture(scope="module")
def model(folders) -> Classifier:
    return load_model(folders[HIERARCHICAL])


@pytest.fixture(scope="module")
def catalogue(sample_cut: Path) -> Catalogue:
    return read_catalogue(sample_cut, ReadingOptions(labels=False))


def held(catalogue: Catalogue, picture=lambda path: path) -> list[dict]:
    """The products as somebody's program may hold them."""
    return [
        {
            "id": product.id,
            "title": product.title,
            "description": product.description,
            "images": [picture(path) for path in product.images],
        }
        for product in catalogue.products
    ]


@pytest.mark.parametrize("strategy", [HIERARCHICAL, BASELINE, LATE])
def test_products_in_memory_get_the_answers_of_predict_to_the_last_bit(folders, catalogue, tmp_path, strategy: str) -> None:
    model = load_model(folders[strategy])
    expected = np.concatenate([batch.probabilities for batch in predict(model, catalogue, tmp_path)])
    answers = model(held(catalogue))
    np.testing.assert_array_equal(answers.probabilities, expected)
    np.testing.assert_array_equal(model(held(catalogue, Path.read_bytes)).probabilities, expected)
    assert answers.codes == [model.classes[at] for at in expected.argmax(1)]
    assert [record["code"] for record in answers.records()] == answers.codes


def test_a_temperature_is_exported_changes_every_probability_and_no_code(model, catalogue, tmp_path) -> None:
    assert model.temperature == 1.0, "a model of runs alone has none"
    products = held(catalogue)[:40]
    plain = model(products)
    warm = load_model(save_model(replace(model, temperature=2.5), tmp_path / "warm", ""))
    answers = warm(products)
    assert (warm.temperature, answers.codes) == (2.5, plain.codes)
    np.testing.assert_array_equal(answers.probabilities, tempered(plain.probabilities, 2.5))
    assert (answers.probability < plain.probability)[plain.probability > 1 / len(model.classes) + 0.01].all()
    record = json.loads((tmp_path / "warm" / "model.json").read_text())
    for wrong in (0, -1, 1e9, float("nan")):
        with pytest.raises(ValueError, match="the temperature"):
            replace(model, temperature=wrong)
    assert record["temperature"] == 2.5


def test_a_picture_may_be_a_path_bytes_pixels_or_pil_s(model, catalogue) -> None:
    path = next(product.images[0] for product in catalogue.products if product.images)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    answers = model([{"image": each} for each in (path, str(path), path.read_bytes(), pixels, Image.open(path))])
    assert answers.absent == [("title", "description")] * 5
    np.testing.assert_allclose(answers.probabilities, answers.probabilities[[0] * 5], atol=0.05)  # two JPEG decoders
    np.testing.assert_allclose(answers.probabilities[:3], answers.probabilities[[0] * 3], rtol=1e-5)


def test_what_is_missing_or_unreadable_is_told_and_the_prior_answers_nothing(model) -> None:
    answers = model(
        [{}, {"title": None, "description": float("nan")}, {"title": "Livre", "image": b"no picture"}, {"title": "<br>"}]
    )
    everything = ("title", "description", "image")
    assert answers.absent == [everything, everything, ("description", "image"), everything]
    assert answers.empty.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(answers.probabilities[0], model.prior)
    assert len(model([])) == 0 and model([]).codes == [] and list(model([]).records()) == []


def test_answers_show_their_codes_and_not_their_arrays(model) -> None:
    answers = model([{"title": "Livre ancien", "image": np.zeros((40, 40, 3), np.uint8)}] * 7)
    assert repr(answers) == (
        f"<Answers of 7 products: {', '.join(answers.codes[:5])}, ...; see .codes, .probability, .top(), .records()>"
    )


def test_the_rows_of_a_table_are_products(model) -> None:
    texts = {"title": ["Livre ancien", None, "Chaise"], "description": ["relié", "en bois", None], "price": [1, 2, 3]}
    frame = pd.DataFrame(texts)
    expected = model(pa.table(texts).to_pylist())
    tables = [frame, frame.convert_dtypes(), pa.table(texts), frame.itertuples()]
    if importlib.util.find_spec("polars"):
        tables.append(importlib.import_module("polars").DataFrame(texts))
    for table in tables:
        answers = model(table)
        np.testing.assert_array_equal(answers.probabilities, expected.probabilities)
        assert answers.absent == expected.absent


def test_a_model_can_be_sent_to_another_process_also_after_it_was_used(model) -> None:
    products = [{"title": "Livre ancien", "image": np.zeros((40, 40, 3), np.uint8)}]
    expected = model(products)
    sent = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(sent(products).probabilities, expected.probabilities)
    assert repr(sent) == f"<Classifier {HIERARCHICAL}: 6 classes, 2 seeds, of title, description, image>"


def test_less_than_one_code_is_refused(model) -> None:
    answers = model([{"title": "Livre"}])
    for count in (0, -1):
        with pytest.raises(UsageError, match="one at least"):
            answers.top(count)


def test_a_picture_whose_file_is_cut_off_is_absent_also_from_pil(model, catalogue) -> None:
    data = next(product.images[0] for product in catalogue.products if product.images).read_bytes()
    cut = data[: len(data) // 2]
    answers = model([{"title": "Livre", "image": each} for each in (Image.open(io.BytesIO(cut)), cut, "", {"bytes": cut})])
    assert answers.absent == [("description", "image")] * 4
    assert model([{"image": {"bytes": data, "path": None}}]).absent == [("title", "description")]


@pytest.mark.parametrize("products", [{"title": "Livre"}, "Livre", None, 3])
def test_one_product_by_itself_is_refused(model, products) -> None:
    with pytest.raises(DataError, match=r"products are a list of mappings, as in \[\{'title'"):
        model(products)


def test_an_object_is_a_product_as_a_mapping_is(model) -> None:
    one, other = model([SimpleNamespace(title="Livre ancien"), {"title": "Livre ancien", "price": 3}]).probabilities
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("product", "message"),
    [
        ("a text", "product 1: a str is no product"),
        (3, "product 1: a int is no product"),
        ({"titel": "Livre"}, "product 1: 'titel' is not read; did you mean 'title'"),
        ({"Title": "Livre"}, "did you mean 'title'"),
        ({"price": 3}, "none of id, title, description, image, images is in it, but 'price'"),
        ({"title": 3}, "'title' is a int, not a text"),
        ({"image": "nowhere.jpg"}, "there is no file 'nowhere.jpg'"),
        ({"image": np.zeros((4, 4), np.float32)}, "uint8"),
        ({"image": 3}, "the picture is a int"),
        ({"image": "9j" * 5000}, "there is no file '9j9j"),
        ({"image": "https://x.example/a.jpg"}, "there is no file 'https://x"),
        ({"image": torch.zeros(4, 4, requires_grad=True)}, "a Tensor that makes no array"),
        ({"image": [[[1], [2, 3]]]}, "a list that makes no array"),
        ({"image": Image.new("La", (4, 4))}, "the PIL image (La) cannot be read"),
        ({"images": "a.jpg"}, "'images' is a str, not a list"),
        ({"image": b"", "images": [b""]}, "leave one out"),
    ],
)
def test_what_is_no_product_is_refused_by_its_position(model, product, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        model([{"title": "Livre"}, product])


def test_alone_a_product_gets_the_probabilities_that_it_gets_among_others(model, catalogue) -> None:
    """Networks round differently in batches of another size; in half precision a vector may then take the next value."""

    def kept(fine_tuned):
        extraction = replace(fine_tuned.encoder.extraction, storage="float32")
        return replace(fine_tuned, encoder=replace(fine_tuned.encoder, extraction=extraction))

    whole = replace(model, fine_tuned={name: kept(fine_tuned) for name, fine_tuned in model.fine_tuned.items()})
    products = held(catalogue)[:60]
    for each, tolerance in ((whole, 1e-6), (model, 1e-5)):
        expected = each(products).probabilities
        found = np.concatenate([each([product]).probabilities for product in products])
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def test_threads_share_a_model(folders, catalogue) -> None:
    model, products = load_model(folders[HIERARCHICAL]), held(catalogue)[:20]
    expected, found = load_model(folders[HIERARCHICAL])(products).probabilities, {}

    def ask(number: int) -> None:
        found[number] = model(products).probabilities

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for each in found.values():
        np.testing.assert_array_equal(each, expected)


def test_reasons_are_what_the_model_says_without_a_field(model, catalogue, tmp_path) -> None:
    catalogue = replace(
        catalogue,
        products=tuple(
            replace(product, images=()) if number % 5 == 0 else product for number, product in enumerate(catalogue.products)
        ),
    )
    products = held(catalogue)
    answers = model(products, reasons=True)
    assert answers.reasons is not None
    best, chance = answers.reasons.alone["image"]
    only = model([{"images": product["images"]} for product in products])
    lacks = np.array(["image" in fields for fields in answers.absent])
    assert (best[lacks] == -1).all() and np.isnan(chance[lacks]).all() and lacks.any()
    np.testing.assert_array_equal(best[~lacks], only.probabilities.argmax(1)[~lacks])
    np.testing.assert_allclose(chance[~lacks], only.probability[~lacks], rtol=1e-5)
    without = model([product | {"title": None} for product in products]).probabilities
    rows, at = np.arange(len(products)), answers.probabilities.argmax(1)
    there = np.array(["title" not in fields for fields in answers.absent])
    adds = answers.reasons.adds["title"]
    np.testing.assert_allclose(adds[there], (answers.probabilities - without)[rows, at][there], atol=1e-6)

    layout = Layout(Format.CSV, reasons=True)
    path = write(tmp_path / "p.csv", layout, model, catalogue, predict_with_reasons(model, catalogue, tmp_path / "store"))
    table = read_table(path, ",")
    for number, (row, record) in enumerate(zip(table, answers.records(), strict=True)):
        assert row["code"] == record["code"]
        assert row["image_code"] == ("" if lacks[number] else model.classes[best[number]])
        assert row["title_adds"] == "" or abs(float(row["title_adds"]) - adds[number]) < 1e-5
