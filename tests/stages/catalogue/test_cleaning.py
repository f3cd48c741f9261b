import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusecat.stages.catalogue.cleaning import MAX_CHARACTERS, clean

MARKUP = st.lists(
    st.sampled_from(
        ["<", ">", "&", ";", "amp", "lt", "eacute", "#38", "#x3c", "<b>", "</p>", "<br/>", "<!--", "-->", '"', "'", " ", "\x00"]
    )
    | st.text(max_size=3)
).map("".join)


@given(st.text() | MARKUP)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean(text)
    assert clean(once) == once


@given(st.text() | MARKUP)
def test_clean_text_is_nfc_on_one_line_without_controls(text: str) -> None:
    cleaned = clean(text)
    if cleaned is not None:
        assert unicodedata.is_normalized("NFC", cleaned)
        assert cleaned == " ".join(cleaned.split()) != ""
        assert not [character for character in cleaned if unicodedata.category(character) in ("Cc", "Cs")]


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("id&eacute;es<br>cadeaux", "idées cadeaux"),
        ("<p>un</p>deux<b>tro</b>is", "un deuxtrois"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("&amp;amp; &lt;ul&gt;&lt;li&gt;5 €&lt;/li&gt;", "& 5 €"),
        ("caf\u0065\u0301 &nbsp; noir\r\n\tserré", "café noir serré"),
        ("taille < 40 et a<b, I <3 you", "taille < 40 et a<b, I <3 you"),
        ("a<b et <i>c</i>", "a<b et c"),
        ("avant<script>alert('x < y')</script>après<style>p{}</style>", "avantaprès"),
        ("abc\x00def\u200bghi\u202e", "abcdef ghi"),
        ("<!-- rien <b> --> texte", "texte"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("  \t ", None),
        ("<br><p></p>", None),
        ("", None),
        (None, None),
    ],
)
def test_markup_goes_and_words_stay_apart(raw: str | None, cleaned: str | None) -> None:
    assert clean(raw) == cleaned


@pytest.mark.parametrize("piece", ["&amp;", "<a ", "<a '", "<div>", "<!--", "-->", "<!-- -->", "é ", "</", "<table>", "&#38;"])
@pytest.mark.timeout(30)  # what grows with the square of the length takes hours
def test_a_megabyte_of_anything_is_cut_and_never_hangs(piece: str) -> None:
    cleaned = clean(piece * (1_000_000 // len(piece)))
    assert cleaned is None or len(cleaned) <= MAX_CHARACTERS


def test_entities_nested_without_end_come_to_an_end() -> None:
    cleaned = clean("&" + "amp;" * 5000 + "lt;b")
    assert cleaned is not None
    assert clean(cleaned) == cleaned
