"""Laws of reading: both distributions give the same products; whatever bytes come, it ends in products or one clean refusal."""

import csv
import gc
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusecat.pipeline.console import default_catalogue
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError, FusecatError, UsageError
from tests.stages.catalogue.nasty import Draft, draft

NO_IMAGES = ReadingOptions(images=ImageUse.NONE)


@pytest.fixture
def small(tmp_path: Path) -> Draft:
    (tmp_path / "small").mkdir()
    return draft(default_catalogue(), tmp_path / "small")


def contents(catalogue: Catalogue) -> list[tuple]:
    return [(p.id, p.title, p.description, p.code, [image.read_bytes() for image in p.images]) for p in catalogue.products]


def to_ens(d: Draft, folder: Path) -> Path:
    """The same products as the other distribution has them."""
    (folder / "images").mkdir(parents=True)
    shutil.copytree(d.folder / "image_training", folder / "images" / "image_train")
    names = {
        "Integer_id": "",
        "Title": "designation",
        "Description": "description",
        "Product_id": "productid",
        "Image_id": "imageid",
    }
    for name, rows, columns in (
        ("X_train_update.csv", d.texts, names),
        ("Y_train_CVw08PX.csv", d.labels, {"Integer_id": "", "Prdtypecode": "prdtypecode"}),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns.values())
            writer.writerows([row[column] for column in columns] for row in rows)
    return folder


def test_both_distributions_give_the_same_products(small: Draft, tmp_path: Path) -> None:
    sigir, ens = read_catalogue(small.write()), read_catalogue(to_ens(small, tmp_path / "ens"))
    assert (sigir.layout, ens.layout) == ("sigir", "ens")
    assert contents(sigir) == contents(ens)
    assert sigir.classes == ens.classes
    assert (sigir.labels == ens.labels).all()
    assert sigir.findings == ens.findings == ()
    assert sigir.class_names["1010"] == "Mammifères"
    assert sigir.top_level["1010"] == "Animals"


def test_the_index_of_the_other_distribution_may_be_called_unnamed(small: Draft, tmp_path: Path) -> None:
    folder = to_ens(small, tmp_path / "ens")
    for path in folder.glob("*.csv"):
        path.write_text("Unnamed: 0" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert [product.id for product in read_catalogue(folder).products] == [row["Integer_id"] for row in small.texts]


def test_a_test_set_is_read_by_its_file_with_its_own_pictures(small: Draft) -> None:
    folder = small.write()
    catalogue = read_catalogue(folder / "x_test_task1_phase1.tsv", ReadingOptions(labels=False))
    assert [product.id for product in catalogue.products] == [row["Integer_id"] for row in small.tests]
    assert {image.parent.name for product in catalogue.products for image in product.images} == {"image_test_task1_phase1"}
    assert catalogue.classes == ()
    assert catalogue.findings == ()


def test_texts_without_labels_will_do_for_prediction(small: Draft) -> None:
    small.files["Y_train.tsv"] = None
    folder = small.write()
    with pytest.raises(DataError, match=r"Y_train\.tsv does not exist"):
        read_catalogue(folder)
    assert read_catalogue(folder, ReadingOptions(labels=False)).classes == ()


@pytest.mark.parametrize(
    ("lacking", "absent"),
    [(["Title"], 1), (["Description"], 0), (["Image_id", "Product_id"], 2), (["Title", "Description"], 1)],
)
def test_columns_that_new_products_lack_are_absent_fields(lacking: list[str], absent: int, small: Draft) -> None:
    header = small.header("X_train.tsv")
    for name in lacking:
        header.remove(name)
    small.write()
    (small.folder / "Y_train.tsv").unlink()
    catalogue = read_catalogue(small.folder, ReadingOptions(labels=False))
    found = {finding.kind: finding.count for finding in catalogue.findings}
    assert found.get("absent_columns", 0) == absent
    for product in catalogue.products:
        assert product.title is None or "Title" not in lacking
        assert product.description is None or "Description" not in lacking
        assert not product.images or "Image_id" not in lacking
    if lacking != ["Description"]:
        with pytest.raises(DataError, match="missing"):
            (small.folder / "Y_train.tsv").write_text(small.text("Y_train.tsv"), encoding="utf-8")
            read_catalogue(small.folder)


def test_classes_are_sorted_as_numbers_where_they_are_numbers(small: Draft) -> None:
    for row in small.labels:
        row["Prdtypecode"] = str(int(row["Prdtypecode"]) % 7 + 5)
    assert read_catalogue(small.write()).classes == ("5", "6", "7", "8", "9", "10", "11")


def test_an_encoding_can_be_said(small: Draft) -> None:
    small.files["X_train.tsv"] = small.text("X_train.tsv").encode("utf-16")
    small.files["Y_train.tsv"] = small.text("Y_train.tsv").encode("utf-16")
    small.files["catalog_english_taxonomy.tsv"] = small.files["x_test_task1_phase1.tsv"] = None
    assert len(read_catalogue(small.write(), ReadingOptions(encoding="utf-16")).products) == len(small.texts)
    with pytest.raises(UsageError, match="no such encoding"):
        read_catalogue(small.folder, ReadingOptions(encoding="utf-99"))
    with pytest.raises(UsageError, match="no such encoding"):
        read_catalogue(small.folder, ReadingOptions(encoding="hex"))


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_catalogue(tmp_path / "nowhere")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/stdin"])
def test_devices_are_refused_at_once(path: str) -> None:
    for options in (ReadingOptions(), ReadingOptions(columns={"id": "a", "title": "b"})):
        with pytest.raises(DataError, match="/dev/"):
            read_catalogue(Path(path), options)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "X_train.tsv")
    os.mkfifo(tmp_path / "catalogue.toml")
    for path in (tmp_path, tmp_path / "X_train.tsv"):
        with pytest.raises(DataError, match="pipe"):
            read_catalogue(path)


def test_the_folder_of_a_link_is_the_folder_it_leads_to(small: Draft, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(small.write())
    assert contents(read_catalogue(tmp_path / "link")) == contents(read_catalogue(small.folder))


def test_pictures_are_not_wanted_so_none_is_missed(small: Draft) -> None:
    shutil.rmtree(small.folder / "image_training")
    catalogue = read_catalogue(small.write(), NO_IMAGES)
    assert catalogue.findings == ()
    assert not any(product.images for product in catalogue.products)


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "swap", "double"]), st.integers(0, 2**31), st.binary(min_size=1, max_size=9)
    ),
    min_size=1,
    max_size=4,
)


def mutate(data: bytes, mutations: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, extra in mutations:
        at = place % (len(data) + 1)
        match kind:
            case "flip":
                data = data[:at] + bytes(byte ^ extra[0] for byte in data[at : at + 1]) + data[at + 1 :]
            case "cut":
                data = data[:at]
            case "insert":
                data = data[:at] + extra + data[at:]
            case "swap":
                data = data[at:] + data[:at]
            case _:
                data = data[:at] + data[max(0, at - 400) :]
    return data


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Draft:
    folder = tmp_path_factory.mktemp("mutated") / "it"
    made = draft(default_catalogue(), folder, per_class=2)
    made.write()
    return made


def read_mutated(victim: Draft, name: str, mutations: list[tuple[str, int, bytes]], good: bytes) -> None:
    """Read a catalogue with one mutated file: products, each with an id of its own, or one line that names the folder."""
    path = victim.folder / name
    try:
        path.write_bytes(mutate(good, mutations))
        catalogue = read_catalogue(victim.folder, NO_IMAGES)
        assert len({product.id for product in catalogue.products}) == len(catalogue.products) > 0
        assert all(product.code is None or product.code.isdecimal() for product in catalogue.products)
    except FusecatError as error:
        assert str(victim.folder) in str(error)
        assert len(str(error)) < 1000
    finally:
        path.write_bytes(good)


FILES = ["X_train.tsv", "Y_train.tsv", "catalog_english_taxonomy.tsv", "x_test_task1_phase1.tsv"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(FILES), MUTATIONS)
def test_mutated_files_give_products_or_a_clean_refusal(
    victim: Draft, name: str, mutations: list[tuple[str, int, bytes]]
) -> None:
    read_mutated(victim, name, mutations, victim.text(name).encode())


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_mutations_of_good_files(victim: Draft, count: int) -> None:
    dice = random.Random(7)
    kinds = ["flip", "cut", "insert", "swap", "double"]
    good = {name: victim.text(name).encode() for name in FILES}
    for _ in range(count):
        mutations = [
            (dice.choice(kinds), dice.randrange(2**31), dice.randbytes(dice.randint(1, 9))) for _ in range(dice.randint(1, 4))
        ]
        name = dice.choice(FILES)
        read_mutated(victim, name, mutations, good[name])


def test_rows_leave_no_cycles_and_the_collector_is_as_before(tmp_path: Path) -> None:
    """It rests while rows are read, so that cycles would fill memory."""
    with (tmp_path / "products.csv").open("w", encoding="utf-8") as file:
        file.write("id,title,description,label\n")
        file.writelines(f"{at},<b>Un</b> titre {at},<p>&lt;i&gt;Une <u>description</u></p><br>,{at % 2}\n" for at in range(500))
    options = ReadingOptions(columns={name: name for name in ("id", "title", "description", "label")}, images=ImageUse.NONE)
    read_catalogue(tmp_path, options)
    gc.collect()
    products = read_catalogue(tmp_path, options).products
    assert products[7].title == "Un titre 7" and gc.isenabled()
    assert gc.collect() < len(products)
    with pytest.raises(UsageError):
        read_catalogue(tmp_path / "nothing")
    assert gc.isenabled()
    gc.disable()
    try:
        read_catalogue(tmp_path, options)
        assert not gc.isenabled()
    finally:
        gc.enable()
