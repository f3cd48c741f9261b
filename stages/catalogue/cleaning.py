"""Text as the networks see it: no markup, no entities, no control characters, one blank between words, NFC.

`clean` is idempotent: what it returns, it leaves alone. It gets there by repeating one pass until nothing changes, because
shops escape twice (`&amp;eacute;`) and escape markup (`&lt;br&gt;`).
"""

import html
import re
import unicodedata

CLEANING_VERSION = "1"
"""Part of the recipe of every text feature: raise it when `clean` gives another text for the same input."""

MAX_CHARACTERS = 20_000
"""Longer texts are cut to this many characters before anything else: the longest text of the Rakuten catalogue has about
2,000 words (12,000 characters), and no network here reads more than 512 tokens."""

_ROUNDS = 12
"""Escaping nested deeper than this is an attack or an accident: what is left of `&` and `<` is then dropped."""

_CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff]"
)
"""Control and format characters, bidirectional overrides and surrogates. The joiners U+200C and U+200D stay: emoji and several
scripts are spelt with them."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_MARKUP = r"""(?:/?[a-zA-Z](?:[^<>"']|"[^"<>]{0,2000}"|'[^'<>]{0,2000}')*|[!?][^<>]*)>"""
_TAG = re.compile(f"<{_MARKUP}")
_STRAY = re.compile(f"<(?!{_MARKUP})")
"""A `<` that opens no tag: in "taille < 40" and "a<b" it is a character, and an HTML parser would swallow what follows."""

_UNREAD = ["script", "style", "noscript", "template", "head", "iframe", "object"]
_INLINE = frozenset(
    re.findall(
        r"\w+",
        "a abbr acronym b bdi bdo big body cite code data del dfn em font i ins kbd label mark nobr q ruby s samp small span "
        "strike strong sub sup tt u var wbr",
    )
)
"""Tags inside of words (`<b>S</b>oldes`); every other tag parts words."""


def clean(text: str | None) -> str | None:
    """The text without markup, or None where nothing is left. Takes time linear in `MAX_CHARACTERS`, whatever comes in."""
    if not text:
        return None
    text = text[:MAX_CHARACTERS]
    for _ in range(_ROUNDS):
        cleaner = _pass(text)
        if cleaner == text:
            return text or None
        text = cleaner
    return _pass(text.replace("&", " ").replace("<", " ")) or None


def _pass(text: str) -> str:
    """Take off one layer of markup and entities."""
    if "<" in text:
        text = _without_tags(text)
    elif "&" in text:
        text = html.unescape(text)
    text = _one_blank(text)
    if not text.isprintable():  # true of nearly every text, and ten times as fast to find out
        text = _one_blank(_CONTROLS.sub("", text))
    return unicodedata.normalize("NFC", text)[:MAX_CHARACTERS].strip()


def _one_blank(text: str) -> str:
    """Fold white space of every kind, the zero-width space too, into single blanks."""
    return " ".join(text.replace("\u200b", " ").split())


def _without_tags(text: str) -> str:
    """Let an HTML parser drop the tags (and decode entities once); a text without a tag is only unescaped."""
    commented, end, rest = text.rpartition("-->")  # no comment ends in the rest, so none is looked for there: linear time
    text = _COMMENT.sub(" ", commented + end) + rest
    if not _TAG.search(text):
        return html.unescape(text)
    from selectolax.lexbor import LexborHTMLParser

    body = LexborHTMLParser("<!DOCTYPE html><body>" + _STRAY.sub("&lt;", _CONTROLS.sub("", text))).body
    if body is None:
        return ""
    body.strip_tags(_UNREAD, recursive=True)
    for node in [node for node in body.traverse() if node.tag not in _INLINE]:
        node.insert_before(" ")
        node.insert_after(" ")
    return body.text(deep=True, separator="")
