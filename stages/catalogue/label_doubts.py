"""What speaks against a column as the label: numbers to regress, names, spellings, several labels in one, category paths."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fusecat.stages.catalogue.columns import Cell, text
from fusecat.stages.catalogue.data_model import Findings, Product
from fusecat.stages.catalogue.messages import fail, offered, shorten

FEWEST = 10
"""Products below which labels that are all different tell nothing."""

_LEVELS = (" > ", ">", "›", "»", "::", "|", " / ", "/")
"""What parts the levels of a category path, the surest first."""
_PATH = re.compile(r"\S\s*(>|›|»|::)\s*\S")
_COMPOUND = re.compile(r"\s*[|;]\s*")
_NOTHING = frozenset(
    {"n/a", "na", "nan", "none", "null", "(null)", "nil", "undefined", "-", "--", "?", "#n/a", "#ref!", "#value!", "#name?"}
)
"""What stands in tables where there is no label, in small letters, beside what is read as nothing anyway."""
_WHOLE = re.compile(r"0*(\d+?)(\.0+)?")
"""A whole number, whatever zeros stand around it."""
_ROUNDED = re.compile(r"\d([.,]\d+)?[eE]\+?\d+")
"""A long number as a spreadsheet shows it."""
_NUMBER = re.compile(r"[-+]?\d+[.,]\d+([eE][-+]?\d+)?")
_DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ][\d:.]+Z?)?")


def level_of(cell: Cell, level: int) -> tuple[str, bool]:
    """The level of a category path, from 1 (the last where there are fewer), and whether the path is as deep as that."""
    parts = [text(item) for item in cell] if isinstance(cell, tuple) else levels(text(cell))
    parts = [part.strip() for part in parts if part.strip()] or [""]
    return parts[min(level, len(parts)) - 1], level <= len(parts)


def levels(path: str) -> list[str]:
    """The levels of a category path; the whole where it has one."""
    mark = next((mark for mark in _LEVELS if mark in path), None)
    return path.split(mark) if mark else [path]


def doubt_labels(source: Path, codes: Sequence[str], findings: Findings) -> dict[str, str]:
    """Count what is odd about labels. Returns the top level of labels that are category paths.

    Raises: DataError where every product has a label of its own.
    """
    counts = Counter(codes)
    if not counts:
        return {}
    numbers = sum(_NUMBER.fullmatch(code) is not None for code in counts)
    if len(codes) >= FEWEST and len(counts) == len(codes):
        what = "a number to regress" if all(map(_is_number, counts)) else "a name or an id"
        fail(
            f"{source}: every product has a label of its own (as {shorten(codes[0], 40)!r}); is this {what}? Products are "
            "sorted into classes here: map label to another column, or write ranges in it"
        )
    if numbers > len(counts) / 2 and len(counts) > FEWEST:
        findings.add(
            "labels_are_numbers", shorten(codes[0], 40), "each number is a class; is this a number to regress?", numbers
        )
    dates = [code for code in counts if _DATE.fullmatch(code)]
    if len(dates) > len(counts) / 2:
        findings.add("labels_are_dates", dates[0], "each date is a class of its own; is this the label?", len(dates))
    for code in sorted(code for code in counts if code.casefold() in _NOTHING):
        treatment = "a class of its own; where it says that there is none, leave the cells empty"
        findings.add("labels_like_nothing", repr(code), treatment, counts[code])
    alike: dict[str, str] = {}
    for code in sorted(counts):
        known = alike.setdefault(_alike(code), code)
        if known != code:
            findings.add(
                "labels_alike",
                f"{known!r} and {code!r}",
                "two classes; are they one? They differ in case, blanks or zeros only",
            )
    single = sum(count == 1 for count in counts.values())
    if single > len(counts) / 2 and len(counts) > FEWEST:
        treatment = f"of {len(counts)} classes have one product only: is the label too fine?"
        treatment += offered("--label-level", " (--label-level, or another column)")
        findings.add(
            "mostly_single_classes", f"type code {min(code for code in counts if counts[code] == 1)}", treatment, single
        )
    paths = [code for code in counts if _PATH.search(code)]
    if len(paths) > len(counts) / 2:
        way = offered("--label-level", "; --label-level 1 takes the first level, 2 the second")
        treatment = f"category paths: each whole path is a class{way}"
        findings.add("category_paths", shorten(paths[0]), treatment, len(paths))
        return {code: levels(code)[0].strip() for code in counts}
    _count_compounds(counts, findings)
    return {}


def doubt_ids(ids: Sequence[str], findings: Findings) -> None:
    """Count ids that a spreadsheet rounded, and those of two products that are one number."""
    alike: dict[str, str] = {}
    for identity in ids:
        if _ROUNDED.fullmatch(identity):
            findings.add(
                "rounded_ids", f"id {identity}", "a spreadsheet rounded them: export the column as text; used as they are"
            )
        known = alike.setdefault(_alike(identity), identity)
        if known != identity and known.casefold() != identity.casefold():
            findings.add("ids_alike", f"{known!r} and {identity!r}", "two products; are they one? The ids differ in zeros only")


def doubt_first(products: Sequence[Product], findings: Findings) -> None:
    """Count the first row where it looks like a second header: an id without a digit, as no other, and a label of its own."""
    first, *others = products
    if (
        len(others) >= FEWEST
        and not re.search(r"\d", first.id)
        and all(re.search(r"\d", product.id) for product in others)
        and first.code not in {product.code for product in others}
    ):
        treatment = "a product, but its id and label are unlike all others: if it is a second header, remove it"
        findings.add("first_row_unlike_others", f"id {shorten(first.id)}", treatment)


def doubt_texts(products: Sequence[Product], texts: Sequence[str], findings: Findings) -> None:
    """Count products one text of which is the label itself, where most are so: it would answer for them."""
    told = {product.id: product.code.casefold() for product in products if product.code}
    for name in texts:
        same = [p.id for p in products if p.id in told and (p.text_of(name) or "").casefold() == told[p.id]]
        if len(same) > len(told) / 2:
            treatment = f"{name} says the label itself, which new products lack: map {name} to another column"
            findings.add("labels_in_texts", f"id {shorten(same[0])}", treatment, len(same))


def _alike(code: str) -> str:
    match = _WHOLE.fullmatch(code)
    return match[1] if match else " ".join(code.casefold().split())


def _count_compounds(counts: Mapping[str, int], findings: Findings) -> None:
    """Labels made of others: `A|B` beside `A` or `A|C`."""
    pieces = {code: _COMPOUND.split(code) for code in counts}
    shared = Counter(piece for own in pieces.values() for piece in set(own))
    made = [code for code, own in pieces.items() if len(own) > 1 and any(shared[piece] > 1 for piece in own)]
    if made:
        way = offered("--label-level", "; --label-level 1 takes the first")
        treatment = f"several labels in one cell: each combination is a class of its own{way}"
        findings.add("compound_labels", shorten(made[0]), treatment, len(made))


def _is_number(code: str) -> bool:
    try:
        float(code.replace(",", "."))
    except ValueError:
        return False
    return True
