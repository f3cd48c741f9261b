"""WebDataset shards are tables: what a folder of files says, the tar says too; damage and other archives are refused."""

import io
import json
import tarfile

import pytest

from fusecat.stages.catalogue.columns import parse_columns
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError
from tests.stages.catalogue.forms import png

MAPPING = "id=__key__,title=txt,brand=maker,label=cls,image=png"


def shard(path, products, prefix=""):
    with tarfile.open(path, "w") as tar:
        for key, files in products.items():
            for ending, content in files.items():
                member = tarfile.TarInfo(f"{prefix}{key}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def cut(path, name, more):
    with tarfile.open(path) as tar:
        end = tar.getmember(name).offset + more
    path.write_bytes(path.read_bytes()[:end])


def product(number):
    maker = {"maker": "Nord", "size": 4} if number % 2 else {"size": 4.0}
    files = {"txt": f"Chaise été {number}".encode(), "cls": str(number % 2).encode(), "json": json.dumps(maker).encode()}
    return files | ({"png": png(number)} if number else {})


PRODUCTS = {f"p{number:03}": product(number) for number in range(6)}


def read(path, tmp_path, columns=MAPPING):
    return read_catalogue(path, ReadingOptions(columns=parse_columns(columns), picture_store=tmp_path / "pictures"))


@pytest.mark.parametrize("prefix", ["", "./", "train/a/"])
def test_files_of_one_key_are_one_product(tmp_path, prefix):
    (tmp_path / "c").mkdir()
    shard(tmp_path / "c" / "s-000.tar", PRODUCTS, prefix)
    for path in (tmp_path / "c", tmp_path / "c" / "s-000.tar"):
        found = read(path, tmp_path).products
        assert [each.id for each in found] == [prefix.removeprefix("./") + key for key in PRODUCTS]
        assert [each.title for each in found] == [f"Chaise été {number}" for number in range(6)]
        assert [each.code for each in found] == ["0", "1"] * 3
        assert [each.further for each in found] == [(), (("brand", "Nord"),)] * 3
        assert [[picture.read_bytes() for picture in each.images] for each in found] == [[], *([png(at)] for at in range(1, 6))]


def test_several_shards_are_one_catalogue(tmp_path):
    (tmp_path / "c").mkdir()
    for number, keys in enumerate((list(PRODUCTS)[:3], list(PRODUCTS)[3:])):
        shard(tmp_path / "c" / f"s-{number}.tar", {key: PRODUCTS[key] for key in keys})
    assert [each.id for each in read(tmp_path / "c", tmp_path).products] == list(PRODUCTS)


def test_its_columns_are_shown_with_a_mapping(tmp_path):
    with pytest.raises(DataError, match=r"has the columns __key__, txt, cls, json|__key__, txt, cls, size.*try --columns"):
        read_catalogue(shard(tmp_path / "s.tar", PRODUCTS))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: cut(path, "p003.txt", 700), "its end is missing"),
        (lambda path: cut(path, "p003.txt", 0), "its end is missing"),
        (lambda path: shard(path, PRODUCTS | {"z": {"txt": b"\xff", "cls": b"1"}}), r"z\.txt is no text in UTF-8"),
        (lambda path: shard(path, PRODUCTS | {"z": {"txt": b"x", "json": b"{"}}), r"z\.json is no JSON"),
        (lambda path: shard(path, PRODUCTS | {"z": {"txt": b"x" * (2**26 + 1)}}), r"z\.txt has more than 67,108,864 bytes"),
        (lambda path: shard(path, {"a": {"csv": b"x"}, "b": {"csv": b"y"}}), r"no WebDataset: unpack it: tar xf"),
        (lambda path: path.write_bytes(b"x" * 2000), r"no WebDataset: unpack it"),
    ],
)
def test_what_is_no_shard_is_refused_in_one_line(tmp_path, change, told):
    path = shard(tmp_path / "s.tar", PRODUCTS)
    change(path)
    with pytest.raises(DataError, match=told) as raised:
        read(path, tmp_path)
    assert "\n" not in str(raised.value) and "s.tar" in str(raised.value)
