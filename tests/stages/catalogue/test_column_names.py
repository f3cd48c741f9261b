"""What columns are taken for: names in several languages, and what is never taken."""

import csv
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fusecat.stages.catalogue.column_names import further_name, is_named
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.guess import Guess, guess
from fusecat.stages.catalogue.tables import open_any

CELLS: Mapping[str, Sequence[str]] = {
    "id": [f"A-{row}" for row in range(40)],
    "title": [f"Tasse rouge numéro {row}" for row in range(40)],
    "description": [f"Une tasse en grès pour le café, à laver à la main, lot {row}" for row in range(40)],
    "brand": [("Le Nord", "La Mer", "Au Bon")[row % 3] for row in range(40)],
    "label": [("Maison > Cuisine", "Jardin > Outils")[row % 2] for row in range(40)],
    "kind": [("simple", "variable")[row % 2] for row in range(40)],
    "link": [f"https://shop.example/p/{row}" for row in range(40)],
    "image": [f"{row}.jpg" for row in range(40)],
}
FIELDS = ("id", "title", "description", "label", "image")


def guessed(header: Mapping[str, str], folder: Path) -> Guess:
    """The guess for a table of these columns (name -> kind of cell)."""
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        out.writerows(zip(*(CELLS[kind] for kind in header.values()), strict=True))
    return guess(open_any(folder / "a.csv", folder, ReadingOptions()))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "header",
    [
        "Référence;Désignation;Descriptif;Marque*;Rayon",
        "Réf. article;Libellé;Description longue;Fabricant*;Famille",
        "Code produit;Intitulé;Description;Marque*;Catégorie",
        "N°;Dénomination;Résumé;Couleur*;Type de produit",
        "SKU;Nom du produit;Description du produit;Marque*;Sous-catégorie",
        "ID;Nom de l'article;Contenu;Pays*;Catégorie principale",
        "Artikelnummer;Artikelname;Artikelbeschreibung;Hersteller*;Warengruppe",
        "Artikel-Nr.;Überschrift;Langtext;Marke*;Kategorie",
        "EAN;Kurztext;Text;Farbe*;Produktgruppe",
        "Produkt ID;Produkttitel;Produktbeschreibung;Lieferant*;Produkttyp",
        "uniq_id;product_name;description;brand*;product_category",
        "productId;productTitle;productDescription;manufacturer*;productType",
        "id;title_fr;description_fr;vendor*;category_name",
        "Handle;Title;Body (HTML);Vendor*;Type",
        "item_id;item_name;bullet_points;material*;main_category",
        "article_id;prod_name;detail_desc;model*;class",
        "código;Nombre del producto;Descripción;Marca*;Categoría",
        "Codice;Nome prodotto;Descrizione;Marca*;Categoria",
        "artikelcode;Naam;Omschrijving;Merk*;Afdeling",
    ],
)
def test_names_of_many_languages_and_houses_are_known(header: str, form: str, tmp_path: Path) -> None:
    names = unicodedata.normalize(form, header).split(";")  # type: ignore[arg-type]
    kinds = ("id", "title", "description", "brand", "label")
    wanted = {kind: name for kind, name in zip(kinds, names, strict=True) if not name.endswith("*")}
    found = guessed({name.removesuffix("*"): kind for name, kind in zip(names, kinds, strict=True)}, tmp_path)
    assert found.columns == wanted
    assert found.doubts == ()


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "brand", ["Marque", "brand_name", "Fabricant", "Farbe", "Pays", "Composition", "bullet_points", "Tags"]
)
def test_what_is_never_a_title_is_not_taken_for_its_words(brand: str, order: int, tmp_path: Path) -> None:
    header = {"ref": "id", brand: "brand", "colonne 3": "title", "rayon": "label"}
    found = guessed(dict(list(header.items())[::order]), tmp_path)
    assert found.columns["title"] == "colonne 3"
    assert found.doubts == ("title=colonne 3 was taken for its words",)


def test_a_brand_alone_is_no_title(tmp_path: Path) -> None:
    assert set(guessed({"ref": "id", "Marque": "brand", "rayon": "label"}, tmp_path).columns) == {"id", "label"}


def test_a_guess_by_content_says_so(tmp_path: Path) -> None:
    found = guessed({"c1": "id", "c2": "description", "c3": "title", "c4": "label"}, tmp_path)
    assert found.columns == {"id": "c1", "title": "c3", "description": "c2", "label": "c4"}
    assert found.doubts == (
        "title=c3 was taken for its words",
        "description=c2 was taken for its length",
        "label=c4 was taken for its few values",
    )


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("Marque", "brand"),
        ("Marke des Herstellers", None),
        ("manufacturer", "brand"),
        ("Product Brand", "brand"),
        ("Matière", "material"),
        ("Mots-clés", "keywords"),
        ("bullet_point_2", "bullet_point_2"),
        ("bullets3", "bullets3"),
        ("title", None),
        ("price", None),
    ],
)
def test_a_further_text_is_called_as_presets_call_it(column: str, name: str | None) -> None:
    assert further_name(column) == name


@pytest.mark.parametrize("name", ["summary", "genre", "segment", "brand", "product", "text", "price", "notes"])
def test_a_text_of_ones_own_may_be_called_so(name: str) -> None:
    assert not any(is_named(field, name) for field in FIELDS)


def test_a_category_is_the_label_before_a_type_that_says_how_a_product_is_sold(tmp_path: Path) -> None:
    for kind, label in (
        ("Type", "Categories"),
        ("product_type", "categories"),
        ("Produkttyp", "Kategorie"),
        ("Type", "category_lvl_1"),
    ):
        header = {"SKU": "id", kind: "kind", "Name": "title", "Description": "description", label: "label"}
        assert guessed(header, tmp_path).columns["label"] == label


def test_a_link_is_no_id_and_an_item_without_words_no_title(tmp_path: Path) -> None:
    assert "id" not in guessed({"link": "link", "name": "title", "category": "label"}, tmp_path).columns
    assert guessed({"Item": "id", "Name": "title", "category": "label"}, tmp_path).columns["id"] == "Item"
    found = guessed({"sku": "id", "Item": "title", "category": "label"}, tmp_path)
    assert found.columns == {"id": "sku", "title": "Item", "label": "category"}


@pytest.mark.parametrize("column", ["product_color", "Produktfarbe", "product_locale", "product_brand", "review_title"])
def test_what_is_seldom_a_class_or_a_text_is_not_taken_for_one(column: str, tmp_path: Path) -> None:
    found = guessed({"product_id": "id", "product_title": "title", column: "brand", "c": "kind"}, tmp_path)
    assert found.columns["label"] == "c"
    found = guessed({"product_id": "id", column: "description", "c": "title", "category": "label"}, tmp_path)
    assert found.columns == {"id": "product_id", "title": "c", "label": "category"}
