"""A reader of a layout of one's own: what `Builder` does for it, and which options it is not asked to know."""

from pathlib import Path
from typing import Any

import pytest

from fusecat.stages.catalogue import read
from fusecat.stages.catalogue.builder import Builder
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, ReadingOptions
from fusecat.stages.errors import UsageError

PRODUCTS = {"a": ("Lampe", "Nord"), "b": ("Vase", ""), "c": ("Table", "Sud")}


def reader(*serves: str, **cells: str) -> Any:
    def layout(path: Path, options: ReadingOptions) -> Catalogue | None:
        if not (path / "mine").exists():
            return None
        builder = Builder(path, options, serves)
        for identity, (title, brand) in PRODUCTS.items():
            texts = {"title": title, "brand": brand}
            builder.add(identity, identity, texts=texts, images=(path / f"{identity}.jpg",), code=title[0], **cells)
        return builder.catalogue(path, "mine")

    return layout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of that layout, one of whose pictures is a link that leads out of it."""
    place = tmp_path / "catalogue"
    place.mkdir()
    (place / "mine").touch()
    for name in PRODUCTS:
        (tmp_path / f"{name}.jpg").write_bytes(b"JPEG")
    (place / "a.jpg").write_bytes(b"JPEG")
    (place / "b.jpg").symlink_to(tmp_path / "b.jpg")
    (place / "c.jpg").write_bytes(b"JPEG")
    monkeypatch.setattr(read, "LAYOUTS", [reader(), *read.LAYOUTS])
    return place


def test_further_texts_are_those_that_were_added(folder: Path) -> None:
    found = read.read_catalogue(folder)
    assert found.texts == ("title", "description", "brand")
    assert found.products[0].further == (("brand", "Nord"),)


def test_a_picture_outside_of_the_catalogue_is_masked_and_counted(folder: Path) -> None:
    found = read.read_catalogue(folder)
    assert [len(product.images) for product in found.products] == [1, 0, 1]
    assert [(finding.kind, finding.count) for finding in found.findings] == [("refused_links", 1)]
    followed = read.read_catalogue(folder, ReadingOptions(follow_symlinks=True))
    assert [len(product.images) for product in followed.products] == [1, 1, 1]


def test_no_pictures_and_no_texts_are_what_they_say(folder: Path) -> None:
    found = read.read_catalogue(folder, ReadingOptions(images=ImageUse.NONE))
    assert found.image_use is ImageUse.NONE
    assert not any(product.images for product in found.products)
    found = read.read_catalogue(folder, ReadingOptions(texts=False))
    assert not any(product.text or product.further for product in found.products)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"columns": {"id": "a", "title": "b"}}, "--columns"),
        ({"separator": ";"}, "--separator"),
        ({"label_level": 2}, "--label-level"),
        ({"image_folder": Path("pictures")}, "--image-folder"),
        ({"image_prefix": "https://"}, "--image-prefix"),
        ({"image_separator": "|"}, "--image-separator"),
        ({"split_column": "part"}, "--split-column part"),
        ({"group_by": "maker"}, "--group-by maker"),
    ],
)
def test_an_option_that_the_reader_does_not_follow_is_refused(folder: Path, options: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError) as refused:
        read.read_catalogue(folder, ReadingOptions(**options))
    assert str(refused.value) == f"{flag}: {folder} is of a layout that does not read it; leave it out"


def test_an_option_that_the_reader_follows_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "LAYOUTS", [reader("separator", part="train", group="one")])
    found = read.read_catalogue(folder, ReadingOptions(separator=";", split_column="part", group_by="maker"))
    assert found.given_parts == ("train",) * 3
    assert found.group_keys == ("one",) * 3
