"""The options of every command that reads a catalogue, in one place."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fusecat.stages.catalogue.data_model import ReadingOptions

IMAGES = ("first", "mean", "none")
"""The values of `stages.catalogue.data_model.ImageUse`; that module imports numpy, and help must be instant."""

_OPTIONS = (
    click.option(
        "--columns",
        metavar="FIELD=COLUMN,...",
        help='Your own table: id=sku,title=name,description="{brand} {bullets}",label=category,image=photos.',
    ),
    click.option(
        "--images",
        type=click.Choice(IMAGES),
        default="first",
        show_default=True,
        help="Of several pictures of a product use the first readable one, or the mean over all; or no pictures at all.",
    ),
    click.option(
        "--max-images", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures per product, at most."
    ),
    click.option(
        "--max-image-pixels",
        type=click.IntRange(min=1),
        default=40_000_000,
        show_default=True,
        help="Width x height above which a picture is not decoded.",
    ),
    click.option("--follow-symlinks", is_flag=True, help="Read files that links out of the catalogue lead to."),
    click.option("--encoding", default="utf-8", show_default=True, help="Encoding of text files."),
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


def catalogue_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; `reading_options` turns their values into what `read_catalogue` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def reading_options(values: Mapping[str, Any], *, labels: bool = True) -> "ReadingOptions":
    """Turn the values of the options into settings. `labels` False: the products need not have any (prediction).

    `max_image_pixels` is not among them: it belongs to `ImageIndex.scan` and to `decode`.
    """
    from fusecat.stages.catalogue.columns import parse_columns
    from fusecat.stages.catalogue.data_model import ImageUse, ReadingOptions

    return ReadingOptions(
        columns=parse_columns(values["columns"]) if values["columns"] else None,
        images=ImageUse(values["images"]),
        max_images=values["max_images"],
        follow_symlinks=values["follow_symlinks"],
        encoding=values["encoding"],
        labels=labels,
        split_column=values["split_column"],
        split_file=values["split_file"],
        group_by=values["group_by"],
    )
