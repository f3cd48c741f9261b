"""Good catalogues, changed at random as everyday tools do: read as the same products, or refused with a way that works."""

import dataclasses
import random
import re
import shlex
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusecat.stages.catalogue.columns import parse_columns
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import FusecatError
from tests.stages.catalogue.forms import FORMS, MAPPING, Form, Row, csv_text, png, rows

COUNT = 24
EXAMPLES = [*range(40), *(pytest.param(number, marks=pytest.mark.slow) for number in range(40, 2000))]
BAD_NAMES = ("l'article", "Prix, TTC", 'dit "nom"', "Désignation du produit", "a b", "col=1", "{x}", "-x")
Dice = random.Random


def renamed(dice: Dice, table: list[Row], mapping: dict[str, str]) -> list[Row]:
    """One column under a name that needs quoting; none that could be a template."""
    field = dice.choice(sorted(mapping))
    name = dice.choice([name for name in BAD_NAMES if "{" not in name])
    old, mapping[field] = mapping[field], name
    return [{name if key == old else key: value for key, value in row.items()} for row in table]


def reordered(dice: Dice, table: list[Row], mapping: dict[str, str]) -> list[Row]:
    """Columns in another order."""
    order = dice.sample(list(table[0]), len(table[0]))
    return [{name: row[name] for name in order} for row in table]


def more_columns(dice: Dice, table: list[Row], mapping: dict[str, str]) -> list[Row]:
    """Columns that nobody asks for: numbers, words, nothing."""
    kinds = {"price": lambda: dice.random(), "brand": lambda: dice.choice("AB"), "empty": lambda: "", "{x}": lambda: "{y}"}
    return [{**{name: make() for name, make in kinds.items()}, **row} for row in table]


def ids_of_floats(dice: Dice, table: list[Row], mapping: dict[str, str]) -> list[Row]:
    """Ids as a program writes numbers beside an empty cell."""
    return [row | {mapping["id"]: f"{number}.0"} for number, row in enumerate(table)]


def another_text(dice: Dice, table: list[Row], mapping: dict[str, str]) -> list[Row]:
    """A further text, which some products lack."""
    mapping["maker"] = "Hersteller"
    return [row | {"Hersteller": dice.choice(("Nord", "", "Süd, Söhne"))} for row in table]


TABLE_CHANGES = (renamed, reordered, more_columns, ids_of_floats, another_text)


def plain(name: str, folder: Path) -> str:
    return name


CELLS: dict[str, Callable[[str, Path], str]] = {
    "as it is": plain,
    "backslashes": lambda name, _: name.replace("/", "\\"),
    "decomposed": lambda name, _: unicodedata.normalize("NFD", name),
    "percent": lambda name, _: name.replace(" ", "%20"),
    "list": lambda name, _: repr([name]),
    "absolute": lambda name, folder: str(folder / name),
    "elsewhere": lambda name, _: f"/mnt/data 2/{name}",
    "windows": lambda name, _: f"D:\\shop\\{name}".replace("/", "\\"),
    "address": lambda name, _: f"https://cdn.example.org/x/{name}",
    "bare": lambda name, _: name.rpartition("/")[2],
}
PATTERNS = (
    "images/{}.png",
    "images/été {}.PNG",
    "a/b/vase, bleu {}.png",
    "images/[x] {}.jpg",
    "images/100% {}.webp",
    "é|{}.png",
)


def ways(message: str, options: ReadingOptions) -> Iterator[ReadingOptions]:
    """The options that a message tells to pass, each alone."""
    for flag, name in (("--encoding", "encoding"), ("--separator", "separator"), ("--image-prefix", "image_prefix")):
        if found := re.search(rf"{flag} (\S.*)", message):
            yield dataclasses.replace(options, **{name: shlex.split(found[1])[0].rstrip(",;")})
    if found := re.search(r"--columns ('.*)", message):
        yield dataclasses.replace(options, columns=parse_columns(shlex.split(found[1])[0]))


def read(path: Path, options: ReadingOptions, patience: int = 3) -> list[tuple] | str:
    """The products, after the ways of messages if need be; or the message that names none that helps."""
    try:
        catalogue = read_catalogue(path, options)
    except FusecatError as error:
        message = str(error)
        assert message.isprintable() and str(path.parent) in message and path.name in message
        for other in ways(message, options) if patience else ():
            found = read(path, other, patience - 1)
            if not isinstance(found, str):
                return found
        return message
    return [
        (p.id, p.title, p.description, p.code, [image.read_bytes() for image in p.images], p.text_of("maker"))
        for p in catalogue.products
    ]


@pytest.mark.parametrize("number", EXAMPLES)
def test_a_changed_catalogue_is_read_as_before_or_with_the_way_that_is_told(number: int, tmp_path: Path) -> None:
    dice = random.Random(number)
    form: Form = dice.choice(FORMS)
    pattern, cell = dice.choice(PATTERNS), dice.choice(sorted(CELLS))
    table, mapping = rows(COUNT), dict(MAPPING)
    for place, row in enumerate(table):
        name = pattern.format(place)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(place))
        row["image"] = CELLS[cell](name, tmp_path)
    if form.name == "cp1252.csv" and cell == "decomposed":
        cell = "as it is"  # that encoding has no combining accents
        for place, row in enumerate(table):
            row["image"] = pattern.format(place)
    changes = dice.sample(TABLE_CHANGES, dice.randrange(3))
    for change in changes:
        table = change(dice, table, mapping)
    ids = [str(place) if ids_of_floats in changes else row[mapping["id"]] for place, row in enumerate(table)]
    maker = mapping.get("maker", "")
    expected = [
        (
            identity,
            row[mapping["title"]],
            row[mapping["description"]] or None,
            row[mapping["label"]],
            [png(place)],
            row.get(maker) or None,
        )
        for place, (identity, row) in enumerate(zip(ids, table, strict=True))
    ]
    path = tmp_path / form.name
    path.write_bytes(form.write(table))
    told = set() if form.name == "section.csv" else {"encoding"}  # an unusual separator must be said, an encoding is told
    options = {name: value for name, value in form.options.items() if name not in told}
    found = read(path, ReadingOptions(columns=mapping, **options))
    assert found == expected, (form.name, pattern, cell, [change.__name__ for change in changes], str(found)[:400])


def cut(dice: Dice, text: str) -> str:
    """A download that stopped inside of a row."""
    lines = text.splitlines()[: dice.randrange(COUNT // 2, COUNT)]
    return "\n".join([*lines[:-1], lines[-1][: dice.randrange(1, lines[-1].rindex(","))]])


def stray_separator(dice: Dice, text: str) -> str:
    """A separator too many in one row."""
    lines = text.splitlines()
    lines[dice.randrange(1, len(lines))] += ","
    return "\n".join(lines)


def stray_quote(dice: Dice, text: str) -> str:
    """A quote that is never closed, before text that holds separators."""
    lines = text.splitlines()
    number = dice.randrange(1, len(lines) - 1)
    lines[number] = lines[number].replace(",", ',"', 1)
    return "\n".join(lines)


def id_twice(dice: Dice, text: str) -> str:
    """One id for two products."""
    return text.replace("P0007", "P0003", 1)


def no_id(dice: Dice, text: str) -> str:
    return text.replace("P0007", "", 1)


def no_title_column(dice: Dice, text: str) -> str:
    return text.replace("title", "titel", 1)


def two_title_columns(dice: Dice, text: str) -> str:
    return text.replace("description", "title", 1)


def another_encoding(dice: Dice, text: str) -> str:
    return text.replace("é", "\udce9", 1)


DAMAGES = (cut, stray_separator, stray_quote, id_twice, no_id, no_title_column, two_title_columns, another_encoding)


@pytest.mark.parametrize("number", EXAMPLES)
def test_a_damaged_catalogue_is_refused_with_its_place(number: int, tmp_path: Path) -> None:
    dice = random.Random(number)
    damage = dice.choice(DAMAGES)
    table = [{key: value for key, value in row.items() if key != "image"} for row in rows(COUNT)]
    text = damage(dice, csv_text(table, quoting=dice.choice([0, 1])))
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    columns = {name: column for name, column in MAPPING.items() if name != "image"}
    message = read(path, ReadingOptions(columns=columns), patience=0)
    assert isinstance(message, str), (damage.__name__, text)
    assert re.search(r"line \d+|column", message), message
    shutil.rmtree(tmp_path)
