"""The same products in the forms in which people keep them are read as the same products, or refused with a way that works."""

import csv
import json
import shlex
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusecat.stages.catalogue.columns import parse_columns
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError, FusecatError
from tests.stages.catalogue.forms import FORMS, MAPPING, Form, Row, csv_text, draw, json_lines, png, rows

TEXTS = {field: column for field, column in MAPPING.items() if field != "image"}


def told(catalogue: Catalogue) -> list[tuple]:
    return [(p.id, p.title, p.description, p.code, [image.read_bytes() for image in p.images]) for p in catalogue.products]


def kinds(catalogue: Catalogue) -> dict[str, int]:
    return {finding.kind: finding.count for finding in catalogue.findings}


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(FusecatError) as raised:
        read_catalogue(path, ReadingOptions(**options))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def pasted(message: str, path: Path) -> Catalogue:
    """The catalogue, read with the mapping of a message as a shell gives it."""
    words = shlex.split(message[message.index("--columns ") :])
    return read_catalogue(path, ReadingOptions(columns=parse_columns(words[1])))


@pytest.fixture(scope="module")
def table() -> list[Row]:
    return rows()


@pytest.fixture(scope="module")
def expected(table: list[Row]) -> list[tuple]:
    return [
        (row["id"], row["title"], row["description"] or None, row["label"], [png(number)]) for number, row in enumerate(table)
    ]


@pytest.fixture
def folder(table: list[Row], tmp_path: Path) -> Path:
    draw(tmp_path, [row["image"] for row in table])
    return tmp_path


def write(path: Path, table: list[Row]) -> Path:
    path.write_text(csv_text(table), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_is_the_same_catalogue(form: Form, table: list[Row], expected: list[tuple], folder: Path) -> None:
    path = folder / form.name
    path.write_bytes(form.write(table))
    catalogue = read_catalogue(path, ReadingOptions(columns=MAPPING, **form.options))
    assert told(catalogue) == expected
    assert kinds(catalogue).keys() <= {"placeholder_texts"}  # the NULL of a database is counted
    if "separator" in form.options:
        return
    assert told(pasted(refused(path, **form.options), path) if not form.options else catalogue) == expected


NAMES: dict[str, Callable[[int], tuple[str, str]]] = {
    "a comma": lambda number: (f"pics/vase, bleu {number}.png",) * 2,
    "a bar and a semicolon": lambda number: (f"pics/a;b|{number}.png",) * 2,
    "brackets": lambda number: (f"pics/[neuf] vase {number}.png",) * 2,
    "a percent sign": lambda number: (f"pics/100% coton {number}.png",) * 2,
    "percent-encoded": lambda number: (f"pics/vase bleu é {number}.png", f"pics/vase%20bleu%20%C3%A9%20{number}.png"),
    "composed, decomposed on disk": lambda number: (
        unicodedata.normalize("NFD", f"pics/été {number}.png"),
        f"pics/été {number}.png",
    ),
    "decomposed, composed on disk": lambda number: (
        f"pics/été {number}.png",
        unicodedata.normalize("NFD", f"pics/été {number}.png"),
    ),
    "another case": lambda number: (f"pics/IMG_{number}.PNG", f"pics/img_{number}.png"),
    "without an ending": lambda number: (f"pics/{number}.png", f"pics/{number}"),
    "backslashes": lambda number: (f"pics/train/{number}.png", rf"pics\train\{number}.png"),
    "from the current folder": lambda number: (f"pics/{number}.png", f"./pics/{number}.png"),
    "a bare name in a deep folder": lambda number: (f"pics/a/b/{number}.png", f"{number}.png"),
    "a path below another folder": lambda number: (f"download/pics/{number}.png", f"pics/{number}.png"),
    "a list as pandas writes it": lambda number: (f"pics/l'été {number}.png", repr([f"pics/l'été {number}.png"])),
    "a list as numpy writes it": lambda number: (f"pics/{number}.png", f"['pics/{number}.png'\n 'pics/none.png']"),
    "an array of PostgreSQL": lambda number: (f"pics/{number}.png", f"{{pics/{number}.png,pics/none.png}}"),
    "a JSON list": lambda number: (f"pics/é {number}.png", json.dumps([f"pics/é {number}.png"])),
    "a struct as text": lambda number: (f"pics/{number}.png", repr({"bytes": None, "path": f"pics/{number}.png"})),
    "blanks around": lambda number: (f"pics/{number}.png", f"  pics/{number}.png "),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("write_as", [csv_text, json_lines], ids=["csv", "jsonl"])
def test_a_picture_that_is_there_is_found(
    names: Callable[[int], tuple[str, str]],
    write_as: Callable[..., str],
    table: list[Row],
    expected: list[tuple],
    tmp_path: Path,
) -> None:
    on_disk, in_cell = zip(*map(names, range(len(table))), strict=True)
    draw(tmp_path, on_disk)
    (tmp_path / "p").write_text(write_as([row | {"image": cell} for row, cell in zip(table, in_cell, strict=True)]))
    assert told(read_catalogue(tmp_path / "p", ReadingOptions(columns=MAPPING))) == expected


def test_absolute_paths_inside_are_found_and_those_of_another_machine_proposed_with_the_count(
    table: list[Row], expected: list[tuple], folder: Path
) -> None:
    for prefix in (f"{folder}/", f"{folder}/images/../"):
        write(folder / "p.csv", [row | {"image": f"{prefix}{row['image']}"} for row in table])
        if ".." in prefix:
            assert "no '..'" in refused(folder / "p.csv", columns=MAPPING)
        else:
            assert told(read_catalogue(folder, ReadingOptions(columns=MAPPING))) == expected
    (folder / "images" / "7.png").unlink()
    for prefix in ("/home/marie/shop v2/", "C:\\Users\\Marie\\shop\\", "https://cdn.example.org/shop/"):
        inside = [row["image"].replace("/", "\\") if "\\" in prefix else row["image"] for row in table]
        write(folder / "p.csv", [row | {"image": prefix + name} for row, name in zip(table, inside, strict=True)])
        message = refused(folder / "p.csv", columns=MAPPING)
        assert "p.csv: line 2, column image" in message
        assert "59 of 60 pictures are found here with --image-prefix " in message
        told_prefix = shlex.split(message[message.index("--image-prefix") :])[1]
        found = read_catalogue(folder / "p.csv", ReadingOptions(columns=MAPPING, image_prefix=told_prefix))
        assert kinds(found) == {"missing_images": 1}
    write(folder / "p.csv", [row | {"image": "/etc/passwd"} for row in table])
    assert "none of that name lies here" in refused(folder / "p.csv", columns=MAPPING)


def test_pictures_beside_the_catalogue_are_found_by_a_flag(table: list[Row], expected: list[tuple], folder: Path) -> None:
    (folder / "tables").mkdir()
    path = write(folder / "tables" / "p.csv", [row | {"image": row["image"].removeprefix("images/")} for row in table])
    message = refused(path, columns=MAPPING)
    assert "0 of 60 images found" in message and "'0.png'" in message and "--image-folder" in message
    options = ReadingOptions(columns=MAPPING, image_folder=folder / "images")
    assert told(read_catalogue(path, options)) == expected
    (folder / "tables" / "01.png").write_bytes(png(1))
    assert "the nearest there is '01.png'" in refused(path, columns=MAPPING)


def test_pictures_that_no_column_names_are_warned_of_and_proposed(
    table: list[Row], expected: list[tuple], tmp_path: Path
) -> None:
    bare = [{key: value for key, value in row.items() if key != "image"} for row in table]
    ways = {
        "photos/{id}": (bare, [f"photos/{row['id']}.png" for row in table]),
        "x/img_{i}_p_{p}": (
            [row | {"i": 1000 + number, "p": 9000 + number} for number, row in enumerate(bare)],
            [f"x/img_{1000 + number}_p_{9000 + number}.png" for number in range(len(table))],
        ),
    }
    for number, (way, (made, names)) in enumerate(ways.items()):
        folder = tmp_path / str(number)
        draw(folder, names)
        path = write(folder / "p.csv", made)
        found = read_catalogue(path, ReadingOptions(columns=TEXTS))
        assert kinds(found) == {"unused_pictures": len(table)}
        assert way in found.findings[0].treatment
        assert not kinds(read_catalogue(path, ReadingOptions(columns=TEXTS, images=ImageUse.NONE)))
        message = refused(path)
        assert way in message
        assert told(pasted(message, path)) == expected


def test_pictures_inside_of_a_table_are_written_out_once(table: list[Row], expected: list[tuple], tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    struct = [row | {"image": {"bytes": png(number), "path": f"{number}.png"}} for number, row in enumerate(table)]
    plain = [row | {"image": png(number)} for number, row in enumerate(table)]
    many = [row | {"image": [row["image"]]} for row in struct]
    for number, made in enumerate((struct, plain, many)):
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(pa.Table.from_pylist(made), path)
        options = ReadingOptions(columns=MAPPING, picture_store=tmp_path / "store")
        catalogue = read_catalogue(path, options)
        assert told(catalogue) == expected
        before = {file: file.stat().st_mtime_ns for file in (tmp_path / "store").rglob("*") if file.is_file()}
        assert len(before) == len(table)
        assert told(read_catalogue(path, options)) == expected
        assert before == {file: file.stat().st_mtime_ns for file in before}
        assert told(read_catalogue(path, ReadingOptions(columns=MAPPING, images=ImageUse.NONE)))[0][-1] == []
        assert "picture inside of the table" in refused(path, columns=MAPPING)
        assert "row 1, column image: binary, not text" in refused(path, columns=MAPPING | {"title": "image"})
        assert "image=image" in refused(path)


def test_an_image_folder_of_hugging_face_is_read(table: list[Row], expected: list[tuple], tmp_path: Path) -> None:
    draw(tmp_path / "train", [f"{number}.png" for number in range(len(table))])
    made = [{"file_name": f"{number}.png"} | {k: v for k, v in row.items() if k != "image"} for number, row in enumerate(table)]
    (tmp_path / "train" / "metadata.jsonl").write_text(json_lines(made), encoding="utf-8")
    assert f"name the folder {tmp_path / 'train'}" in refused(tmp_path)
    assert told(pasted(refused(tmp_path / "train"), tmp_path / "train")) == expected


def test_a_catalogue_without_ids_gets_row_numbers_and_says_so(table: list[Row], tmp_path: Path) -> None:
    bare = [{key: value for key, value in row.items() if key not in {"id", "image"}} for row in table]
    path = write(tmp_path / "p.csv", bare)
    message = refused(path)
    assert "the number of a row is its id" in message
    catalogue = pasted(message, path)
    assert [product.id for product in catalogue.products] == [str(number) for number in range(len(table))]
    assert kinds(catalogue) == {"rows_as_ids": 1}
    repeated = [row | {"sku": number // 2} for number, row in enumerate(bare)]
    message = refused(write(path, repeated))
    assert "sku repeats" in message
    assert len(pasted(message, path).products) == len(table)
    assert "leave id out of the mapping" in refused(path, columns=TEXTS | {"id": "sku"})


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
def test_an_index_column_is_the_id_where_there_is_no_other(name: str, table: list[Row], tmp_path: Path) -> None:
    bare = [{name: number} | {k: v for k, v in row.items() if k not in {"id", "image"}} for number, row in enumerate(table)]
    path = write(tmp_path / "p.csv", bare)
    catalogue = pasted(refused(path), path)
    assert [product.id for product in catalogue.products] == [str(number) for number in range(len(table))]
    assert not catalogue.findings
    with_sku = write(path, [row | {"sku": f"S{number}"} for number, row in enumerate(bare)])
    assert pasted(refused(with_sku), with_sku).products[0].id == "S0"


def test_ids_that_became_floats_meet_those_that_did_not(table: list[Row], tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", [row | {"id": f"{number}.0"} for number, row in enumerate(table)])
    words = ["train", "validation", "test"]
    (tmp_path / "split.tsv").write_text("id\tsplit\n" + "".join(f"{n}\t{words[n % 3]}\n" for n in range(len(table))))
    catalogue = read_catalogue(path, ReadingOptions(columns=TEXTS, split_file=tmp_path / "split.tsv", images=ImageUse.NONE))
    assert catalogue.products[7].id == "7"
    assert catalogue.given_parts is not None and catalogue.given_parts[:3] == tuple(words)
    write(path, [row | {"id": f"{number}.0" if number else "0.5"} for number, row in enumerate(table)])
    assert read_catalogue(path, ReadingOptions(columns=TEXTS)).products[7].id == "7.0"


@pytest.mark.parametrize(
    "words",
    [
        ("TRAIN", "VALIDATE", "TEST"),
        ("training", "eval", "testing"),
        ("Train", "dev", "test"),
        ("0", "1", "2"),
        ("0.0", "1.0", "2.0"),
    ],
)
def test_words_of_others_for_the_parts_are_understood(words: tuple[str, ...], table: list[Row], tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", [row | {"part": words[number % 3]} for number, row in enumerate(table)])
    catalogue = read_catalogue(path, ReadingOptions(columns=TEXTS, split_column="part"))
    assert catalogue.given_parts is not None
    assert catalogue.given_parts[:3] == ("train", "validation", "test")
    assert kinds(catalogue) == ({"numbered_parts": len(table)} if words[0][0] == "0" else {})


@pytest.mark.parametrize(
    ("column", "yes", "no"),
    [
        ("is_test", "test", "train"),
        ("IsTrain", "train", "test"),
        ("validation", "validation", "train"),
        ("Test set", "test", "train"),
    ],
)
@pytest.mark.parametrize("words", [("True", "False"), ("1", "0"), ("1.0", "0.0"), ("yes", "no")])
def test_yes_and_no_are_parts_where_the_column_is_called_after_one(
    words: tuple[str, str], column: str, yes: str, no: str, table: list[Row], tmp_path: Path
) -> None:
    path = write(tmp_path / "p.csv", [row | {column: words[number % 2]} for number, row in enumerate(table)])
    catalogue = read_catalogue(path, ReadingOptions(columns=TEXTS, split_column=column))
    assert catalogue.given_parts is not None
    assert catalogue.given_parts[:3] == (yes, no, yes)
    assert kinds(catalogue) == {"yes_or_no_parts": len(table)}


@pytest.mark.parametrize(
    ("words", "told"), [("01", "only 0, 1 and 2"), ("01234", "folds"), (("true", "false"), "is_test or is_train")]
)
def test_numbers_that_may_be_anything_are_no_parts(words: Any, told: str, table: list[Row], tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", [row | {"part": words[number % len(words)]} for number, row in enumerate(table)])
    message = refused(path, columns=TEXTS, split_column="part")
    assert told in message and "p.csv line 2, column part" in message


def test_labels_that_are_no_classes_are_refused_or_counted(table: list[Row], tmp_path: Path) -> None:
    def read(**label: Callable[[int, Row], str]) -> dict[str, int]:
        made = [row | {"label": label["label"](number, row)} for number, row in enumerate(table)]
        return kinds(read_catalogue(write(tmp_path / "p.csv", made), ReadingOptions(columns=TEXTS)))

    with pytest.raises(DataError, match="a number to regress"):
        read(label=lambda number, _: f"{number}.25")
    with pytest.raises(DataError, match="a name or an id"):
        read(label=lambda number, _: f"Jean {number}")
    assert read(label=lambda number, _: f"{number // 2}.25") == {"labels_are_numbers": 30}
    assert read(label=lambda number, _: f"2024-0{number % 9 + 1}-0{number % 2 + 1}") == {"labels_are_dates": 18}
    assert read(label=lambda number, row: row["label"].upper() if number == 3 else row["label"]) == {"labels_alike": 1}
    assert read(label=lambda number, row: f"{row['label']}|Soldes" if number % 2 else row["label"]) == {"compound_labels": 2}
    assert read(label=lambda number, _: f"c{number}" if number > 9 else "a") == {"mostly_single_classes": 50}
    assert read(label=lambda number, row: f"Maison > {row['label']} > {number % 2}") == {"category_paths": 4}


def test_a_level_of_a_category_path_can_be_the_label(table: list[Row], tmp_path: Path) -> None:
    tops = ("Maison", "Loisirs")
    for mark in (" > ", ">", "::", " | ", "/"):
        made = [row | {"label": mark.join((tops[number % 4 // 2], row["label"]))} for number, row in enumerate(table)]
        made[0]["label"] = "Maison"
        path = write(tmp_path / "p.csv", made)
        first = read_catalogue(path, ReadingOptions(columns=TEXTS, label_level=1))
        assert first.classes == ("Loisirs", "Maison")
        assert not first.findings
        second = read_catalogue(path, ReadingOptions(columns=TEXTS, label_level=2))
        assert second.classes == ("Cuisine", "Jardin", "Jouets", "Livres", "Maison")
        assert kinds(second) == {"short_category_paths": 1}
    write(path, [row | {"label": f"{tops[number % 2]} > {row['label']}"} for number, row in enumerate(table)])
    assert set(read_catalogue(path, ReadingOptions(columns=TEXTS)).top_level.values()) == set(tops)
    (tmp_path / "catalogue.toml").write_text("label_level = 1\n[columns]\nid='id'\ntitle='title'\nlabel='label'\n")
    assert read_catalogue(tmp_path).classes == ("Loisirs", "Maison")


def test_a_guess_says_its_doubts(table: list[Row], tmp_path: Path) -> None:
    bare = [{"id": row["id"], "title": row["title"]} for row in table]
    path = write(
        tmp_path / "p.csv", [row | {"brand": "AB"[number % 2], "new": number % 3 > 0} for number, row in enumerate(bare)]
    )
    message = refused(path)
    assert "no column looks like the class (brand, new have few values): add label=COLUMN" in message
    assert "label" not in shlex.split(message.partition("try --columns ")[2])[0]
    write(path, [row | {"new": number % 2 > 0, "group": "ABC"[number % 3]} for number, row in enumerate(bare)])
    assert "(label=group was taken for its few values): try --columns" in refused(path)
    write(path, [row | {"category": f"{number % 20}.5"} for number, row in enumerate(bare)])
    assert "category holds numbers to regress" in refused(path)


def test_of_a_kaggle_folder_the_training_table_is_proposed(table: list[Row], tmp_path: Path) -> None:
    write(tmp_path / "train.csv", table)
    write(tmp_path / "test.csv", [{k: v for k, v in row.items() if k != "label"} for row in table])
    write(tmp_path / "sample_submission.csv", [{"id": row["id"], "label": "Jouets"} for row in table])
    assert f"so name {tmp_path / 'train.csv'} alone and try --columns" in refused(tmp_path)


@pytest.mark.parametrize("name", ["", "Id", "id", "index", "Unnamed: 0"])
def test_the_index_of_the_other_challenge_may_have_a_name(name: str, table: list[Row], tmp_path: Path) -> None:
    draw(tmp_path / "images" / "image_train", [f"image_{1000 + n}_product_{2000 + n}.png" for n in range(len(table))])
    texts = [
        {name: n, "designation": row["title"], "description": "", "productid": 2000 + n, "imageid": 1000 + n}
        for n, row in enumerate(table)
    ]
    (tmp_path / "X_train_update.csv").write_text(csv_text(texts), encoding="utf-8")
    labels = [{name: n, "prdtypecode": 10 * (n % 4 + 1)} for n in range(len(table))]
    (tmp_path / "Y_train_CVw08PX.csv").write_text(csv_text(labels), encoding="utf-8")
    catalogue = read_catalogue(tmp_path)
    assert told(catalogue)[5] == ("5", table[5]["title"], None, "20", [png(5)])
    assert not catalogue.findings


def test_a_catalogue_without_texts_must_be_asked_for(table: list[Row], folder: Path) -> None:
    path = write(folder / "p.csv", [row | {"title": "", "description": ""} for row in table])
    message = refused(path, columns=MAPPING)
    assert "0 of 60 products have a title or a description" in message and "--texts none" in message
    catalogue = read_catalogue(path, ReadingOptions(columns={"id": "id", "label": "label", "image": "image"}, texts=False))
    assert all(product.images and not product.text for product in catalogue.products)
    assert "title missing" in refused(path, columns={"id": "id", "label": "label", "image": "image"})


def test_columns_that_the_study_had_and_a_new_table_lacks_are_absent(table: list[Row], folder: Path) -> None:
    def new(*lacking: str) -> Path:
        return write(folder / "new.csv", [{k: v for k, v in row.items() if k not in lacking} for row in table])

    mapping = MAPPING | {"description": "{brand} {description}"}
    for lacking, absent in (
        (("description", "label"), {"absent_columns": 1}),
        (("image",), {"absent_columns": 2}),
        (("title", "description"), {"absent_columns": 2}),
    ):
        catalogue = read_catalogue(new(*lacking), ReadingOptions(columns=mapping, labels=False))
        found = kinds(catalogue)
        assert {"absent_columns": found["absent_columns"]} == {"absent_columns": absent["absent_columns"]}, lacking
    assert "none of the columns" in refused(new("title", "description", "image"), columns=mapping, labels=False)
    assert "'id' missing" in refused(new("id"), columns=mapping, labels=False)
    assert "'image' missing" in refused(new("image"), columns=MAPPING)


def test_columns_beyond_the_twelfth_are_counted(table: list[Row], tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", [row | {f"c{number}": 1 for number in range(10)} for row in table])
    assert "c6 and 3 more" in refused(path, columns={"id": "id", "title": "nom"})


def test_a_cell_of_more_than_one_line_is_named_by_its_first(table: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        csv_text([table[0] | {"title": "a\nb"}, *table[1:]], quoting=csv.QUOTE_ALL).replace('"P0002"', '"P0002",""')
    )
    assert "line 5 has 6 fields, 5 expected" in refused(path, columns=TEXTS)


def test_a_folder_of_hugging_face_datasets_is_read_with_its_class_names(
    table: list[Row], expected: list[tuple], tmp_path: Path
) -> None:
    import pyarrow as pa
    from pyarrow import feather, parquet

    classes = ("Jouets", "Livres", "Jardin", "Cuisine")
    made = pa.Table.from_pylist(
        [
            row | {"image": {"bytes": png(number), "path": None}, "label": classes.index(row["label"])}
            for number, row in enumerate(table)
        ]
    )
    features = {"label": {"names": list(classes), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    for name in ("data-00000-of-00001.arrow", "data.feather", "data.parquet"):
        folder = tmp_path / name.rpartition(".")[2]
        folder.mkdir()
        for described in ("state.json", "dataset_info.json"):
            (folder / described).write_text("{\n}\n")
        if name.startswith("data-"):
            with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, made.schema) as stream:
                stream.write_table(made, max_chunksize=7)
        elif name.endswith("feather"):
            feather.write_feather(made, folder / name)
        else:
            parquet.write_table(made, folder / name)
        mapping = shlex.split(refused(folder)[refused(folder).index("--columns ") :])[1]
        options = ReadingOptions(columns=parse_columns(mapping), picture_store=tmp_path / "store")
        catalogue = read_catalogue(folder, options)
        assert [(row[0], row[1], row[2], catalogue.class_names[row[3]], row[4]) for row in told(catalogue)] == expected, name
        assert not catalogue.findings
        (folder / name).write_bytes((folder / name).read_bytes()[:-200])
        assert name in refused(folder, columns=TEXTS)


def test_what_stands_around_a_table_is_told(table: list[Row], tmp_path: Path) -> None:
    path, whole = tmp_path / "p.csv", csv_text(table, quoting=csv.QUOTE_ALL)
    path.write_text(f"Export du 3 mai\n\n{whole}", encoding="utf-8")
    assert "'id' missing (is the first line no header? Remove what stands before it" in refused(path, columns=TEXTS)
    path.write_text(csv_text(table, delimiter="§"), encoding="utf-8")
    assert "or pass --separator" in refused(path, columns=TEXTS)
    header, *lines = whole.splitlines()
    path.write_text("\n".join([header, *(f"{number},{line}" for number, line in enumerate(lines))]), encoding="utf-8")
    assert "(does the header lack the name of an index column?)" in refused(path, columns=TEXTS)


def test_files_named_as_parts_are_not_merged_in_silence(table: list[Row], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, rows_of in (("train-0.csv", table[:40]), ("test-0.csv", table[40:])):
        write(tmp_path / "data" / name, rows_of)
    (tmp_path / "test").mkdir()
    write(tmp_path / "test" / "p.csv", table)
    catalogue = read_catalogue(tmp_path / "data", ReadingOptions(columns=TEXTS))
    assert kinds(catalogue) == {"files_named_as_parts": 2}
    (tmp_path / "data").rename(tmp_path / "train")
    assert f"name the folder {tmp_path / 'train'}" in refused(tmp_path)


def test_headers_and_empty_rows_among_the_rows_are_no_products(table: list[Row], folder: Path, expected: list[tuple]) -> None:
    header, *lines = csv_text(table).splitlines()
    path = folder / "p.csv"
    path.write_text("\n".join([header, *lines[:9], header, *lines[9:], "," * header.count(",")]), encoding="utf-8")
    catalogue = read_catalogue(path, ReadingOptions(columns=MAPPING))
    assert told(catalogue) == expected
    assert kinds(catalogue) == {"repeated_headers": 1, "empty_rows": 1}
    assert "is the header missing" not in refused(path)


def test_a_second_header_of_other_words_is_doubted(table: list[Row], tmp_path: Path) -> None:
    header, *lines = csv_text(table).splitlines()
    second = ",".join(["string"] * (header.count(",") + 1))
    (tmp_path / "p.csv").write_text("\n".join([header, second, *lines]), encoding="utf-8")
    found = kinds(read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=TEXTS)))
    assert found["first_row_unlike_others"] == 1


def test_a_table_without_a_header_is_noticed(table: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        "\n".join(f"{number},vase {row['id']},{'AB'[number % 2]}" for number, row in enumerate(table)), encoding="utf-8"
    )
    assert "is the header missing? Write one as first line" in refused(path)
    assert "is the first line no header?" in refused(path, columns=TEXTS)


@pytest.mark.parametrize(
    ("header", "asked"),
    [("Cate\u0301gorie", "Cat\u00e9gorie"), ("nom\u00a0famille", "nom famille"), ('"nom\nfamille"', "nom famille")],
)
def test_columns_are_found_however_their_accents_and_blanks_are_written(
    header: str, asked: str, table: list[Row], tmp_path: Path
) -> None:
    path = tmp_path / "p.csv"
    path.write_text(csv_text(table).replace(MAPPING["label"], header, 1), encoding="utf-8", newline="")
    catalogue = read_catalogue(path, ReadingOptions(columns=TEXTS | {"label": asked}))
    assert [product.code for product in catalogue.products] == [row["label"] for row in table]


@pytest.mark.parametrize(
    ("column", "cell", "kind", "count"),
    [
        ("id", lambda n: f"{1 + n / 100:.2f}E+12", "rounded_ids", 60),
        ("id", lambda n: f"{n // 2}.0" if n % 2 else f"{n // 2}", "ids_alike", 30),
        ("label", lambda n: f"{n % 3}.0" if n % 2 else f"{n % 3}", "labels_alike", 3),
        ("label", lambda n: f"00{n % 3}" if n % 2 else f"{n % 3}", "labels_alike", 3),
        ("label", lambda n: ("A", "N/A", "-", "B")[n % 4], "labels_like_nothing", 30),
    ],
)
def test_doubtful_ids_and_labels_are_counted(
    column: str, cell: Callable[[int], str], kind: str, count: int, tmp_path: Path
) -> None:
    products = [{"id": f"p{n}", "title": f"vase {n}", "label": f"c{n % 3}"} | {column: cell(n)} for n in range(60)]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, products)))
    catalogue = read_catalogue(path, ReadingOptions(columns={name: name for name in ("id", "title", "label")}))
    assert kinds(catalogue)[kind] == count
    assert len(catalogue.products) == 60


def test_texts_that_say_the_label_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,name,kind\n" + "".join(f"{n},{'ab'[n % 2]},{'AB'[n % 2]}\n" for n in range(12)))
    found = kinds(read_catalogue(path, ReadingOptions(columns={"id": "id", "title": "name", "label": "kind"})))
    assert found == {"labels_in_texts": 12}


def test_names_of_pictures_may_end_as_addresses_do(folder: Path, table: list[Row], expected: list[tuple]) -> None:
    asked = [row | {"image": f"{row['image']}?w=300&h=200"} for row in table]
    assert told(read_catalogue(write(folder / "p.csv", asked), ReadingOptions(columns=MAPPING))) == expected


def test_of_no_picture_found_the_column_that_names_some_is_told(folder: Path, table: list[Row]) -> None:
    message = refused(write(folder / "p.csv", table), columns=MAPPING | {"image": MAPPING["title"]})
    assert f"map image={MAPPING['image']}" in message


@pytest.mark.parametrize("shape", ["split", "table", "around"])
def test_json_of_another_shape_is_refused_with_the_way_out(shape: str, table: list[Row], tmp_path: Path) -> None:
    shapes = {
        "split": {"columns": [], "index": [], "data": []},
        "table": {"schema": {}, "data": []},
        "around": {"products": table},
    }
    (tmp_path / "p.json").write_text(json.dumps(shapes[shape] | {"version": 1}))
    assert "orient='records', lines=True" in refused(tmp_path / "p.json", columns=TEXTS)


def test_of_several_tables_with_other_columns_one_is_to_be_named(table: list[Row], tmp_path: Path) -> None:
    write(tmp_path / "train.csv", table)
    (tmp_path / "sample_submission.csv").write_text("id,kind\n1,A\n")
    assert "the folder has 2 tables: name the file" in refused(tmp_path, columns=TEXTS)
    assert read_catalogue(tmp_path / "train.csv", ReadingOptions(columns=TEXTS)).products


def test_lines_that_end_in_a_separator_are_told_apart(table: list[Row], tmp_path: Path) -> None:
    header, *lines = csv_text(table).splitlines()
    (tmp_path / "p.csv").write_text("\n".join([header, *(line + "," for line in lines)]), encoding="utf-8")
    assert "Write one at the end of the header too" in refused(tmp_path / "p.csv", columns=TEXTS)
    (tmp_path / "p.csv").write_text("\n".join([f"{header},", *(line + "," for line in lines)]), encoding="utf-8")
    assert len(read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=TEXTS)).products) == len(table)
