"""The options of every command that reads a catalogue, in one place."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.pipeline.console import together
from fusecat.stages.workspace import Workspace

if TYPE_CHECKING:
    from fusecat.stages.catalogue.data_model import ReadingOptions

IMAGES = ("first", "mean", "none")
"""The values of `stages.catalogue.data_model.ImageUse`; that module imports numpy, and help must be instant."""

TEXTS = ("all", "none")


def _character(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """One character; a tab and its like by name, or escaped."""
    if value is None:
        return None
    text = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}.get(value, value)
    if re.fullmatch(r"\\x[0-9a-fA-F]{2}", text):
        text = chr(int(text[2:], 16))
    if len(text) != 1 or text in '\r\n"':
        raise click.BadParameter(f"{value!r} is not one character (';', tab, '\\x01')")
    return text


catalogue_options = together(
    click.option(
        "--columns",
        metavar="FIELD=COLUMN,...",
        help='Your own table: id=sku,title=name,description="{bullets} {size}",label=category,image=photos. '
        "Any other FIELD is a further text, for networks whose 'fields' name it: brand=marque.",
    ),
    click.option(
        "--texts",
        type=click.Choice(TEXTS),
        default="all",
        help="None: the products have no texts, or they are not to be read.",
    ),
    click.option(
        "--images",
        type=click.Choice(IMAGES),
        default="first",
        help="Of several pictures of a product use the first readable one, or the mean over all; or no pictures at all.",
    ),
    click.option("--max-images", type=click.IntRange(min=1), default=8, help="Pictures per product, at most."),
    click.option(
        "--max-image-pixels",
        type=click.IntRange(min=1),
        default=40_000_000,
        help="Width x height above which a picture is not decoded.",
    ),
    click.option(
        "--image-folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where the pictures of your own table lie, if not beside it.",
    ),
    click.option(
        "--image-prefix", metavar="TEXT", help="What stands before the names of pictures in your own table and is not here."
    ),
    click.option("--follow-symlinks", is_flag=True, help="Read files that links out of the catalogue lead to."),
    click.option("--encoding", default="utf-8", help="Encoding of text files."),
    click.option(
        "--separator",
        callback=_character,
        metavar="CHARACTER",
        help="What parts the cells of a text file (';', tab) [found out].",
    ),
    click.option(
        "--label-level",
        type=click.IntRange(min=1),
        metavar="N",
        help="Of labels that are category paths (A > B > C) take this level, from 1.",
    ),
    click.option(
        "--split-column", metavar="COLUMN", help="A split of your own: train, head, validation or test in this column."
    ),
    click.option(
        "--split-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A split of your own: a CSV or TSV of ids and parts.",
    ),
    click.option(
        "--group-by", metavar="COLUMN", help="Products with the same value here never lie on both sides of the split."
    ),
)
"""Adds the options; `reading_options` turns their values into what `read_catalogue` takes."""


def reading_options(values: Mapping[str, Any], workspace: Path, *, labels: bool = True) -> "ReadingOptions":
    """Turn the values of the options into settings. `labels` False: the products need not have any (prediction).

    `workspace`: where pictures are written that lie inside of a table.

    `max_image_pixels` is not among them: it belongs to `ImageIndex.scan` and to `decode`.
    """
    from fusecat.stages.catalogue.columns import parse_columns
    from fusecat.stages.catalogue.data_model import ImageUse, ReadingOptions

    given = {each.name: values[each.name] for each in fields(ReadingOptions) if each.name in values}
    columns = parse_columns(values["columns"]) if values["columns"] else None
    meant = {"columns": columns, "texts": values["texts"] == "all", "images": ImageUse(values["images"])}
    return ReadingOptions(**given | meant | {"picture_store": Workspace(workspace).pictures, "labels": labels})
