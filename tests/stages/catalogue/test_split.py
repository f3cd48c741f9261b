"""Laws of duplicate groups and of the split."""

import dataclasses
import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fusecat.cache.errors import DamagedFile
from fusecat.pipeline.console import default_catalogue
from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.catalogue.decode_workers import DecodeWorkers
from fusecat.stages.catalogue.duplicates import duplicate_groups, near_pairs
from fusecat.stages.catalogue.image_index import ImageIndex
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.catalogue.split import Split, groups_in, split
from fusecat.stages.errors import DataError
from fusecat.stages.vocabulary import Part, SplitProtocol
from tests.stages.catalogue.nasty import coded, draft


def made_up(counts: dict[str, int], title: str = "{code} {number}") -> Catalogue:
    """Products without pictures, `counts` of each class."""
    codes = [(code, number) for code, count in counts.items() for number in range(count)]
    rows = [Product(f"{code}-{number}", title.format(code=code, number=number), None, (), code) for code, number in codes]
    return Catalogue(Path("made-up"), "own", tuple(rows))


def alone(catalogue: Catalogue) -> np.ndarray:
    return np.arange(len(catalogue.products))


@pytest.fixture(scope="module")
def sample() -> tuple[Catalogue, np.ndarray]:
    catalogue = read_catalogue(default_catalogue())
    return catalogue, duplicate_groups(catalogue, ImageIndex.scan(catalogue, None))


@pytest.mark.parametrize("protocol", SplitProtocol)
@pytest.mark.parametrize("seed", [2020, 1])
def test_no_group_lies_on_both_sides_and_all_labelled_products_have_a_part(sample, protocol, seed) -> None:
    catalogue, groups = sample
    result = split(catalogue, groups, protocol=protocol, head_share=0.2, seed=seed)
    sides: dict[int, set[Part | None]] = {}
    for group, part in zip(groups.tolist(), result.parts, strict=True):
        sides.setdefault(group, set()).add(part)
    assert all(len(parts) == 1 for parts in sides.values())
    assert None not in result.parts
    assert (Part.TEST in result.parts) == (protocol is SplitProtocol.TEST_20)
    assert result.groups.count == sum(np.bincount(groups) > 1) > 20


def test_the_split_of_the_sample_is_this_one_on_every_machine(sample) -> None:
    result = split(*sample, protocol=SplitProtocol.TEST_20)
    assert result.counts == {"train": 895, "validation": 158, "test": 264}
    assert [part.value for part in result.parts[:8]] == EXPECTED


def test_the_order_of_rows_does_not_matter(sample) -> None:
    catalogue, groups = sample
    order = list(range(len(groups)))
    random.Random(5).shuffle(order)
    shuffled = dataclasses.replace(catalogue, products=tuple(catalogue.products[row] for row in order))
    one = split(catalogue, groups, protocol=SplitProtocol.TEST_20, head_share=0.1)
    other = split(shuffled, groups[order], protocol=SplitProtocol.TEST_20, head_share=0.1)
    assert dict(zip(one.ids, one.parts, strict=True)) == dict(zip(other.ids, other.parts, strict=True))


def test_what_classes_are_called_does_not_matter(sample) -> None:
    catalogue, groups = sample
    renamed = tuple(dataclasses.replace(product, code=f"{9999 - int(product.code)}x") for product in catalogue.products)
    one = split(catalogue, groups, protocol=SplitProtocol.TEST_20, head_share=0.1)
    assert (
        split(dataclasses.replace(catalogue, products=renamed), groups, protocol=SplitProtocol.TEST_20, head_share=0.1).parts
        == one.parts
    )


def test_shares_are_those_of_the_thesis() -> None:
    catalogue = made_up({str(code): 55025 // 25 for code in range(25)})
    assert len(catalogue.products) == 55025
    assert split(catalogue, alone(catalogue), protocol=SplitProtocol.TEST_20).counts == {
        "train": 37417,
        "validation": 6603,
        "test": 11005,
    }
    head = split(catalogue, alone(catalogue), protocol=SplitProtocol.TEST_20, head_share=0.25).counts
    assert head == {"train": 37417 - 9354, "head": 9354, "validation": 6603, "test": 11005}


@given(st.lists(st.integers(3, 60), min_size=8, max_size=20), st.integers(0, 99))
def test_every_class_is_in_every_part_in_proportion(sizes: list[int], seed: int) -> None:
    catalogue = made_up({f"c{number}": size for number, size in enumerate(sizes)})
    result = split(catalogue, alone(catalogue), protocol=SplitProtocol.TEST_20, seed=seed)
    for number, size in enumerate(sizes):
        own = [part for part, product in zip(result.parts, catalogue.products, strict=True) if product.code == f"c{number}"]
        assert 1 <= own.count(Part.VALIDATION) <= size * 0.12 + 2
        assert 1 <= own.count(Part.TEST) <= size * 0.2 + 2
        assert own.count(Part.TRAIN) >= 1


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), max_size=60), st.integers(0, 99))
def test_groups_of_any_classes_stay_together(members: list[list[str]], seed: int) -> None:
    members = [*members, *([code] for code in "abcd" * 10)]
    rows = [(group, code) for group, codes in enumerate(members) for code in codes]
    products = tuple(Product(f"{row}", "x", None, (), code) for row, (_, code) in enumerate(rows))
    groups = np.array([group for group, _ in rows])
    result = split(Catalogue(Path("x"), "own", products), groups, protocol=SplitProtocol.TEST_20, seed=seed)
    for group in range(len(members)):
        assert len({part for part, own in zip(result.parts, groups, strict=True) if own == group}) == 1
    assert result.counts["train"] >= 0.5 * len(rows)


def test_large_groups_of_many_classes_are_spread_too() -> None:
    catalogue = made_up(dict.fromkeys("abcdefgh", 60))
    sellers = np.tile(np.arange(20), 24)  # twenty sellers, each with three products of every class
    for seed in range(10):
        counts = split(catalogue, sellers, protocol=SplitProtocol.TEST_20, seed=seed).counts
        assert 48 <= counts["test"] <= 120
        assert 24 <= counts["validation"] <= 96


def test_a_few_groups_are_enough_for_three_parts() -> None:
    catalogue = made_up(dict.fromkeys("abcd", 12))
    suppliers = np.tile(np.arange(6), 8)
    for seed in range(10):
        counts = split(catalogue, suppliers, protocol=SplitProtocol.TEST_20, seed=seed).counts
        assert counts == {"train": 32, "validation": 8, "test": 8}


def test_a_class_that_is_one_group_is_learned() -> None:
    catalogue = made_up({"a": 50, "b": 50, "same": 10})
    groups = np.array([*range(100), *[100] * 10])
    for seed in range(20):
        assert split(catalogue, groups, protocol=SplitProtocol.TEST_20, seed=seed).parts[-1] is Part.TRAIN


def test_a_class_of_one_stays_in_train_and_is_counted() -> None:
    catalogue = made_up({"a": 40, "b": 40, "lonely": 1})
    result = split(catalogue, alone(catalogue), protocol=SplitProtocol.TEST_20)
    assert result.parts[-1] is Part.TRAIN
    assert [(finding.kind, finding.count, finding.first) for finding in result.findings] == [
        ("single_member_classes", 1, "type code lonely")
    ]


@pytest.mark.parametrize(
    ("counts", "words"), [({"a": 50}, "two classes"), ({"a": 5, "b": 5}, "too little data"), ({}, "two classes")]
)
def test_too_little_is_refused(counts: dict[str, int], words: str) -> None:
    catalogue = made_up(counts)
    with pytest.raises(DataError, match=words):
        split(catalogue, alone(catalogue), protocol=SplitProtocol.TEST_20)


def test_products_without_label_or_outside_of_the_subset_have_no_part(sample) -> None:
    catalogue, groups = sample
    result = split(catalogue, groups, protocol=SplitProtocol.TEST_20, subset="described")
    assert all(
        (part is None) == (product.description is None) for part, product in zip(result.parts, catalogue.products, strict=True)
    )
    unlabelled = (dataclasses.replace(catalogue.products[0], code=None), *catalogue.products[1:])
    result = split(dataclasses.replace(catalogue, products=unlabelled), groups, protocol=SplitProtocol.NO_TEST)
    assert result.parts[0] is None
    assert None not in result.parts[1:]


def test_a_split_comes_back_as_it_was_written_and_for_its_own_catalogue_only(sample, tmp_path: Path) -> None:
    catalogue, groups = sample
    result = split(catalogue, groups, protocol=SplitProtocol.TEST_20, head_share=0.1)
    path = result.write(tmp_path / "new" / "split.json")
    assert Split.read(path, catalogue) == result
    known = groups_in(path, result.ids)
    assert result.tied and known is not None  # the same products together, whatever the numbers
    assert len(set(zip(known.tolist(), groups.tolist(), strict=True))) == len(set(known.tolist())) == len(set(groups.tolist()))
    assert groups_in(tmp_path / "none.json", result.ids) is None
    with pytest.raises(DataError, match="another catalogue"):
        Split.read(path, catalogue.limit(100))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DamagedFile, match=r"split\.json"):
        Split.read(path, catalogue)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12), st.data())
def test_near_pairs_are_those_that_comparing_all_with_all_finds(seeds: list[int], data: st.DataObject) -> None:
    near = [seed ^ sum(1 << bit for bit in data.draw(st.sets(st.integers(0, 63), max_size=6))) for seed in seeds * 3]
    hashes = np.unique(np.array(seeds + near, dtype=np.uint64))
    expected = {(i, j) for i, j in combinations(range(len(hashes)), 2) if int(hashes[i] ^ hashes[j]).bit_count() <= 4}
    assert {tuple(sorted(pair)) for pair in near_pairs(hashes).tolist()} == expected


def test_pictures_link_products_unless_half_the_catalogue_has_them(decode_workers: DecodeWorkers, tmp_path: Path) -> None:
    spoilt = draft(default_catalogue(), tmp_path / "it", per_class=3)
    grey = coded(Image.new("RGB", (40, 40), (128, 128, 128)), "JPEG")
    same, nearly = spoilt.pixels(10), coded(spoilt.pixels(10).resize((70, 70)), "JPEG", quality=80)
    for number in (1, 2):
        spoilt.put(grey, number)
    for number in (11, 12):
        spoilt.put(coded(same, "JPEG", quality=95) if number == 11 else nearly, number)
    catalogue = read_catalogue(spoilt.write())
    groups = duplicate_groups(catalogue, ImageIndex.scan(catalogue, None, decode_workers=decode_workers))
    assert groups[1] == groups[2] != groups[0]
    assert groups[10] == groups[11] == groups[12] != groups[13]
    for number in range(40):
        spoilt.put(nearly, number)
    catalogue = read_catalogue(spoilt.write())
    assert len(set(duplicate_groups(catalogue, ImageIndex.scan(catalogue, None, decode_workers=decode_workers))[:40])) == 40


def test_the_same_text_makes_a_group_whatever_its_case() -> None:
    catalogue = made_up({"a": 3, "b": 3}, title="Même titre {number}")
    catalogue = dataclasses.replace(catalogue, products=(*catalogue.products, Product("c", "MÊME TITRE 0", None, (), "a")))
    assert duplicate_groups(catalogue, ImageIndex.scan(catalogue, None)).tolist() == [0, 1, 2, 0, 1, 2, 0]


EXPECTED = ["train", "validation", "train", "train", "test", "test", "train", "train"]
