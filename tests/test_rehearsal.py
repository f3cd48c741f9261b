"""The made-up catalogue of the rehearsal has the shape that it claims, and is read as Rakuten's is."""

from collections import Counter
from itertools import islice, pairwise

import pytest
from PIL import Image

from benchmarks.rehearsal import CLASSES, NEAR, products, write
from fusecat.stages.catalogue.data_model import ImageUse, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue

COUNT = 4000


def test_classes_and_missing_descriptions_have_the_shares_of_the_challenge() -> None:
    assert (sum(CLASSES.values()), max(CLASSES.values()), min(CLASSES.values()), len(CLASSES)) == (84_916, 10_209, 764, 27)
    made = list(products(COUNT, 0))
    shares = Counter(code for code, _, _ in made)
    assert shares[2583] / COUNT == pytest.approx(10_209 / 84_916, abs=0.03)
    assert sum(not text for _, _, text in made) / COUNT == pytest.approx(29_800 / 84_916, abs=0.03)
    again = sum(title.startswith(before) and title != before for (_, before, _), (_, title, _) in pairwise(made))
    assert again / COUNT == pytest.approx(NEAR, abs=0.01)
    assert list(islice(products(COUNT, 0), 50)) == made[:50] != list(islice(products(COUNT, 1), 50))


def test_it_is_read_with_its_pictures_and_none_is_another_s(tmp_path) -> None:
    write(tmp_path / "train", 40, 0, pictures=True)
    catalogue = read_catalogue(tmp_path / "train", ReadingOptions())
    assert (catalogue.layout, len(catalogue.products)) == ("sigir", 40)
    pictures = [product.images[0] for product in catalogue.products]
    assert len({path.read_bytes() for path in pictures}) == 40
    with Image.open(pictures[0]) as picture:
        assert picture.size == (500, 500)
    write(tmp_path / "test", 30, 1, pictures=False)
    options = ReadingOptions(labels=False, images=ImageUse.NONE)
    assert len(read_catalogue(tmp_path / "test" / "x_test_task1_phase1.tsv", options).products) == 30
