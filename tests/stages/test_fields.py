"""Fields are data: any text of a catalogue, by itself or joined; what architectures make of them."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fusecat.stages.catalogue.columns import parse_columns, shown
from fusecat.stages.catalogue.data_model import ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.extract import encoders, unread
from fusecat.stages.extraction.settings import Extraction, Library, Network
from fusecat.stages.fields import KNOWN, Field, words
from fusecat.stages.fusion.strategy import chosen
from fusecat.stages.fusion.wiring import wire
from fusecat.stages.vocabulary import Architecture

CHAIR = Product("1", "Chaise", None, (), "A", (("brand", "Nord"), ("bullets", "pliante")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("title", "Chaise"),
        ("description", None),
        ("title_description", "Chaise"),
        ("brand", "Nord"),
        ("size", None),
        ("bullets+size+title", "pliante Chaise"),
    ],
)
def test_a_field_reads_its_parts_in_its_order(name, text):
    assert Field(name).of(CHAIR) == text


def test_a_field_is_its_own_name():
    field = Field("title+brand")
    assert pickle.loads(pickle.dumps(field)).parts == copy.deepcopy(field).parts == ("title", "brand")
    assert json.loads(json.dumps([field])) == ["title+brand"]
    assert Field("title+description") == Field.TITLE_DESCRIPTION == "title_description"
    assert [field.is_image for field in KNOWN] == [False, False, False, True]
    assert words("title_description") == "title and description"
    assert words("maker_name") == "the maker name"
    assert words("title+brand+bullets") == "title, brand and bullets"


@pytest.mark.parametrize("name", ["", "Title", "title+", "title+title", "title+image", "attributes+title", "../x", "a" * 50])
def test_a_name_that_none_can_have_is_refused(name):
    with pytest.raises(ValueError, match="is no field"):
        Field(name)


def read(tmp_path, columns, header="sku,name,marque,cat"):
    rows = [f"{at},Chaise {at},{'Nord' if at % 2 else ''},{'AB'[at % 2]}" for at in range(20)]
    (tmp_path / "p.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return read_catalogue(tmp_path / "p.csv", ReadingOptions(columns=parse_columns(columns), images=ImageUse.NONE))


def test_a_mapping_takes_any_text_and_is_shown_as_it_is_pasted(tmp_path):
    mapping = "id=sku,title=name,brand=marque,both={name} {marque},label=cat"
    found = read(tmp_path, mapping)
    assert found.texts == ("title", "brand", "both") and found.further == ("brand", "both")
    assert found.products[0].further == (("both", "Chaise 0"),)
    assert found.products[1].further == (("brand", "Nord"), ("both", "Chaise 1 Nord"))
    assert parse_columns(shown(parse_columns(mapping))) == parse_columns(mapping)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("id=sku,title=name,category=cat", "unknown field 'category': did you mean label[?]"),
        ("id=sku,title=name,desciption=marque", "did you mean description[?]"),
        ("id=sku,title=name,label=cat,labels=cat", "did you mean label, or another name for a text of its own[?]"),
        ("id=sku,title=name,Brand=marque", "a small letter, then small letters"),
        ("id=sku,title=name,text=marque", "the name means something else here"),
    ],
)
def test_a_word_that_means_another_field_is_no_text(tmp_path, columns, told):
    with pytest.raises(UsageError, match=told):
        read(tmp_path, columns)


def test_a_text_named_like_a_field_that_is_mapped_is_one(tmp_path):
    assert read(tmp_path, "id=sku,title=name,label=cat,rayon=marque").further == ("rayon",)


def network(*fields):
    return Network(name="words", library=Library.TRANSFORMERS, model="bert", fields=tuple(map(Field, fields)))


def test_networks_name_texts_that_the_catalogue_has():
    known = ("title", "brand")
    found = encoders([network("title", "title+brand", "description")], Extraction(), texts=known)
    assert [encoder.feature for encoder in found] == ["words.title", "words.title+brand", "words.description"]
    with pytest.raises(UsageError, match=r"networks\.words: fields: the catalogue has no text 'brnd': did you mean 'brand'"):
        encoders([network("title+brnd")], Extraction(), texts=known)
    with pytest.raises(UsageError, match=r"--fields brand: no network looks at it, but at title"):
        encoders([network("title")], Extraction(), [Field("brand")], known)
    assert unread([network("title+brand")], ("brand", "bullets")) == ["bullets"]


def taken(architecture, *fields, network="w"):
    return wire(architecture, [*(f"{network}.{field}" for field in fields), "p.image"])


def test_architectures_follow_what_texts_say():
    four = ("title", "description", "brand", "title_description")
    parts = ("w.title", "w.description", "w.brand")
    assert taken(Architecture.BASELINE, *four).singles == ("w.title_description", "w.brand", "p.image")
    assert taken(Architecture.FLAT, *four).singles == (*parts, "p.image")
    assert taken(Architecture.HIERARCHICAL, *four).groups == (parts,)
    assert taken(Architecture.TEXT, *four).singles == ("w.title_description", "w.brand")
    joined = ("title", "brand", "title+brand")
    assert taken(Architecture.BASELINE, *joined).singles == ("w.title+brand", "p.image")
    assert taken(Architecture.HIERARCHICAL, *joined).groups == (("w.title", "w.brand"),)
    partly = ("title", "brand", "title_description")  # the description stands nowhere else
    assert taken(Architecture.HIERARCHICAL, *partly).groups == (("w.title", "w.title_description", "w.brand"),)


ANY = ("title", "description", "brand", "title_description", "title+brand", "brand+size")


@given(some.sets(some.sampled_from(ANY), min_size=1))
def test_no_architecture_loses_a_text(fields):
    said = {part for field in fields for part in Field(field).parts}
    for architecture in (Architecture.BASELINE, Architecture.FLAT):
        names = taken(architecture, *fields).features
        assert {part for name in names if name != "p.image" for part in Field(name.partition(".")[2]).parts} == said


def test_features_with_joined_texts_are_chosen_by_name():
    features = ("w.title", "w.title+brand", "p.image")
    assert chosen("w.title+brand+p.image", features) == ["w.title+brand", "p.image"]
    assert chosen("w.title+p.image", features) == ["w.title", "p.image"]
