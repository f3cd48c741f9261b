"""The options of every command that reads a catalogue, in one place."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stages.catalogue.reading import ReadingOptions

IMAGES = ("first", "mean", "none")
"""The values of `stages.catalogue.reading.ImageUse`; that module imports numpy, and help must be instant."""

_OPTIONS = (
    click.option(
        "--images", type=click.Choice(IMAGES), default="first", show_default=True, help="Which pictures of a product are used."
    ),
    click.option(
        "--max-image-pixels",
        type=click.IntRange(min=1),
        default=40_000_000,
        show_default=True,
        help="Larger pictures are not decoded.",
    ),
    click.option("--follow-symlinks", is_flag=True, help="Read files that links out of the catalogue lead to."),
    click.option("--encoding", default="utf-8", show_default=True, help="Encoding of text files."),
)


def catalogue_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; `reading_options` turns their values into what `Catalogue.read` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def reading_options(values: Mapping[str, Any], *, labels: bool = True) -> "ReadingOptions":
    """What the options ask for. `labels` False: the products need not have any (prediction)."""
    from stages.catalogue.reading import ImageUse, ReadingOptions

    return ReadingOptions(
        images=ImageUse(values["images"]), follow_symlinks=values["follow_symlinks"], encoding=values["encoding"], labels=labels
    )
