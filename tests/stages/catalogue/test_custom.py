"""Catalogues of one's own: any columns, CSV, TSV or Parquet, one file or many, text ids and labels, several pictures."""

import csv
import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from fusecat.pipeline.console import default_catalogue
from fusecat.stages.catalogue.columns import parse_columns, shown
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.decode_workers import DecodeWorkers
from fusecat.stages.catalogue.duplicates import duplicate_groups
from fusecat.stages.catalogue.image_index import ImageIndex
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import split
from fusecat.stages.errors import DataError, FusecatError, UsageError
from fusecat.stages.vocabulary import Part, SplitProtocol

MAPPING = {"id": "sku", "title": "name", "description": "{brand} {bullets}", "label": "category", "image": "photos"}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def sample() -> Catalogue:
    return read_catalogue(default_catalogue())


@pytest.fixture
def rows(sample: Catalogue, tmp_path: Path) -> list[Row]:
    """The first products of the sample under other names, their pictures in `photos`, every fifth with a second picture."""
    (tmp_path / "photos").mkdir()
    made = []
    for number, product in enumerate(sample.products[:120]):
        names = [f"{number:03d}.jpg", f"{number:03d}-back.jpg"][: 1 + (number % 5 == 0)]
        for name in names:
            shutil.copy(product.images[0], tmp_path / "photos" / name)
        brand, _, bullets = (product.description or "").partition(" ")
        label = sample.top_level[product.code or ""]
        made.append(
            {
                "sku": f"{number:05d}",
                "name": product.title,
                "brand": brand,
                "bullets": bullets,
                "category": label,
                "photos": names,
            }
        )
    return made


def write_csv(path: Path, rows: Sequence[Row], separator: str = ",", join: str = "|") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(
            {key: join.join(value) if isinstance(value, list) else value for key, value in row.items()} for row in rows
        )
    return path


def write_settings(folder: Path, more: str = "", columns: dict[str, str] = MAPPING) -> None:
    lines = "\n".join(f"{field} = {json.dumps(column)}" for field, column in columns.items())
    (folder / "catalogue.toml").write_text(f"{more}\n[columns]\n{lines}\n", encoding="utf-8")


def contents(catalogue: Catalogue) -> list[tuple]:
    return [(p.id, p.title, p.description, p.code, [image.name for image in p.images]) for p in catalogue.products]


def test_every_form_gives_the_same_products(sample: Catalogue, rows: list[Row], tmp_path: Path) -> None:
    options = ReadingOptions(columns=MAPPING)
    expected = [
        (row["sku"], product.title, product.description, row["category"], row["photos"])
        for row, product in zip(rows, sample.products, strict=False)
    ]
    forms = {
        "comma.csv": lambda path: write_csv(path, rows),
        "semicolon.csv": lambda path: write_csv(path, rows, ";"),
        "tab.tsv": lambda path: write_csv(path, rows, "\t", join=";"),
        "lists.parquet": lambda path: parquet.write_table(pa.Table.from_pylist(rows), path),
        "json.csv": lambda path: write_csv(path, [row | {"photos": json.dumps(row["photos"])} for row in rows]),
        "paths.csv": lambda path: write_csv(
            path, [row | {"photos": [f"photos/{name}" for name in row["photos"]]} for row in rows]
        ),
    }
    for name, write in forms.items():
        write(tmp_path / name)
        catalogue = read_catalogue(tmp_path / name, options)
        assert contents(catalogue) == expected, name
        assert catalogue.findings == ()
        assert catalogue.layout == "own"


def test_a_glob_finds_all_pictures_of_a_product(rows: list[Row], tmp_path: Path) -> None:
    for row in rows:
        row["stem"] = row["photos"][0][:3]
    write_csv(tmp_path / "p.csv", rows)
    catalogue = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING | {"image": "photos/{stem}*.jpg"}))
    assert [sorted(names) for *_, names in contents(catalogue)] == [sorted(row["photos"]) for row in rows]


def test_many_files_are_one_catalogue_and_settings_stand_in_the_folder(rows: list[Row], tmp_path: Path) -> None:
    write_csv(tmp_path / "part-1.csv", rows[:70], ";")
    write_csv(tmp_path / "part-2.csv", rows[70:], ";")
    (tmp_path / "notes.csv").write_text("not,a\npart,of it\n", encoding="utf-8")
    write_settings(tmp_path, 'files = "part-*.csv"\nimages = "photos"\n')
    with (tmp_path / "catalogue.toml").open("a", encoding="utf-8") as file:
        file.write('[classes]\n"Animals" = "Les animaux"\n')
    catalogue = read_catalogue(tmp_path)
    assert [product.id for product in catalogue.products] == [row["sku"] for row in rows]
    assert catalogue.class_names == {"Animals": "Les animaux"}
    assert len(read_catalogue(tmp_path / "part-2.csv").products) == len(rows) - 70
    assert [finding.kind for finding in catalogue.findings] == ["codes_without_name"]


def test_ids_and_labels_are_text_and_keep_their_zeros(rows: list[Row], tmp_path: Path) -> None:
    for number, row in enumerate(rows):
        row["category"] = f"{number % 3:02d}"
    write_csv(tmp_path / "p.csv", rows)
    catalogue = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING))
    assert catalogue.products[0].id == "00000"
    assert catalogue.classes == ("00", "01", "02")


def test_a_column_of_labels_that_became_floats_is_read_as_integers(rows: list[Row], tmp_path: Path) -> None:
    for number, row in enumerate(rows):
        row["category"] = float(10 * (1 + number % 3)) if number else None
    write_csv(tmp_path / "p.csv", rows)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    for name in ("p.csv", "p.parquet"):
        catalogue = read_catalogue(tmp_path / name, ReadingOptions(columns=MAPPING))
        assert catalogue.classes == ("10", "20", "30")
        assert [(finding.kind, finding.count) for finding in catalogue.findings] == [("missing_labels", 1)]
        assert catalogue.labels[0] == -1


def test_the_first_readable_picture_or_all_of_them(rows: list[Row], tmp_path: Path, decode_workers: DecodeWorkers) -> None:
    (tmp_path / "photos" / "000.jpg").write_bytes(b"broken")
    write_csv(tmp_path / "p.csv", rows)
    for use, names in ((ImageUse.FIRST, ["000-back.jpg"]), (ImageUse.MEAN, ["000-back.jpg"])):
        catalogue = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING, images=use))
        index = ImageIndex.scan(catalogue, None, decode_workers=decode_workers)
        assert [path.name for path in index.usable(catalogue.products[0])] == names
        assert len(index.usable(catalogue.products[5])) == (1 if use is ImageUse.FIRST else 2)
    capped = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING, images=ImageUse.MEAN, max_images=1))
    assert {len(product.images) for product in capped.products} == {1}
    assert [(finding.kind, finding.count) for finding in capped.findings] == [("too_many_images", 24)]
    without = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING, images=ImageUse.NONE))
    assert without.image_use is ImageUse.NONE
    assert not any(product.images for product in without.products)


def test_a_split_of_ones_own_and_groups(rows: list[Row], tmp_path: Path, decode_workers: DecodeWorkers) -> None:
    words = ["train", "Train", "VAL", "test"]
    for number, row in enumerate(rows):
        row |= {"set": words[number % 4], "seller": f"s{number // 8}"}
    write_csv(tmp_path / "p.csv", rows)
    expected = [[Part.TRAIN, Part.TRAIN, Part.VALIDATION, Part.TEST][number % 4] for number in range(len(rows))]
    write_csv(tmp_path / "split.tsv", [{"id": row["sku"], "split": row["set"]} for row in reversed(rows)], "\t")
    for given in ({"split_column": "set"}, {"split_file": tmp_path / "split.tsv"}):
        catalogue = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING, **given))
        groups = duplicate_groups(catalogue, ImageIndex.scan(catalogue, None, decode_workers=decode_workers))
        drawn = split(catalogue, groups, protocol=SplitProtocol.NO_TEST)
        assert list(drawn.parts) == expected
        assert drawn.own
        assert drawn.protocol is SplitProtocol.TEST_20
    catalogue = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING, group_by="seller"))
    groups = duplicate_groups(catalogue, ImageIndex.scan(catalogue, None, decode_workers=decode_workers))
    parts = split(catalogue, groups, protocol=SplitProtocol.TEST_20).parts
    for start in range(0, len(rows), 8):
        assert len(set(parts[start : start + 8])) == 1
    torn = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING, group_by="seller", split_column="set"))
    groups = duplicate_groups(torn, ImageIndex.scan(torn, None, decode_workers=decode_workers))
    assert [finding.kind for finding in split(torn, groups, protocol=SplitProtocol.TEST_20).findings] == ["groups_across_parts"]


def test_unknown_columns_are_answered_with_a_mapping_that_works_when_pasted(rows: list[Row], tmp_path: Path) -> None:
    write_csv(tmp_path / "p.csv", rows, ";")
    with pytest.raises(DataError) as raised:
        read_catalogue(tmp_path / "p.csv")
    pasted = shlex.split(str(raised.value).partition("--columns ")[2].partition(";")[0])[0]
    mapping = parse_columns(pasted)
    assert mapping == MAPPING | {"description": "bullets"}
    assert len(read_catalogue(tmp_path, ReadingOptions(columns=mapping)).products) == len(rows)


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        (
            "Artikelnr;Bezeichnung;Beschreibung;Kategorie",
            ["1;Rote Tasse;Eine Tasse;A", "2;Blaue Tasse;;B", "3;Teller;;A"],
            "Kategorie",
        ),
        ("ref,libelle,desc,rayon,photo", ["1,Tasse rouge,,A,a.jpg", "2,Tasse bleue,x,B,b.jpg", "3,Assiette,,A,c.jpg"], "rayon"),
        ("c1,c2,c3,c4", ["1,Tasse rouge vif,k.png,A", "2,Une tasse bleue,l.png,B", "3,Grande assiette,m.png,A"], "c4"),
    ],
)
def test_columns_are_guessed_in_several_languages_and_by_content(
    header: str, cells: list[str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("\n".join([header, *cells]), encoding="utf-8")
    with pytest.raises(DataError, match=f"label={expected}"):
        read_catalogue(tmp_path / "p.csv")


def spoil(row: Row, **changes: object) -> None:
    row.update(changes)


OUTSIDE = [
    "../outside.jpg",
    "/etc/passwd",
    "photos/../../outside.jpg",
    "..\\outside.jpg",
    "C:\\outside.jpg",
    "\\\\server\\share\\outside.jpg",
    "x" * 300 + ".jpg",
    "https://example.org/a.jpg",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_picture_never_lies_outside_of_the_catalogue(rows: list[Row], tmp_path: Path, name: str) -> None:
    rows[3]["photos"] = [name]
    write_csv(tmp_path / "p.csv", rows)
    with pytest.raises(DataError, match=r"p\.csv: line 5, column photos"):
        read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING))


@pytest.mark.parametrize("cell", ["../up", "a/b", "*", "", "x" * 300, ".."])
def test_what_is_filled_into_a_picture_name_is_a_plain_token(rows: list[Row], tmp_path: Path, cell: str) -> None:
    for row in rows:
        row["stem"] = row["photos"][0][:3]
    rows[3]["stem"] = cell
    write_csv(tmp_path / "p.csv", rows)
    with pytest.raises(DataError, match=r"p\.csv: line 5, column photos/"):
        read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING | {"image": "photos/{stem}.jpg"}))


def test_links_out_are_followed_when_asked(rows: list[Row], tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "photos").rename(tmp_path / "outer")
    (folder / "photos").mkdir()
    for picture in (tmp_path / "outer").iterdir():
        (folder / "photos" / picture.name).symlink_to(picture)
    write_csv(folder / "p.csv", rows)
    with pytest.raises(DataError, match="0 of 120 images"):
        read_catalogue(folder, ReadingOptions(columns=MAPPING))
    assert all(
        product.images for product in read_catalogue(folder, ReadingOptions(columns=MAPPING, follow_symlinks=True)).products
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: spoil(rows[2], sku=""), ["p.csv", "line 4", "column sku", "empty"]),
        (lambda rows: spoil(rows[2], sku="00001"), ["p.csv line 3", "p.csv line 4", "same id"]),
        (lambda rows: spoil(rows[2], sku="x" * 300), ["line 4, column sku", "300 characters"]),
        (lambda rows: spoil(rows[2], category="a\x1b[2J"), ["line 4, column category"]),
        (lambda rows: spoil(rows[2], category="long " * 100), ["line 4, column category"]),
        (lambda rows: [row.pop("name") for row in rows], ["'name' missing", "columns found: sku"]),
        (lambda rows: [spoil(row, photos=[]) for row in rows], ["0 of 120 images"]),
    ],
)
def test_a_row_that_cannot_be_read_is_named(rows: list[Row], tmp_path: Path, change: Any, words: list[str]) -> None:
    change(rows)
    write_csv(tmp_path / "p.csv", rows)
    with pytest.raises(DataError) as raised:
        read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING))
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("[column]\nid='sku'", "unknown key 'column': did you mean 'columns'"),
        ("[columns]\nid='sku'\ntitel='name'", "did you mean title"),
        ("[columns]\nid='sku'", "title missing"),
        ("files='../*.csv'\n[columns]\nid='sku'\ntitle='name'", "leads out"),
        ("images='/etc'\n[columns]\nid='sku'\ntitle='name'", "leads out"),
        ("files='none*.csv'\n[columns]\nid='sku'\ntitle='name'", "nothing matches"),
        ("files=''\n[columns]\nid='sku'\ntitle='name'", "'' is no pattern"),
        ("files='**p.csv'\n[columns]\nid='sku'\ntitle='name'", "'**p.csv' is no pattern"),
        ("separator=';;'\n[columns]\nid='sku'\ntitle='name'", "one character is expected"),
        ("images=3\n[columns]\nid='sku'\ntitle='name'", "images: a text is expected"),
        ("columns='id=sku'", "columns: a table"),
        ("not toml", "catalogue.toml"),
        ("separator=';'", "try --columns 'id=sku"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(rows: list[Row], tmp_path: Path, settings: str, words: str) -> None:
    write_csv(tmp_path / "p.csv", rows)
    (tmp_path / "catalogue.toml").write_text(settings, encoding="utf-8")
    with pytest.raises(FusecatError) as raised:
        read_catalogue(tmp_path)
    assert words in str(raised.value)


def test_a_table_with_brackets_in_its_name_is_no_pattern(rows: list[Row], tmp_path: Path) -> None:
    write_csv(tmp_path / "p[1]*.csv", rows)
    (tmp_path / "catalogue.toml").write_text("files='p[1]*.csv'\n[columns]\nid='sku'\ntitle='name'", encoding="utf-8")
    assert len(read_catalogue(tmp_path).products) == len(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id", "not FIELD=COLUMN"),
        ("id=sku,lable=x", "did you mean label"),
        ("id=sku,id=x", "twice"),
        ("id=sku", "title missing"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(rows: list[Row], tmp_path: Path, text: str, words: str) -> None:
    write_csv(tmp_path / "p.csv", rows)
    with pytest.raises(UsageError, match=words):
        read_catalogue(tmp_path, ReadingOptions(columns=parse_columns(text)))


def test_a_mapping_reads_as_it_is_shown() -> None:
    assert parse_columns(shown(MAPPING)) == MAPPING
    assert parse_columns("id = sku , title='a, b'") == {"id": "sku", "title": "a, b"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["id,split", "00000,trian"], "line 2, column split: 'trian' is no part"),
        (["id,split", "00000,train", "00000,test"], "line 3"),
        (["id", "00000"], "two columns"),
        (["id,split", "nobody,train"], "none of its 1 ids"),
    ],
)
def test_a_split_file_that_cannot_be_meant_is_refused(rows: list[Row], tmp_path: Path, lines: list[str], words: str) -> None:
    write_csv(tmp_path / "p.csv", rows)
    (tmp_path / "split.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError) as raised:
        read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=MAPPING, split_file=tmp_path / "split.csv"))
    assert words in str(raised.value)
    assert "split.csv" in str(raised.value)


def test_a_parquet_file_that_is_cut_off_or_holds_bytes_is_refused(rows: list[Row], tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist([row | {"photos": b"\xff\xd8"} for row in rows]), tmp_path / "bytes.parquet")
    with pytest.raises(DataError, match="row 1, column photos: binary"):
        read_catalogue(tmp_path / "bytes.parquet", ReadingOptions(columns=MAPPING))
    data = (tmp_path / "bytes.parquet").read_bytes()
    for length in (4, len(data) // 2, len(data) - 5):
        (tmp_path / "cut.parquet").write_bytes(data[:length])
        with pytest.raises(DataError, match=r"cut\.parquet"):
            read_catalogue(tmp_path / "cut.parquet", ReadingOptions(columns=MAPPING))


def test_products_without_labels_will_do_for_prediction(rows: list[Row], tmp_path: Path) -> None:
    write_csv(tmp_path / "p.csv", rows)
    mapping = {field: column for field, column in MAPPING.items() if field != "label"}
    catalogue = read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=mapping, labels=False))
    assert catalogue.classes == ()
    assert catalogue.findings == ()
    assert isinstance(catalogue.products[0], Product)
