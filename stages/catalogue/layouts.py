"""The two distributions of the Rakuten catalogue: SIGIR eCom 2020 (TSV) and ENS challenge 35 (CSV).

A layout is file names and columns together: a file of one with the columns of the other is refused, not guessed at.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fusecat.stages.catalogue.columns import listed
from fusecat.stages.catalogue.delimited import Table
from fusecat.stages.catalogue.messages import fail, shorten


@dataclass(frozen=True)
class Layout:
    """Names of one distribution. `texts` and `labels` match file names in lower case; group 1 tells the sets apart."""

    name: str
    separator: str
    texts: re.Pattern[str]
    labels: re.Pattern[str]
    id: str
    title: str
    description: str
    image: str
    product: str
    code: str

    def picture_folders(self, text_file: str) -> tuple[str, ...]:
        """Where the pictures of a text file may lie, relative to the catalogue; the first that exists is taken."""
        train = not text_file.lower().startswith("x_test")
        if self.name == "sigir":
            stem = text_file.lower().removeprefix("x_test_").rsplit(".", 1)[0]
            return ("image_training",) if train else (f"image_test/image_test_{stem}", "image_test")
        folder = "image_train" if train else "image_test"
        return folder, f"images/{folder}"


SIGIR = Layout(
    name="sigir",
    separator="\t",
    texts=re.compile(r"x_(train|test[a-z0-9_]*)\.tsv"),
    labels=re.compile(r"y_(train|test[a-z0-9_]*)\.tsv"),
    id="Integer_id",
    title="Title",
    description="Description",
    image="Image_id",
    product="Product_id",
    code="Prdtypecode",
)
ENS = Layout(
    name="ens",
    separator=",",
    texts=re.compile(r"x_(train|test)[a-z0-9_]*\.csv"),
    labels=re.compile(r"y_(train|test)[a-z0-9_]*\.csv"),
    id="",
    title="designation",
    description="description",
    image="imageid",
    product="productid",
    code="prdtypecode",
)
LAYOUTS = (SIGIR, ENS)
TAXONOMY = "catalog_english_taxonomy.tsv"

_INTEGER = re.compile(r"([0-9]{1,20})(?:\.0{1,6})?")
"""An id or type code of the challenge; pandas writes 1010.0 where the column once had an empty cell."""


def integer(cell: str, where: str) -> str:
    """The cell as the text of an integer. Raises DataError for anything else: these numbers build the paths of pictures."""
    match = _INTEGER.fullmatch(cell.strip())
    if match is None:
        fail(f"{where}: {_what_is_wrong(cell.strip())}")
    return match[1]


def _what_is_wrong(cell: str) -> str:
    shown = repr(shorten(cell, 40))
    if not cell:
        return "empty, an integer is expected: fill it in, or remove the row"
    if re.fullmatch(r"[0-9][.,]?[0-9]*[eE]\+?[0-9]+", cell):
        return f"{shown} was rounded by a spreadsheet: export the column as text"
    return f"{shown} is not an integer"


def missing_columns(table: Table, layout: Layout, missing: Sequence[str]) -> str:
    """What is missing, what is there, and what the file looks like instead."""
    found = listed(table.columns)
    names = ", ".join(name or "(the unnamed index)" for name in missing)
    other = next((other for other in LAYOUTS if other is not layout and {other.title, other.image} <= set(table.columns)), None)
    if other is not None:
        hint = f"these are columns of the {other.name} layout in a file named as in {layout.name}: rename it, or pass --columns"
    elif len(table.columns) == 1:
        separator = max("\t,;|", key=table.columns[0].count)
        hint = f"is the separator {separator!r} instead of {layout.separator!r}?"
    elif any(_INTEGER.fullmatch(name) for name in table.columns):
        hint = "the header row is missing"
    else:
        hint = "rename the column, or pass --columns"
    return f"{table.path}: column {names} missing; columns found: {found}; {hint}"
