"""What was fused is what predicts: to the bit for the products of the study, and without encoding anything twice."""

import csv
import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusecat.cache.errors import UnusableVectors
from fusecat.cache.records import read_record, write_record
from fusecat.cache.store import FeatureCache
from fusecat.stages.catalogue.data_model import Catalogue, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError, ModelError, UsageError
from fusecat.stages.external.vectors import Files
from fusecat.stages.fusion import load_head, predictor
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.late import method_class
from fusecat.stages.fusion.late.modality_logits import gather
from fusecat.stages.fusion.predictor import Predictor
from fusecat.stages.fusion.restore import load
from fusecat.stages.fusion.runs import Run, Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.prediction import Model, classify, load_model, predict, save_model
from fusecat.stages.prediction.answer import predict_with_reasons
from fusecat.stages.prediction.external_chunks import products_of
from fusecat.stages.prediction.formats import Format, Layout, check, formulas, write
from fusecat.stages.prediction.refit import read_refit, refit, refitted
from fusecat.stages.vocabulary import Late
from fusecat.stages.workspace import Workspace
from tests.conftest import read_table, write_table
from tests.stages.small_study import STRATEGIES, small_study

HIERARCHICAL, BASELINE, LATE, PROBE = STRATEGIES


@pytest.fixture(scope="module")
def place(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return small_study(sample_cut, tmp_path_factory.getbasetemp() / "small study")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors that tests may share; what a test finds in it changes no answer but its speed."""
    return tmp_path_factory.mktemp("store")


def model_of(place: Workspace, strategy: str, seeds: tuple[int, ...] = (1, 2)) -> Model:
    seeds = (0,) if strategy.startswith(("late", "unimodal")) else seeds
    return Model.of_runs(place, strategy, seeds, class_names={"1010": "Mammifères"})


def read(path: Path) -> Catalogue:
    return read_catalogue(path, ReadingOptions(labels=False))


def answer(model: Model, catalogue: Catalogue, store: Path, **options) -> tuple[NDArray[np.float32], dict[str, int]]:
    """Probabilities of all products, and how many products each network had to encode."""
    encoded: dict[str, int] = {}
    batches = predict(model, catalogue, store, encoded=encoded.__setitem__, **options)
    return np.concatenate([batch.probabilities for batch in batches]), encoded


@pytest.fixture
def catalogue(sample_cut: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(sample_cut, tmp_path / "catalogue"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_study_s_own_products_get_the_stored_predictions_to_the_bit(place, sample_cut, store, strategy: str) -> None:
    runs, model = Runs(place.runs), model_of(place, strategy)
    found, _ = answer(model, read(sample_cut), store)
    for part in ("validation", "test"):
        stored = [run.probabilities[part] for seed in model.predictors if (run := runs.read(strategy, seed))]
        mean = sum(stored[1:], stored[0]) / np.float32(len(stored))
        np.testing.assert_array_equal(found[runs.products().rows(part)], mean)


def test_only_what_the_strategy_needs_is_encoded_and_nothing_twice(place, sample_cut, tmp_path) -> None:
    _, first = answer(model_of(place, PROBE), read(sample_cut), tmp_path)
    assert first == {"camembert.title": 180}
    _, more = answer(model_of(place, HIERARCHICAL), read(sample_cut), tmp_path)
    assert more["camembert.title"] == 0
    assert more["se_resnext50.image"] == 180
    found, again = answer(model_of(place, HIERARCHICAL), read(sample_cut), tmp_path)
    assert set(again.values()) == {0}
    assert len(found) == 180


def test_a_second_catalogue_costs_only_its_new_products(place, catalogue, tmp_path) -> None:
    store, model = tmp_path / "store", model_of(place, HIERARCHICAL)
    before, _ = answer(model, read(catalogue), store)
    rows = read_table(catalogue / "X_train.tsv")
    new = rows[3] | {"Title": "Un titre que personne n'a encore lu", "Integer_id": "999999"}
    write_table(catalogue / "X_train.tsv", [*rows[::-1], new])
    after, encoded = answer(model, read(catalogue), store)
    assert encoded == {"camembert.title": 1, "camembert.description": 0, "se_resnext50.image": 0}
    # vectors are kept in half precision: neighbours in a batch may change their last bit
    np.testing.assert_allclose(after[:-1], before[::-1], atol=2e-3)
    alone, _ = answer(model, dataclasses.replace(read(catalogue), products=read(catalogue).products[-1:]), tmp_path / "alone")
    np.testing.assert_allclose(after[-1], alone[0], atol=2e-3)


def test_chunks_change_no_bit_and_an_interrupted_call_goes_on(place, sample_cut, store, tmp_path) -> None:
    model = model_of(place, BASELINE)
    whole, _ = answer(model, read(sample_cut), store)
    told = []

    def stop(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        told.append(feature)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(model, read(sample_cut), tmp_path, progress=stop, chunk=128)
    blocks = []
    cut, _ = answer(model, read(sample_cut), tmp_path, progress=lambda *values, **_: blocks.append(values), chunk=128)
    np.testing.assert_array_equal(cut, whole)
    assert len(blocks) == 4  # six blocks of 64 products for two features in all, two of them done before


def test_a_catalogue_in_another_order_reads_each_stored_file_once(place, sample_cut, tmp_path, monkeypatch) -> None:
    model, whole = model_of(place, PROBE), read(sample_cut)
    expected, _ = answer(model, whole, tmp_path, chunk=64)
    opened, table = [], FeatureCache.table
    monkeypatch.setattr(FeatureCache, "table", lambda cache, names: opened.extend(names) or table(cache, names))
    order = np.random.default_rng(3).permutation(180)
    found, encoded = answer(model, cut(whole, order), tmp_path, chunk=64)
    assert encoded == {"camembert.title": 0}
    assert len(opened) == len(set(opened)) == 3
    np.testing.assert_array_equal(found, expected[order])
    several, _ = answer(model, cut(whole, np.repeat(order, 2)), tmp_path, chunk=128)
    np.testing.assert_array_equal(several, expected[np.repeat(order, 2)])


def test_chunks_that_were_cut_elsewhere_are_found_again(place, sample_cut, tmp_path) -> None:
    model, whole = model_of(place, PROBE), read(sample_cut)
    expected, _ = answer(model, whole, tmp_path, chunk=64)
    found, encoded = answer(model, whole, tmp_path, chunk=128)
    assert encoded["camembert.title"] < 180
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_product_is_answered_whatever_it_lacks(place, catalogue, tmp_path) -> None:
    rows = read_table(catalogue / "X_train.tsv")
    picture = "image_{Image_id}_product_{Product_id}.jpg"
    for row in (1, 2, 3):
        (catalogue / "image_training" / picture.format(**rows[row])).unlink()
    (catalogue / "image_training" / picture.format(**rows[4])).write_bytes(b"<html>")
    rows[0] |= {"Title": "", "Description": ""}
    rows[1] |= {"Description": ""}
    rows[2] |= {"Title": "", "Description": ""}
    rows[4] |= {"Title": "", "Description": ""}
    write_table(catalogue / "X_train.tsv", rows)
    model = model_of(place, HIERARCHICAL)
    (batch,) = predict(model, read(catalogue), tmp_path)
    assert batch.absent[0] == ("title", "description")
    assert batch.absent[1] == ("description", "image")
    assert batch.absent[2] == batch.absent[4] == ("title", "description", "image")
    assert batch.absent[3][-1] == "image"
    assert np.flatnonzero(batch.empty).tolist() == np.flatnonzero(batch.unseen).tolist() == [2, 4]
    np.testing.assert_array_equal(batch.probabilities[2], model.prior)
    np.testing.assert_allclose(batch.probabilities.sum(1), 1, atol=1e-5)
    fitted = Runs(place.runs).products().rows("train")
    shares = np.bincount(Runs(place.runs).products().labels[fitted]) / len(fitted)
    np.testing.assert_allclose(model.prior, shares, atol=1e-6)


def validated(path: Path, texts: Path, separator: str, header: list[str], kept: dict[str, str], codes: set[str]) -> None:
    """The challenge's rules: these columns, a line per line of the texts in their order, their numbers, a known code."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter=separator))
    assert lines[0] == header
    given = read_table(texts, separator)
    assert len(lines) - 1 == len(given)
    for line, row in zip(lines[1:], given, strict=True):
        cells = dict(zip(header, line, strict=True))
        assert {name: cells[name] for name in kept} == {name: row[column] for name, column in kept.items()}
        assert cells[header[-1]] in codes


def test_a_sigir_submission_keeps_the_rows_of_an_unlabelled_test_file(place, catalogue, tmp_path) -> None:
    rows = read_table(catalogue / "X_train.tsv")
    test = tmp_path / "sigir"
    pictures = test / "image_test" / "image_test_task1_phase1"
    shutil.copytree(catalogue / "image_training", pictures)
    write_table(test / "x_test_task1_phase1.tsv", rows[::-3])
    products, model = read(test / "x_test_task1_phase1.tsv"), model_of(place, PROBE)
    path = write(tmp_path / "a.tsv", Layout(Format.SIGIR), model, products, predict(model, products, tmp_path / "store"))
    header = ["Integer_id", "Image_id", "Product_id", "Prdtypecode"]
    validated(path, test / "x_test_task1_phase1.tsv", "\t", header, {name: name for name in header[:3]}, set(model.classes))


@pytest.mark.parametrize("kept", [slice(None, None, -1), slice(1, None), slice(None, -1)])
def test_a_table_that_changed_while_it_was_predicted_gives_no_submission(
    place, catalogue, store, tmp_path, kept: slice
) -> None:
    products, model = read(catalogue), model_of(place, PROBE)
    answers = list(predict(model, products, store))
    write_table(catalogue / "X_train.tsv", read_table(catalogue / "X_train.tsv")[kept])
    with pytest.raises(DataError, match=r"X_train\.tsv: line \d+: the file has been changed"):
        write(tmp_path / "a.tsv", Layout(Format.SIGIR), model, products, answers)
    assert not (tmp_path / "a.tsv").exists()


def test_an_ens_submission_keeps_the_rows_of_an_unlabelled_test_file(place, catalogue, tmp_path) -> None:
    test = tmp_path / "ens"
    shutil.copytree(catalogue / "image_training", test / "image_test")
    names = {"": "Integer_id", "designation": "Title", "description": "Description", "productid": "Product_id"}
    names["imageid"] = "Image_id"
    rows = [{new: row[old] for new, old in names.items()} for row in read_table(catalogue / "X_train.tsv")[5::7]]
    with (test / "X_test_update.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows(rows)
    products, model = read(test), model_of(place, PROBE)
    path = write(tmp_path / "a.csv", Layout(Format.ENS), model, products, predict(model, products, tmp_path / "store"))
    validated(path, test / "X_test_update.csv", ",", ["index", "prdtypecode"], {"index": ""}, set(model.classes))


def test_tables_hold_the_most_probable_codes_and_where_the_model_abstains(place, sample_cut, store, tmp_path) -> None:
    import pyarrow.parquet as pq

    products, model = read(sample_cut), model_of(place, BASELINE)
    found, _ = answer(model, products, store)
    bound = float(np.median(found.max(1)))
    for kind in (Format.CSV, Format.PARQUET):
        path = write(tmp_path / kind, Layout(kind, 2, bound), model, products, predict(model, products, store))
        rows = pq.read_table(path).to_pylist() if kind is Format.PARQUET else read_table(path, ",")
        assert [row["id"] for row in rows] == [product.id for product in products.products]
        for row, chances in zip(rows, found, strict=True):
            best, second = np.argsort(-chances, kind="stable")[:2]
            assert row["code"] == (model.classes[best] if chances[best] >= bound else "")
            assert row["code_2"] == model.classes[second]
            assert float(row["probability"]) == pytest.approx(chances[best], abs=1e-6)
        assert {row["flag"] for row in rows} == {"", "abstained"}


def test_a_csv_holds_no_formula_of_a_stranger_and_ids_stay_what_they_are(place, sample_cut, store, tmp_path) -> None:
    products, model = read(sample_cut), model_of(place, BASELINE)
    first, *rest = products.products
    products = replace(products, products=[replace(first, id="=1+1"), *rest])
    evil = ["=cmd|' /C calc'!A0", "@SUM(A1)", *(f"-{number}" for number in range(len(model.classes) - 2))]
    model = replace(model, classes=tuple(evil), class_names=dict.fromkeys(evil, "+HYPERLINK(1)"))
    (told_classes, told_ids) = formulas(products, Layout(Format.CSV), model)
    assert f"first: {evil[0]}" in told_classes and "1 ids" in told_ids
    assert not formulas(products, Layout(Format.PARQUET), model)
    for reasons in (False, True):
        answers = (predict_with_reasons if reasons else predict)(model, products, store)
        path = write(tmp_path / "a.csv", Layout(Format.CSV, len(evil), reasons=reasons), model, products, answers)
        table = read_table(path, ",")
        assert [row["id"] for row in table] == [product.id for product in products.products]
        cells = {cell for row in table for name, cell in row.items() if name != "id"}
        assert {f"'{evil[0]}", "'@SUM(A1)", "'+HYPERLINK(1)", "-3"} <= cells
        assert not cells & {*evil[:2], "+HYPERLINK(1)"}


def test_each_feature_is_standardised_once_for_all_heads(place, sample_cut, store, monkeypatch) -> None:
    model, calls, prepare = model_of(place, HIERARCHICAL), [], predictor.prepare
    expected, _ = answer(dataclasses.replace(model, predictors={1: model.predictors[1]}), read(sample_cut), store)
    monkeypatch.setattr(predictor, "prepare", lambda *values: calls.append(1) or prepare(*values))
    found, _ = answer(model, read(sample_cut), store)
    assert len(calls) == len(model.shapes)
    assert np.abs(found - expected).max() > 0  # the second seed's head has been asked too


def test_what_cannot_be_written_is_refused_before_anything_is_encoded(sample_cut) -> None:
    products = read(sample_cut)
    with pytest.raises(UsageError, match="sigir layout"):
        check(products, Layout(Format.ENS))
    with pytest.raises(UsageError, match="--threshold"):
        check(products, Layout(Format.SIGIR, threshold=0.5))
    check(products, Layout(Format.SIGIR))


def test_a_network_taught_again_is_refused(place, sample_cut, tmp_path) -> None:
    other = Workspace(Path(shutil.copytree(place.root, tmp_path / "workspace")))
    record = other.encoders / "camembert.title" / "learning.json"
    known = read_record(record, "")
    write_record(record, known | {"weights": "0" + known["weights"]})
    with pytest.raises(ModelError, match=r"camembert\.title"):
        model_of(other, PROBE)
    shutil.rmtree(record.parent)
    with pytest.raises(ModelError, match="holds no network"):
        model_of(other, PROBE)
    assert model_of(other, BASELINE).strategy == BASELINE
    with pytest.raises(ModelError, match="no such run"):
        model_of(other, BASELINE, seeds=(9,))


def test_an_exported_model_answers_the_same_without_the_workspace(place, sample_cut, store, tmp_path) -> None:
    for strategy in (HIERARCHICAL, LATE):
        model = model_of(place, strategy)
        expected, _ = answer(model, read(sample_cut), store)
        folder = save_model(model, tmp_path / strategy.replace("/", " "), "# card\n")
        moved = folder.rename(tmp_path / f"moved {strategy[:4]}")
        loaded = load_model(moved)
        found, _ = answer(loaded, read(sample_cut), tmp_path / "store")
        np.testing.assert_array_equal(found, expected)
        assert loaded.class_names == {"1010": "Mammifères"}
        suffixes = {path.suffix for path in moved.rglob("*") if path.is_file()}
        assert suffixes <= {".safetensors", ".json", ".md", ".txt", ".model"}
        text = "".join(path.read_text(encoding="utf-8") for path in moved.rglob("*.json"))
        assert str(place.root) not in text


def test_three_lines_of_python_classify(place, sample_cut, store, tmp_path) -> None:
    model = model_of(place, PROBE)
    expected, _ = answer(model, read(sample_cut), store)
    folder = save_model(model, tmp_path / "model", "")
    found = classify(folder, sample_cut)
    assert [code for _, code, _ in found] == [model.classes[at] for at in expected.argmax(1)]
    assert [chance for _, _, chance in found] == expected.max(1).tolist()
    with pytest.raises(ModelError, match=r"model\.json"):
        load_model(tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        save_model(model, tmp_path, "")


def test_refitted_heads_have_learnt_from_every_labelled_product(place, sample_cut, store, tmp_path) -> None:
    other = Workspace(Path(shutil.copytree(place.root, tmp_path / "workspace")))
    with pytest.raises(ModelError, match="nothing was refitted"):
        refitted(other, {})
    refit(other, BASELINE, (1, 2))
    record, model, compared = read_refit(other), refitted(other, {}), model_of(other, BASELINE)
    assert record["products"] == 180
    assert record["scores"] is None
    assert record["epochs"]["1"] == Runs(other.runs).read(BASELINE, 1).settings["best_epoch"]
    labels = Runs(other.runs).products().labels
    np.testing.assert_allclose(model.prior, np.bincount(labels) / 180, atol=1e-6)
    tested = Runs(other.runs).products().rows("test")
    new, old = (answer(each, read(sample_cut), store)[0][tested, labels[tested]].mean() for each in (model, compared))
    assert new > old  # it has seen these very products, the compared heads have not
    again = Run(**vars(Runs(other.runs).read(BASELINE, 1)) | {"key": "fitted anew"})
    Runs(other.runs).write(again)
    with pytest.raises(ModelError, match="fitted anew"):
        refitted(other, {})


@pytest.fixture(scope="module")
def wide(place: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The study with every kind of late fusion and a uni-modal row."""
    other = Workspace(Path(shutil.copytree(place.root, tmp_path_factory.mktemp("wide") / "workspace")))
    names = [*STRATEGIES, *(f"late/{late}" for late in Late), "unimodal/camembert.description"]
    table = FeatureCache(other.features).table()
    fuse(table, [Strategy.parse(name) for name in names], Runs(other.runs), FitSettings(epochs=6), seeds=2, processes=1)
    return other


def learnt_again(place: Workspace, strategy: str, seed: int = 0) -> tuple[dict[str, Any], Predictor]:
    """The record of a refit and what it has learnt."""
    folder = refit(place, strategy, (seed,))
    return read_refit(place), load(folder / f"seed-{seed}")


@pytest.mark.parametrize("late", ["weighted", "calibrated", "logistic", "lightgbm"])
def test_late_fusion_learns_again_from_all_that_no_network_has_seen(wide, late: str) -> None:
    record, found = learnt_again(wide, f"late/{late}")
    table = FeatureCache(wide.features).table(list(found.features))
    rows = table.rows("validation", "test")
    assert (record["fitted_on"], record["products"], record["scores"]) == (["validation", "test"], len(rows), None)
    assert record["compared_on"] == len(table.rows("validation"))
    expected = method_class(Late(late))(len(found.features), np.bincount(table.labels) / len(table.labels))
    expected.fit(gather(table.features, found.features, rows), table.labels[rows])
    wanted = expected.predict(gather(table.features, found.features).whole())
    np.testing.assert_allclose(found.probabilities(table.features), wanted, atol=1e-6)
    before = load_head(Runs(wide.runs).path(f"late/{late}", 0)).probabilities(table.features)
    assert np.abs(before - wanted).max() > 1e-3


@pytest.mark.parametrize("strategy", ["late/mean", "late/product", "late/maximum", "unimodal/camembert.description"])
def test_what_learns_only_the_shares_of_the_classes_counts_them_again(wide, strategy: str) -> None:
    record, found = learnt_again(wide, strategy)
    assert (record["learns"], record["products"], record["scores"]) == (False, 180, None)
    table = FeatureCache(wide.features).table(list(found.features))
    here = np.logical_or.reduce([table.features[name].present for name in found.features])
    before = load_head(Runs(wide.runs).path(strategy, 0)).probabilities(table.features)
    np.testing.assert_array_equal(found.probabilities(table.features)[here], before[here])
    nothing = {
        name: dataclasses.replace(feature, present=np.zeros_like(feature.present)) for name, feature in table.features.items()
    }
    np.testing.assert_allclose(found.probabilities(nothing)[0], np.bincount(table.labels) / 180, atol=1e-6)


@pytest.mark.parametrize("strategy", ["late/vote", "late/selection"])
def test_an_ensemble_s_members_are_fitted_again_and_its_weights_stay(wide, sample_cut, store, strategy: str) -> None:
    before = load_head(Runs(wide.runs).path(strategy, 2))
    _, after = learnt_again(wide, strategy, seed=2)
    np.testing.assert_array_equal(after.weights, before.weights)
    answers, _ = answer(refitted(wide, {}), read(sample_cut), store)
    table = FeatureCache(wide.features).table()
    np.testing.assert_array_equal(answers, after.probabilities(table.features))
    names = [member.strategy.name for member in before.members.values()]
    for name, member in zip(names, after.members.values(), strict=True):
        _, alone = learnt_again(wide, name, seed=0 if name.startswith("unimodal") else 2)
        np.testing.assert_array_equal(member.probabilities(table.features), alone.probabilities(table.features))


def external(
    place: Workspace, folder: Path, strategy: str, rows: NDArray[np.intp], *, logits: bool = False
) -> dict[str, Files]:
    """The study's own vectors of these rows, as somebody would bring them: a file each, in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    table = FeatureCache(place.features).table()
    found = {}
    for name in model_of(place, strategy).shapes:
        feature, path, scores = table.features[name], folder / f"{name}.npz", folder / f"{name}.npy"
        values = {"embedding": feature.embedding[rows].astype(np.float32), "present": feature.present[rows]}
        np.savez(path, product_id=table.ids[rows], **values)
        np.save(scores, feature.logits[rows])
        found[name] = Files(name, path, None, scores if logits else None)
    return found


def cut(catalogue: Catalogue, rows: NDArray[np.intp]) -> Catalogue:
    return dataclasses.replace(catalogue, products=tuple(catalogue.products[row] for row in rows))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_brought_vectors_of_the_test_products_get_the_stored_predictions_to_the_bit(
    place, sample_cut, tmp_path, strategy: str
) -> None:
    runs, model = Runs(place.runs), model_of(place, strategy)
    rows = runs.products().rows("test")
    files = external(place, tmp_path / "files", strategy, rows, logits=strategy == LATE)
    stored = [run.probabilities["test"] for seed in model.predictors if (run := runs.read(strategy, seed))]
    mean = sum(stored[1:], stored[0]) / np.float32(len(stored))
    for catalogue in (cut(read(sample_cut), rows), products_of(files)):
        options = {"model": dataclasses.replace(model, fine_tuned={}), "catalogue": catalogue, "external": files}
        found, encoded = answer(**options, store=tmp_path / "store")
        np.testing.assert_array_equal(found, mean)
        assert encoded == {}
        found, _ = answer(**options, store=tmp_path / "store", chunk=7)
        np.testing.assert_allclose(found, mean, atol=1e-6)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_brought_vectors_find_their_product_and_stand_in_for_one_network_only(place, sample_cut, tmp_path) -> None:
    model, whole = model_of(place, BASELINE), read(sample_cut)
    expected, _ = answer(model, whole, tmp_path / "store")
    image, text = "se_resnext50.image", "camembert.title_description"
    files = {image: external(place, tmp_path / "files", BASELINE, np.arange(180)[::-1])[image]}
    told = {}
    found, encoded = answer(model, whole, tmp_path / "store", external=files, joined=told.__setitem__)
    np.testing.assert_array_equal(found, expected)
    assert encoded == {text: 0}
    assert told[image].present.all()
    some = cut(whole, np.arange(100, 180)[::-1])
    files = {image: external(place, tmp_path / "some", BASELINE, np.arange(150))[image]}
    (batch,) = predict(model, some, tmp_path / "store", external=files, joined=told.__setitem__)
    assert (told[image].present.sum(), len(told[image].unknown)) == (50, 100)
    np.testing.assert_allclose(batch.probabilities[30:], expected[100:150][::-1], atol=2e-3)
    assert not np.allclose(batch.probabilities[:30], expected[150:180][::-1], atol=1e-2)  # their pictures count as missing


def test_a_product_of_brought_vectors_lacks_what_it_has_no_vector_of(place, tmp_path) -> None:
    model = model_of(place, BASELINE)
    image, text = sorted(model.shapes, reverse=True)
    files = external(place, tmp_path / "a", BASELINE, np.arange(3))
    files[image] = external(place, tmp_path / "b", BASELINE, np.arange(2, 5))[image]
    (batch,) = predict(model, products_of(files), tmp_path, external=files)
    table = FeatureCache(place.features).table()
    assert [product.id for product in batch.products] == sorted(table.ids[:5].tolist(), key=table.ids.tolist().index)
    assert batch.absent == [("image",), ("image",), (), ("title", "description"), ("title", "description")]
    assert not batch.empty.any()
    with np.load(files[text].vectors) as file:
        arrays = dict(file)
    arrays["embedding"][1] = np.nan
    np.savez(files[text].vectors, **arrays)
    with pytest.raises(UnusableVectors, match=rf"product '{table.ids[1]}' holds NaN"):
        list(predict(model, products_of(files), tmp_path, external=files))


def test_a_feature_that_nobody_provides_is_named_before_anything_is_encoded(place, sample_cut, tmp_path) -> None:
    model, products = model_of(place, BASELINE), read(sample_cut)
    image, text = sorted(model.shapes, reverse=True)
    blind = dataclasses.replace(model, fine_tuned={text: model.fine_tuned[text]})
    files = external(place, tmp_path / "files", BASELINE, np.arange(180), logits=True)

    def refused(kind: type[Exception], told: str, model: Model, catalogue: Catalogue, files: dict[str, Files]) -> None:
        with pytest.raises(kind, match=told):
            next(predict(model, catalogue, tmp_path / "store", external=files))

    refused(ModelError, f"needs {image}, which no network here computes: .*--vectors {image}=FILE", blind, products, {})
    refused(ModelError, f"needs {text} too", model, products_of({image: files[image]}), {image: files[image]})
    refused(UsageError, f"--vectors mine.title: {BASELINE} does not look at it", model, products, {"mine.title": files[image]})
    late = model_of(place, LATE)
    refused(UsageError, f"pass --logits {text}=FILE", late, products, {text: dataclasses.replace(files[text], logits=None)})
    ids = [product.id for product in products.products]
    np.savez(tmp_path / "narrow.npz", embedding=np.zeros((180, 5)), product_id=ids)
    narrow = {image: dataclasses.replace(files[image], vectors=tmp_path / "narrow.npz", logits=None)}
    refused(ModelError, "vectors of 5 numbers; the heads were fitted on se_resnext50.image with", model, products, narrow)
    assert not (tmp_path / "store").exists()


def test_a_model_of_brought_vectors_is_exported_without_networks(place, sample_cut, tmp_path) -> None:
    rows = np.arange(180)
    files = external(place, tmp_path / "files", BASELINE, rows)
    model = dataclasses.replace(model_of(place, BASELINE), fine_tuned={})
    loaded = load_model(save_model(model, tmp_path / "model", ""))
    assert loaded.shapes == model.shapes and loaded.fine_tuned == {}
    expected, _ = answer(model, read(sample_cut), tmp_path / "store", external=files)
    found, _ = answer(loaded, products_of(files), tmp_path / "store", external=files)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("place_of_byte", [0.02, 0.5, 0.98])
def test_a_damaged_memory_is_told_and_encoded_again(place, sample_cut, tmp_path, place_of_byte: float) -> None:
    model, told = model_of(place, PROBE), []
    expected, _ = answer(model, read(sample_cut), tmp_path)
    (path,) = tmp_path.rglob("*.h5")
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[int(place_of_byte * len(whole))] ^= 4
    path.write_bytes(spoilt)
    found, _ = answer(model, read(sample_cut), tmp_path, damaged=told.append)
    np.testing.assert_array_equal(found, expected)
    assert len(told) == 1 and f"{path} is damaged" in told[0]
    assert path.read_bytes() == whole
    assert answer(model, read(sample_cut), tmp_path, damaged=told.append)[1] == {"camembert.title": 0}
    assert len(told) == 1


def test_a_damaged_memory_of_another_catalogue_is_encoded_again(place, sample_cut, tmp_path) -> None:
    model, whole, told = model_of(place, PROBE), read(sample_cut), []
    expected, _ = answer(model, whole, tmp_path)
    (path,) = tmp_path.rglob("*.h5")
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 4
    path.write_bytes(spoilt)
    found, _ = answer(model, cut(whole, np.arange(180)[::-1]), tmp_path, damaged=told.append)
    np.testing.assert_allclose(found[::-1], expected, atol=2e-3)
    assert len(told) == 1
