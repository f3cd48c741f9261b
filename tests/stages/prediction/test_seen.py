"""What a study saw is known by content: new ids hide nothing, restarted ids accuse nobody."""

from dataclasses import replace
from pathlib import Path

import pytest

from fusecat.cache.errors import DamagedFile
from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.catalogue.duplicates import FEW
from fusecat.stages.catalogue.image_index import ImageIndex
from fusecat.stages.prediction.seen import Seen, write_contents
from tests.stages.catalogue.forms import draw


@pytest.fixture
def products(tmp_path: Path) -> list[Product]:
    draw(tmp_path, [f"{number}.png" for number in range(50)])
    pictures = [tmp_path / f"{number}.png" for number in range(50)]
    return [Product(str(n), f"Article {n}", None, (pictures[n],) * (n % 2), "ab"[n % 2]) for n in range(50)]


def seen(folder: Path, products: list[Product], ids: range) -> Seen:
    images = ImageIndex.scan(Catalogue(folder, "own", tuple(products), root=folder), None, workers=1)
    write_contents(folder / "contents.json", products, images)
    return Seen.of(folder / "contents.json", {products[row].id: str(products[row].code) for row in ids})


def test_a_product_is_known_by_its_text_or_picture_whatever_its_id_and_label(products: list[Product], tmp_path: Path) -> None:
    known = seen(tmp_path, products, range(40))
    for number, product in enumerate(products):
        renamed = replace(product, id=f"new-{number}", code="c")
        assert (renamed in known) is (number < 40)
        assert (replace(renamed, title=product.title.upper() if product.title else None) in known) is (number < 40)
        assert (replace(renamed, title="Autre texte") in known) is (number < 40 and number % 2 == 1)
        assert replace(product, title="Autre texte", images=()) not in known
        assert known.is_other(replace(product, title="Autre texte"))
        assert not known.is_other(product)


def test_what_many_products_share_tells_nothing(products: list[Product], tmp_path: Path) -> None:
    alike = [replace(product, title="Livre", images=products[1].images) for product in products[: FEW + 1]]
    known = seen(tmp_path, alike + products[FEW + 1 :], range(50))
    assert replace(alike[0], id="new") not in known
    assert replace(products[-1], id="new") in known


def test_a_workspace_that_kept_no_contents_knows_ids_and_labels(products: list[Product], tmp_path: Path) -> None:
    known = Seen.of(tmp_path / "contents.json", {"3": "b"})
    assert known.texts is None
    assert products[3] in known
    assert replace(products[3], code="a") not in known
    (tmp_path / "contents.json").write_text('{"format": 1, "products": [1]}')
    with pytest.raises(DamagedFile, match=r"contents\.json"):
        Seen.of(tmp_path / "contents.json", {"3": "b"})
