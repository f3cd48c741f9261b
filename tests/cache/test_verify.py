"""Damage is found, whatever was damaged; what is whole is not complained of."""

import os
import shutil

import numpy as np
import pytest

from fusecat.cache import verify as module
from fusecat.cache.errors import CacheError
from fusecat.cache.fingerprint import digest
from fusecat.cache.listing import entries
from fusecat.cache.verify import verify
from tests.cache.study import study_rows, study_vectors, write_feature


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0)


@pytest.fixture
def folder(cache, rows):
    write_feature(cache, "a.title", rows)
    write_feature(cache, "b.image", rows, vectors=study_vectors(700, 9, seed=5))
    return cache.folder


def problems(folder, expected=()):
    return {damage.file.name: damage.problem for damage in verify(folder, expected)}


def test_what_is_whole_is_not_complained_of(folder):
    assert problems(folder, ["a.title", "b.image"]) == {}


def test_one_bit_in_each_region_of_the_file_is_found(folder):
    path = folder / "a.title.h5"
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 8)
        path.write_bytes(data)
        assert list(problems(folder)) == ["a.title.h5"], place


@pytest.mark.parametrize("length", [0, 7, 8, 100, -100, -1])
def test_a_truncated_file_is_found(folder, length):
    path = folder / "a.title.h5"
    path.write_bytes(path.read_bytes()[:length])
    assert list(problems(folder)) == ["a.title.h5"]


def test_bytes_after_the_end_are_found(folder):
    with (folder / "a.title.h5").open("ab") as file:
        file.write(b"\0")
    assert "its SHA-256 is" in problems(folder)["a.title.h5"]


@pytest.mark.parametrize("seals", [True, False])
def test_swapped_files_are_found(folder, seals):
    for ending in (".h5", ".h5.sha256")[: 1 + seals]:
        one, two = folder / f"a.title{ending}", folder / f"b.image{ending}"
        one.rename(folder / "x")
        two.rename(one)
        (folder / "x").rename(two)
    found = problems(folder)
    assert "holds the feature 'b.image'" in found["a.title.h5"] and "holds the feature 'a.title'" in found["b.image.h5"]


def test_deleted_files_are_found(folder):
    (folder / "a.title.h5").unlink()
    (folder / "b.image.h5.sha256").unlink()
    found = problems(folder, ["c.title"])
    assert set(found) == {"a.title.h5", "b.image.h5.sha256", "c.title.h5"}
    assert all("is gone" in problem for problem in found.values())


def test_a_changed_seal_is_found(folder):
    (folder / "a.title.h5.sha256").write_text("0" * 64 + "  a.title.h5\n")
    assert "its SHA-256 is" in problems(folder)["a.title.h5"]


def test_a_seal_is_written_anew_where_the_feature_agrees_with_itself(folder):
    seal, other = folder / "a.title.h5.sha256", folder / "b.image.h5.sha256"
    whole = seal.read_bytes()
    seal.write_text("torn")
    other.unlink()
    assert all("cache verify --reseal" in problem for problem in problems(folder).values())
    assert list(verify(folder, reseal=True)) == []
    assert seal.read_bytes() == whole and other.is_file()
    damaged = bytearray((folder / "a.title.h5").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / "a.title.h5").write_bytes(damaged)
    assert [damage.file.name for damage in verify(folder, reseal=True)] == ["a.title.h5"]
    assert seal.read_bytes() == whole


def test_an_older_file_of_the_same_name_is_found(folder, cache, rows):
    """It is whole and sealed, only not what was published last."""
    shutil.copy(folder / "a.title.h5", folder / "older")
    write_feature(cache, "a.title", rows, {"seed": 2})
    os.replace(folder / "older", folder / "a.title.h5")
    assert "its SHA-256 is" in problems(folder)["a.title.h5"]


def test_a_damaged_block_is_found_and_computed_again(cache, rows):
    embedding, logits, present = study_vectors(700)
    recipe = {"network": "a.title"}
    writer = cache.writer("a.title", recipe, rows, block=100)
    for number, of in writer.missing():
        writer.put(number, embedding[of], logits[of], present[of])
    block = sorted(cache.folder.glob("*.blocks/*/*.npz"))[3]
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 4
    block.write_bytes(data)
    assert list(problems(cache.folder)) == [block.name]
    with pytest.raises(CacheError, match="has been removed; run the same command again"):
        writer.seal(weights="", fitted_on=(), versions={})
    assert [number for number, _ in writer.missing()] == [3]


def test_the_list_shows_what_is_there(cache, rows, folder):
    writer = cache.writer("c.title_description", {"x": 1}, rows)
    embedding, logits, present = study_vectors(700)
    writer.put(1, embedding[256:512], logits[256:512], present[256:512])
    (folder / "b.image.h5").write_bytes(b"")
    one, two, three = entries(folder)
    assert (one.network, one.field, one.state, one.rows, one.width, one.dtype) == ("a", "title", "sealed", 700, 24, "float16")
    assert (one.present, one.logits, one.fitted_on) == (int(present.sum()), True, ("train",))
    assert one.size == (folder / "a.title.h5").stat().st_size
    assert (two.feature, two.rows) == ("b.image", 0) and two.state.startswith("is damaged")
    assert (three.field, three.state) == ("title_description", "in progress, 1 blocks")


def test_digests_do_not_depend_on_how_a_value_is_written(tmp_path):
    assert digest({"a": (1, 2), "b": None}) == digest({"b": None, "a": [1, 2]})
    (tmp_path / "file").write_bytes(b"abc")
    assert digest(tmp_path / "file") == digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(ValueError, match="Out of range"):
        digest(float("nan"))


def test_rows_that_cannot_be_stored_are_refused():
    for change in ({"ids": ["a", "a"]}, {"ids": ["a", ""]}, {"ids": ["a", "b\0"]}, {"ids": ["a", "é" * 513]}, {"ids": ["a"]}):
        with pytest.raises(ValueError, match="id"):
            study_rows(2, **change)
    with pytest.raises(ValueError, match="label"):
        study_rows(2, labels=np.array([0, 3]))
