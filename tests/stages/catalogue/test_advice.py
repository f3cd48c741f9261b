"""What is said of a path that holds no catalogue is true, and what it tells to do works."""

import bz2
import gzip
import lzma
import re
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecat.stages.catalogue.columns import parse_columns
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError
from tests.names import HOSTILE

COLUMNS = ReadingOptions(columns={"id": "id", "title": "title", "label": "label"})
TABLE = "id,title,label\n1,un chat,a\n2,un chien,b\n3,une vache,a\n"


def refused(path: Path, options: ReadingOptions = COLUMNS) -> str:
    with pytest.raises(DataError) as error:
        read_catalogue(path, options)
    return str(error.value)


def ways(message: str, sign: str) -> str:
    """The command in a message."""
    return message.partition(sign)[2]


@pytest.mark.parametrize("options", [COLUMNS, ReadingOptions()])
@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], ["the folder is empty"]),
        (["products.csv.zst"], ["found: products.csv.zst; ", "unpack it: unzstd "]),
        (["b.zip"], ["found: b.zip; ", "unpack it: unzip "]),
        (["b.tar.gz"], ["found: b.tar.gz; ", "unpack it: tar xf "]),
        (["b.xlsx"], ["found: b.xlsx; ", "save b.xlsx as CSV"]),
        (["a.h5", "b.db"], ["found: a.h5, b.db; ", "write a.h5 as CSV or Parquet"]),
        (["a.jpg", "b.jpg", "c.jpg", "d.csv.zst", "e.jpg"], ["found: a.jpg, b.jpg, c.jpg and 2 more; ", "unzstd "]),
        ([".hidden.csv", "._products.csv"], ["the folder is empty"]),
        (["sub/products.csv"], ["found: sub/; ", "name the folder "]),
    ],
)
def test_a_folder_without_a_table_says_what_is_there_and_what_would_be_read(
    files: list[str], told: list[str], options: ReadingOptions, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(TABLE)
    message = refused(tmp_path, options)
    assert message.startswith(f"{tmp_path}: ")
    expected = (*told, "X_train.tsv", "X_train_update.csv", ".csv, .tsv, .jsonl, .parquet")
    assert all(words in message for words in expected), message
    assert "no rows" not in message


PACKED = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]


@pytest.mark.parametrize("folder", ["plain", *HOSTILE])
def test_the_command_that_unpacks_can_be_pasted(folder: str, tmp_path: Path) -> None:
    place = tmp_path / folder
    place.mkdir()
    (tmp_path / "products.csv").write_text(TABLE)
    with tarfile.open(place / "products.tar.gz", "w:gz") as file:
        file.add(tmp_path / "products.csv", "products.csv")
    subprocess.run(ways(refused(place), "unpack it: "), shell=True, check=True, cwd="/")
    assert len(read_catalogue(place, COLUMNS).products) == 3


@pytest.mark.parametrize(("ending", "pack"), PACKED)
@pytest.mark.parametrize("name", ["products.csv", "products.csv{}", "it's.tsv{}"])
def test_a_packed_table_is_read_whatever_its_name(name: str, ending: str, pack, tmp_path: Path) -> None:
    (tmp_path / name.format(ending)).write_bytes(pack(TABLE.encode()))
    for path in (tmp_path, tmp_path / name.format(ending)):
        assert [product.title for product in read_catalogue(path, COLUMNS).products] == ["un chat", "un chien", "une vache"]


@pytest.mark.parametrize(("ending", "pack"), PACKED)
def test_a_packed_table_that_is_damaged_is_refused(ending: str, pack, tmp_path: Path) -> None:
    rows = "".join(f"{number},titre {number * 7919},a\n" for number in range(2000))
    whole = pack(f"id,title,label\n{rows}".encode())
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    for data in (whole[: len(whole) // 2], whole[:12], bytes(damaged)):
        (tmp_path / f"p.csv{ending}").write_bytes(data)
        assert str(tmp_path / f"p.csv{ending}") in refused(tmp_path)


def test_a_zip_is_unpacked_where_it_lies(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.writestr("products.csv", TABLE)
    command = ways(refused(tmp_path), "unpack it: ")
    assert command == f"unzip {tmp_path}/all.zip -d {tmp_path}"


@pytest.mark.parametrize("name", ["X_train.tsv", "Y_train.tsv"])
def test_a_packed_half_of_a_challenge_is_named(name: str, sample_cut: Path, tmp_path: Path) -> None:
    for each in ("X_train.tsv", "Y_train.tsv"):
        shutil.copy(sample_cut / each, tmp_path)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    (tmp_path / name).unlink()
    message = refused(tmp_path, ReadingOptions())
    assert message.endswith(f"; unpack it: gunzip {tmp_path / name}.gz")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.pdf", b"%PDF-1.4\n%\xe2\xe3", "is a PDF"),
        ("a.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is a picture"),
        ("a.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "is a picture"),
        ("a.csv", b"RIFF\x00\x00\x00\x00WEBP", "is a picture"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "fusecat import"),
        ("a.npy", b"\x93NUMPY\x01\x00", "fusecat import"),
        ("a.json", b' [{"id": 1}, 2]', "item 2 of the array"),
        ("a.json", b' [{"id": 1}', "line 1: not JSON"),
        ("a.json", b'{"id": {"0": 1}, "title": {"0": "a"}}', "orient='records', lines=True"),
        ("a.jsonl", b'{"id": 1}\n{"id": 2', "line 2 is no JSON object"),
        ("a.jsonl", b'{\n"id": 1}', "line 1 is no JSON object"),
        ("a.xlsx", b"PK\x03\x04", "spreadsheet"),
        ("a.bin", b"abc\x01\x02\xff\xfe,\x03", "is binary"),
        ("a.csv", b"id,title\n1,\xe9t\xe9\n", "--encoding cp1252"),
        ("a.csv", b"", "is empty (0 bytes)"),
        ("a.csv", b"\n \n", "nothing but blank lines"),
        ("a.csv", b"id,title,label\n", "a header and no rows"),
        ("a.txt", b"id,title,label\n", "a header and no rows"),
    ],
)
@pytest.mark.parametrize("options", [COLUMNS, ReadingOptions()])
def test_a_file_that_is_no_table_is_called_what_it_is(
    name: str, content: bytes, told: str, options: ReadingOptions, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    message = refused(tmp_path / name, options)
    assert message.startswith(str(tmp_path / name))
    assert told in message


def test_headers_without_rows_are_named_by_their_files(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,title,label\n")
    assert refused(tmp_path) == f"{tmp_path}: a header and no rows in a.csv, b.csv"
    (tmp_path / "b.csv").unlink()
    options = ReadingOptions(columns=COLUMNS.columns, split_file=tmp_path / "a.csv")
    assert refused(tmp_path, options) == f"{tmp_path}: no table but the --split-file"


def test_of_several_tables_the_one_that_fits_is_proposed_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "it's.csv").write_text("sku,l'article\n1,un chat\n2,un chien\n")
    message = refused(tmp_path, ReadingOptions())
    assert "it's.csv has the columns sku, l'article (no column looks like the class: add label=COLUMN): a.csv has" in message
    words = subprocess.run(
        f"printf '%s\\n' {message.partition('so name ')[2].replace(' alone and try', '')}",
        shell=True, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert words == [str(tmp_path / "it's.csv"), "--columns", 'id=sku,title="l\'article"']
    read = read_catalogue(Path(words[0]), ReadingOptions(columns=parse_columns(words[2])))
    assert [product.title for product in read.products] == ["un chat", "un chien"]
    (tmp_path / "it's.csv").unlink()
    (tmp_path / "b.csv").write_text("u,v\n1,2\n")
    message = refused(tmp_path, ReadingOptions())
    assert f"b.csv has others, so name {tmp_path / 'a.csv'} alone and say which is what" in message


def test_further_texts_are_suggested_and_both_mappings_can_be_pasted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "sku,name,description,Brand,Bullet points,attributes,tags,category\n"
        + "".join(f"s{row},ein Stuhl {row},steht gut,Nord {row % 2},aus Holz {row},x,7,{'ab'[row % 2]}\n" for row in range(20))
    )
    message = refused(tmp_path / "a.csv", ReadingOptions())
    plain, full = (shlex.split(part)[1] for part in re.findall(r"--columns '[^']*'", message))
    assert plain == "id=sku,title=name,description=description,label=category"
    assert full == plain + ',brand=Brand,bullet_points="Bullet points"'  # tags are numbers, attributes are no text
    for told, further in ((plain, {}), (full, {"brand": "Nord 0", "bullet_points": "aus Holz 0"})):
        product = read_catalogue(tmp_path / "a.csv", ReadingOptions(columns=parse_columns(told))).products[0]
        texts = {name: found for name in ("brand", "bullet_points") if (found := product.text_of(name))}
        assert texts == further


def test_a_folder_of_pictures_for_each_class_becomes_a_catalogue(tmp_path: Path) -> None:
    for name in ("un chat", "un chien"):
        (tmp_path / name).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.full((9, 9, 3), 40 * number, np.uint8))
    message = refused(tmp_path, ReadingOptions())
    command, _, options = message.partition("write a table of them: ")[2].partition(", and pass ")
    subprocess.run(["bash", "-c", command], check=True, timeout=20)
    words = shlex.split(options)
    read = ReadingOptions(columns=parse_columns(words[1]), texts=False)
    assert words[2:] == ["--texts", "none"]
    products = read_catalogue(tmp_path, read).products
    assert [product.code for product in products] == ["un chat"] * 3 + ["un chien"] * 3
    assert all(product.images for product in products)


def test_old_feather_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.feather").write_bytes(b"FEA1" + b"\0" * 60)
    assert "Feather of version 1" in refused(tmp_path / "a.feather")


def test_a_folder_that_may_not_be_listed_is_only_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    message = refused(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert message.endswith("; found: closed/")
