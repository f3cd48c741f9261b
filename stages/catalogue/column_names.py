"""What columns are called, in several languages."""

import re
from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "id": r"id|sku|ean|gtin|asin|ref|uid|key|code_?(produit|article)|artikel_?nr|(product|item|integer)_?"
    r"(id|code)",
    "title": r"title|name|titre|nom|designation|libell?e|titel|nombre|titolo|produkt(name)?|product_?(name|title)|"
    r"bezeichnung|text|txt",
    "description": r"desc(ription)?|long_?desc.*|body|bullets?|details?|beschreibung|descripcion|descrizione|omschrijving",
    "label": r"labels?|cls|category|categorie|class|target|type|prdtypecode|kategorie|categoria|rayon|famille|"
    r"product_?type|afdeling",
    "image": r"images?|photos?|pictures?|img|(image|img|picture|photo)_?(file|path|name|url)s?|file_?name|bild(er)?|fotos?|"
    r"imagen|immagine",
}
"""Field -> pattern of the names that its column often has."""

FURTHER = (
    r"(brand|marque|marke|marca|manufacturer|fabricant|hersteller|bullets?(_?points?)?|features?|about|attributes?|attributs?|"
    r"specs?|specifications?|keywords?|tags|mots_cles|schlagworte|subtitle|sous_titre|untertitel|material|materiau|matiere|"
    r"model|modele|modell|composition|ingredients?|zutaten)(_?\d{1,2})?"
)
"""What texts beside title and description are often called."""


def is_named(field: str, column: str) -> bool:
    """Whether a column is called as this field often is."""
    return re.fullmatch(NAMES[field], plain(column)) is not None


def plain(column: str) -> str:
    """A name in small letters, with underscores for blanks and hyphens."""
    return column.strip().casefold().replace(" ", "_").replace("-", "_")
