"""Stage one as a whole: what makes a feature stale, and that nothing is computed twice."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecat.cache.store import FeatureCache
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.validate import validate
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.extract import encoders, explain, extract
from fusecat.stages.extraction.settings import Network, Pooling
from fusecat.stages.fields import Field
from fusecat.stages.metrics import ACCURACY, MACRO_F1, Metric
from fusecat.stages.workspace import Workspace
from tests.conftest import cut_sample, read_table, write_table
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, FLAUBERT, NETWORKS, SE_RESNEXT50, open_study

QUICK = tuple(dataclasses.replace(network, training=dataclasses.replace(network.training, epochs=1)) for network in NETWORKS)
TITLE, DESCRIPTION, BOTH, IMAGE = ("title", "description", "title_description", "image")
EVERY = {TITLE, DESCRIPTION, BOTH, IMAGE}


@pytest.fixture(scope="module")
def extracted(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("extracted") / "espace de travail é")
    extract(open_study(sample_cut), encoders(QUICK, EXTRACTION), workspace)
    return workspace


@pytest.fixture
def catalogue(sample_cut: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(sample_cut, tmp_path / "catalogue"))


def stale(workspace: Workspace, study: Study, chosen: list[Encoder], metric: Metric = MACRO_F1) -> set[str]:
    """The fields of the features that would be computed again."""
    verdicts = explain(study, chosen, workspace, metric)
    return {name.rpartition(".")[2] for name, verdict in verdicts.items() if verdict.state != "hit"}


def test_seven_features_are_stored_for_every_product(extracted: Workspace, sample_cut: Path) -> None:
    table = FeatureCache(extracted.features).table()
    expected = {f"{network}.{field}" for network in ("camembert", "flaubert") for field in (TITLE, DESCRIPTION, BOTH)}
    assert set(table.features) == {*expected, "se_resnext50.image"}
    assert list(table.ids) == [row["Integer_id"] for row in read_table(sample_cut / "X_train.tsv")]
    for feature in table.features.values():
        assert feature.fitted_on == ("train",)
        assert np.isfinite(feature.embedding).all()
        assert feature.logits is not None


def test_a_second_extraction_computes_nothing(extracted: Workspace, sample_cut: Path) -> None:
    told: list[object] = []
    study = open_study(sample_cut)
    outcomes = extract(study, encoders(QUICK, EXTRACTION), extracted, progress=lambda *values, **_: told.append(values))
    assert [outcome.state for outcome in outcomes] == ["hit"] * 7
    assert not told


def test_a_field_that_no_product_has_is_left_out_and_named(catalogue: Path, tmp_path: Path) -> None:
    rows = read_table(catalogue / "X_train.tsv")
    write_table(catalogue / "X_train.tsv", [row | {"Description": ""} for row in rows])
    chosen = encoders((FLAUBERT,), EXTRACTION, [Field.DESCRIPTION])
    (outcome,) = extract(open_study(catalogue), chosen, Workspace(tmp_path / "workspace"))
    assert outcome.state == "left out"
    assert "description" in outcome.reason


def edit(name: str, row: int, **cells: str):
    def change(catalogue: Path) -> None:
        rows = read_table(catalogue / name)
        rows[row] |= cells
        write_table(catalogue / name, rows)

    return change


def one_label(catalogue: Path) -> None:
    rows = read_table(catalogue / "Y_train.tsv")
    rows[4]["Prdtypecode"] = next(row["Prdtypecode"] for row in rows if row["Prdtypecode"] != rows[4]["Prdtypecode"])
    write_table(catalogue / "Y_train.tsv", rows)


def one_pixel(catalogue: Path) -> None:
    path = sorted((catalogue / "image_training").iterdir())[3]
    image = cv2.imread(str(path))
    image[5, 5] = 255 - image[5, 5]
    cv2.imwrite(str(path.with_suffix(".png")), image)
    path.with_suffix(".png").rename(path)


def training(network: Network, **changes: object) -> Network:
    return dataclasses.replace(network, training=dataclasses.replace(network.training, **changes))


def all_networks(**changes: object):
    return lambda networks: tuple(training(network, **changes) for network in networks)


def texts_only(**changes: object):
    return lambda networks: tuple(
        network if network.is_image else dataclasses.replace(network, **changes) for network in networks
    )


def images_only(**changes: object):
    return lambda networks: tuple(
        dataclasses.replace(network, **changes) if network.is_image else network for network in networks
    )


TEXTS = {TITLE, DESCRIPTION, BOTH}
CATALOGUE_CHANGES = {
    "one character of one title": (edit("X_train.tsv", 4, Title="Chenillee"), {TITLE, BOTH}),
    "one character of one description": (edit("X_train.tsv", 4, Description="un mot"), {DESCRIPTION, BOTH}),
    "one pixel": (one_pixel, {IMAGE}),
    "one label": (one_label, EVERY),
}


@pytest.mark.parametrize("name", CATALOGUE_CHANGES)
def test_a_changed_product_makes_exactly_the_features_of_that_field_stale(
    name: str, catalogue: Path, extracted: Workspace
) -> None:
    change, expected = CATALOGUE_CHANGES[name]
    assert stale(extracted, open_study(catalogue), encoders(QUICK, EXTRACTION)) == set()
    change(catalogue)
    assert stale(extracted, open_study(catalogue), encoders(QUICK, EXTRACTION)) == expected


SETTING_CHANGES = {
    "pooling": (texts_only(pooling=Pooling.FLATTEN), TEXTS),
    "length": (texts_only(length=20), TEXTS),
    "lower case": (texts_only(lowercase=True), TEXTS),
    "prefix": (texts_only(prefix="query: "), TEXTS),
    "vocabulary": (texts_only(vocabulary=310), TEXTS),
    "image size": (images_only(size=28), {IMAGE}),
    "augmentation": (images_only(augment=False), {IMAGE}),
    "shape of the image network": (images_only(shape={**SE_RESNEXT50.shape, "groups": 4}), {IMAGE}),
    "weights": (images_only(weights="imagenet"), {IMAGE}),
    "revision": (images_only(revision="v2"), {IMAGE}),
    "epochs": (all_networks(epochs=3), EVERY),
    "learning rate": (all_networks(learning_rate=1e-3), EVERY),
    "network seed": (all_networks(seed=1), EVERY),
    "label smoothing": (all_networks(label_smoothing=0.2), EVERY),
    "token dropout": (all_networks(token_dropout=0.2), EVERY),
    "freeze": (all_networks(freeze=True), EVERY),
}


@pytest.mark.parametrize("name", SETTING_CHANGES)
def test_a_changed_setting_makes_exactly_the_features_stale_that_depend_on_it(
    name: str, sample_cut: Path, extracted: Workspace
) -> None:
    change, expected = SETTING_CHANGES[name]
    networks = change(QUICK)
    found = stale(extracted, open_study(sample_cut), encoders(networks, EXTRACTION))
    assert found == expected


def test_split_metric_precision_and_storage_make_every_feature_stale(sample_cut: Path, extracted: Workspace) -> None:
    study, chosen = open_study(sample_cut), encoders(QUICK, EXTRACTION)
    assert stale(extracted, open_study(sample_cut, seed=1), chosen) == EVERY
    assert stale(extracted, open_study(sample_cut, head_share=0.2), chosen) == EVERY
    assert stale(extracted, study, chosen, ACCURACY) == EVERY
    for change in ({"precision": "bf16"}, {"storage": "float32"}, {"tokens": 128, "images": 4}, {"block": 32}):
        other = dataclasses.replace(EXTRACTION, **change)
        if "precision" in change:
            other = dataclasses.replace(EXTRACTION, precision=type(EXTRACTION.precision)("bf16"))
        assert stale(extracted, study, encoders(QUICK, other)) == EVERY, change


def test_weights_are_known_by_their_bytes_not_by_their_path(tmp_path: Path) -> None:
    from fusecat.stages.extraction.weights import identity

    (tmp_path / "a").mkdir()
    for name in ("model.safetensors", "a/model.safetensors"):
        (tmp_path / name).write_bytes(b"weights")
    here, there = (
        dataclasses.replace(SE_RESNEXT50, weights=str(tmp_path / name)) for name in ("model.safetensors", "a/model.safetensors")
    )
    assert identity(here) == identity(there)
    (tmp_path / "a/model.safetensors").write_bytes(b"Weights")
    assert identity(here) != identity(there)


def touch_everything(catalogue: Path) -> None:
    for path in [*catalogue.iterdir(), *(catalogue / "image_training").iterdir()]:
        path.touch()


def move(catalogue: Path) -> Path:
    return Path(shutil.move(catalogue, catalogue.parent / "somewhere else"))


def add_column(catalogue: Path) -> None:
    write_table(catalogue / "X_train.tsv", [row | {"Colour": "red"} for row in read_table(catalogue / "X_train.tsv")])


def rename_classes(catalogue: Path) -> None:
    path = catalogue / "catalog_english_taxonomy.tsv"
    write_table(path, [row | {"Category": "Renamed"} for row in read_table(path)])


def reorder_labels(catalogue: Path) -> None:
    write_table(catalogue / "Y_train.tsv", read_table(catalogue / "Y_train.tsv")[::-1])


def entities(catalogue: Path) -> None:
    rows = read_table(catalogue / "X_train.tsv")
    rows[2]["Title"] = "<b>" + rows[2]["Title"].replace("é", "&eacute;") + "</b><br>"
    write_table(catalogue / "X_train.tsv", rows)


def windows_lines(catalogue: Path) -> None:
    path = catalogue / "X_train.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def unused_file(catalogue: Path) -> None:
    (catalogue / "notes.txt").write_text("not read")


@pytest.mark.parametrize(
    "change",
    [touch_everything, move, add_column, rename_classes, reorder_labels, entities, windows_lines, unused_file],
    ids=lambda change: change.__name__,
)
def test_what_no_network_sees_makes_nothing_stale(change, catalogue: Path, extracted: Workspace) -> None:
    study = open_study(change(catalogue) or catalogue)
    assert stale(extracted, study, encoders(QUICK, EXTRACTION)) == set()


def test_workers_order_of_the_preset_and_other_networks_make_nothing_stale(sample_cut: Path, extracted: Workspace) -> None:
    study, busy = open_study(sample_cut), dataclasses.replace(EXTRACTION, workers=4)
    assert stale(extracted, study, encoders(QUICK[::-1], busy)) == set()
    assert stale(extracted, study, encoders(QUICK[:1], EXTRACTION, [Field.TITLE])) == set()


ELSEWHERE = """
from pathlib import Path
import sys
from tests.stages.extraction.test_extract import EXTRACTION, QUICK, Workspace, encoders, open_study, stale
print(sorted(stale(Workspace(Path(sys.argv[1])), open_study(Path(sys.argv[2])), encoders(QUICK, EXTRACTION))))
"""


@pytest.mark.parametrize(
    "change",
    [{"LC_ALL": "C", "PYTHONHASHSEED": "1"}, {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "4242"}],
    ids=lambda change: change["LC_ALL"],
)
def test_locale_hash_seed_time_zone_and_folder_make_nothing_stale(
    change: dict[str, str], sample_cut: Path, extracted: Workspace, tmp_path: Path
) -> None:
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "TZ": "Asia/Tokyo"} | change
    command = [sys.executable, "-c", ELSEWHERE, str(extracted.root), str(sample_cut)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=environment)
    assert done.stdout.strip() == "[]", done.stderr[-1500:]


def test_the_other_layout_of_the_same_products_gives_identical_vectors(tmp_path: Path) -> None:
    sigir = cut_sample(tmp_path / "sigir", classes=3, each=20)
    ens = to_ens(sigir, tmp_path / "ens")
    tables = []
    for catalogue in (sigir, ens):
        workspace = Workspace(tmp_path / f"workspace-{catalogue.name}")
        extract(open_study(catalogue), encoders((QUICK[0], QUICK[2]), EXTRACTION), workspace)
        tables.append(FeatureCache(workspace.features).table())
    assert tables[0].fingerprint == tables[1].fingerprint
    for name, feature in tables[0].features.items():
        assert np.array_equal(feature.embedding, tables[1].features[name].embedding), name
        assert np.array_equal(feature.logits, tables[1].features[name].logits), name


def to_ens(sigir: Path, ens: Path) -> Path:
    """The same catalogue in the layout of the ENS distribution."""
    names = {
        "Integer_id": "",
        "Title": "designation",
        "Description": "description",
        "Product_id": "productid",
        "Image_id": "imageid",
    }
    shutil.copytree(sigir / "image_training", ens / "images" / "image_train")
    rows = read_table(sigir / "X_train.tsv")
    write_table(ens / "X_train_update.csv", [{new: row[old] for old, new in names.items()} for row in rows], ",")
    labels = [{"": row["Integer_id"], "prdtypecode": row["Prdtypecode"]} for row in read_table(sigir / "Y_train.tsv")]
    write_table(ens / "Y_train_CVw08PX.csv", labels, ",")
    return ens


def test_changing_the_head_share_keeps_rows_from_the_networks(sample_cut: Path) -> None:
    found = validate(sample_cut, ReadingOptions(), None, head_share=0.25)
    assert found.split is not None
    counts = found.split.counts
    assert counts["head"] == pytest.approx(0.25 * (counts["head"] + counts["train"]), abs=6)


def test_the_same_settings_twice_give_the_same_file(sample_cut: Path, tmp_path: Path) -> None:
    study = open_study(sample_cut)
    chosen = encoders((training(CAMEMBERT, epochs=1),), EXTRACTION, [Field.TITLE])
    files = []
    for name in ("one", "two"):
        extract(study, chosen, Workspace(tmp_path / name))
        files.append(FeatureCache(tmp_path / name / "features").path("camembert.title").read_bytes())
    assert files[0] == files[1]


def small_features(catalogue: Path, workspace: Path, options: ReadingOptions = ReadingOptions()):  # noqa: B008 - frozen
    found = validate(catalogue, options, None)
    assert found.split is not None
    study = Study(found.catalogue, found.images, found.split)
    extract(study, encoders((QUICK[0], QUICK[2]), EXTRACTION, [Field.TITLE_DESCRIPTION, Field.IMAGE]), Workspace(workspace))
    return FeatureCache(Workspace(workspace).features).table()


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut_sample(tmp_path_factory.mktemp("little") / "catalogue", classes=3, each=20)


def test_other_bytes_with_the_same_decoded_content_give_identical_vectors(little: Path, tmp_path: Path) -> None:
    """PNG named .jpg, decomposed accents, ids as floats: nothing of it reaches a network."""
    import unicodedata

    from PIL import Image

    spoilt = Path(shutil.copytree(little, tmp_path / "spoilt"))
    for path in sorted((spoilt / "image_training").iterdir())[:5]:
        pixels = Image.open(path).convert("RGB")
        pixels.save(path, "PNG")
    for name in ("X_train.tsv", "Y_train.tsv"):
        rows = [row | {"Image_id": f"{row['Image_id']}.0"} for row in read_table(spoilt / name)]
        write_table(spoilt / name, [{key: unicodedata.normalize("NFD", value) for key, value in row.items()} for row in rows])
    before, after = small_features(little, tmp_path / "one"), small_features(spoilt, tmp_path / "two")
    assert before.fingerprint == after.fingerprint
    for name, feature in before.features.items():
        for part in ("embedding", "logits", "present"):
            assert np.array_equal(getattr(feature, part), getattr(after.features[name], part)), (name, part)


def test_the_sample_as_parquet_with_other_columns_labels_and_second_images_gives_the_same_vectors(
    little: Path, tmp_path: Path
) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from fusecat.stages.catalogue.data_model import ImageUse

    labels = {row["Integer_id"]: f"code {row['Prdtypecode']}" for row in read_table(little / "Y_train.tsv")}
    shutil.copytree(little / "image_training", tmp_path / "own" / "photos")
    rows = []
    for number, row in enumerate(read_table(little / "X_train.tsv")):
        name = f"photos/image_{row['Image_id']}_product_{row['Product_id']}.jpg"
        rows.append(
            {
                "sku": row["Integer_id"],
                "name": row["Title"],
                "text": row["Description"] or None,
                "category": labels[row["Integer_id"]],
                "pictures": [name, name] if number % 3 == 0 else [name],
            }
        )
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "own" / "products.parquet")
    columns = {"id": "sku", "title": "name", "description": "text", "label": "category", "image": "pictures"}
    before = small_features(little, tmp_path / "one")
    for use in (ImageUse.FIRST, ImageUse.MEAN):
        own = small_features(tmp_path / "own" / "products.parquet", tmp_path / use, ReadingOptions(columns=columns, images=use))
        assert list(own.ids) == list(before.ids)
        assert np.array_equal(own.labels, before.labels)
        assert np.array_equal(own.split, before.split)
        texts = "camembert.title_description"
        assert np.array_equal(own.features[texts].embedding, before.features[texts].embedding)
        if use is ImageUse.FIRST:
            image = "se_resnext50.image"
            assert np.array_equal(own.features[image].embedding, before.features[image].embedding)
            assert np.array_equal(own.features[image].logits, before.features[image].logits)
