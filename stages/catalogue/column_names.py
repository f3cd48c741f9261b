"""What columns are called, in several languages."""

import re
import unicodedata
from collections.abc import Mapping

_PRODUCT = r"product|produit|produkt|producto|prodotto|article|artikel|articulo|articolo|item|waren?|offer|listing|prod"
ONLY_PRODUCT = rf"({_PRODUCT})"
"""A column called `item` or `Artikel` and no more: its title, or its number."""
_PICTURE = (
    r"images?|photos?|pictures?|pics?|imgs?|bild(er)?|fotos?|imagen(es)?|immagin[ei]|afbeelding(en)?|visuels?|thumbnails?"
)
_CATEGORY = r"category|categories|categorie|kategorie|categoria|class|classe|klasse|label"
_CLASS = rf"{_CATEGORY}|typ|type"

NAMES: Mapping[str, tuple[str, ...]] = {
    "id": (
        (
            r"ids?|uid|uuid|guid|sku|ean|ean13|gtin|gtin13|upc|asin|mpn|isbn|key|(integer|sku|unique?|uniq|variant)_?id|handle|"
            r"ref|reference|referenz|referencia|riferimento"
        ),
        r"code|codigo|codice|number|no|nr|num|numero|nummer",
    ),
    "title": (
        (
            r"titles?|(full|display|short)?_?name|titre|nom(_(court|complet|commercial))?|designation|libell?e|intitule|denomination|"
            r"titel|nombre|nome|titolo|titulo|bezeichnung|benennung|denominacion|denominazione|uberschrift|headline|heading|"
            r"kurz(text|bezeichnung)|naam|nazwa|navn|namn"
        ),
        ONLY_PRODUCT,
        r"te?xte?",
    ),
    "description": (
        (
            r"(long|full|detail(ed)?|complete)_?desc(ription)?.*|desc(ription)?_(long|longue|full|complete|detaillee|html)|"
            r"lang(text|beschreibung)|body(_html)?"
        ),
        (
            r"desc(ription)?s?|descriptif|beschreibung|beschrijving|omschrijving|descripcion|descrizione|descricao|opis|"
            r"beskrivning|beskrivelse|details?"
        ),
        r"(short|kurz)_?(desc(ription)?|beschreibung)|desc(ription)?_(courte?|short)|bullet(s|_?points?)|te?xte?|content|contenu|summary|resume|about",
    ),
    "label": (
        rf"(({_CATEGORY})(_?(name|code|id|label|path|principale))?|labels|cls|target|prdtypecode|rayon|famille|afdeling)",
        rf"({_CATEGORY})_?(lvl|level|ebene|niveau|nivel)?_?\d",
        # after categories: shops call so whether a product is simple or configurable
        r"(typ|type)(_?(name|code|id|label|path|principale))?",
        (
            rf"(sub|sous|unter|main|master|google|principal)_?({_CLASS})(_(name|code|id|path))?|taxonomy|department|departement|"
            r"genres?|(gpc_)?(segment|brick)(_(name|code))?|univers|etiquette|etiqueta|gruppe|y"
        ),
    ),
    "image": (
        rf"(main_)?({_PICTURE})_?(file|path|name|filename|url|link|src|main|principale?|1|datei|pfad|fichier|chemin)?s?",
        rf"(file|path|url|link|lien|chemin|fichier)_({_PICTURE})|file_?(name|path)?|path|fichier|chemin|cover|poster",
    ),
}
"""Field -> patterns of the names that its column often has, the surest first; see `bare`."""

_FURTHER: Mapping[str, str] = {
    "brand": r"(brand|marque|marke|marca|manufacturer|fabricant|hersteller|merk)(_?name)?",
    "bullets": r"bullets?",
    "material": r"material|materiau|matiere",
    "model": r"model|modele|modell|modello|modelo",
    "attributes": r"attributes?|attributs?|attribute",
    "subtitle": r"subtitle|sous_titre|untertitel",
    "keywords": r"keywords?|tags|mots_cles|schlagworte",
    "specifications": r"specs?|specifications?",
    "ingredients": r"ingredients?|zutaten|composition",
    "": r"bullet_?points?|features?|about",
}
"""Text beside title and description -> patterns of the names that its column often has; under "" each is called as it is."""

_LANGUAGE = r"_(fr|en|de|es|it|nl|us|gb)"
_SMALL = frozenset(
    {"the", "of", "de", "du", "des", "d", "la", "le", "les", "l", "del", "della", "di", "il", "el", "der", "van"}
)


def is_named(field: str, column: str) -> bool:
    """Whether a column is called as this field often is, and as no other."""
    return re.fullmatch(NAMES[field][0], bare(column)) is not None


def further_name(column: str) -> str | None:
    """What a text beside title and description would be called as a field (`Marque 2`: brand_2); None for other names."""
    name, number = re.fullmatch(r"(.*?)((?:_?\d{1,2})?)", bare(column), re.DOTALL).groups()  # type: ignore[union-attr]
    for field, pattern in _FURTHER.items():
        if re.fullmatch(pattern, name):
            return (field or name) + number
    return None


def plain(column: str) -> str:
    """A name in small letters without accents, with underscores for what is no letter or digit: `Libellé (FR)`: libelle_fr."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", unicodedata.normalize("NFKD", column))
    letters = "".join(letter for letter in apart.casefold() if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "_", letters).strip("_")


def bare(column: str) -> str:
    """A plain name without small words, language, and the word product: `Nom du produit`, `product_name_fr`: nom, name."""
    name = "_".join(word for word in plain(column).split("_") if word not in _SMALL)
    name = re.sub(rf"{_LANGUAGE}$", "", name)
    return re.sub(rf"^({_PRODUCT})s?_?(?=.)|(?<=.)_({_PRODUCT})s?$", "", name)
