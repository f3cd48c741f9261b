"""Vectors of new products on the command line: `--vectors FEATURE=FILE`, its ids, logits and key."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.stages.errors import UsageError

if TYPE_CHECKING:
    from fusecat.stages.external.vectors import Files

_OPTIONS = (
    click.option(
        "--vectors",
        multiple=True,
        metavar="FEATURE=FILE",
        help="Vectors of your own in place of a network's, as 'fusecat import' takes them; without CATALOG their ids are the "
        "products. Repeat for more features.",
    ),
    click.option(
        "--ids", multiple=True, metavar="[FEATURE=]FILE", help="An id per vector, in their order: of one feature, or of all."
    ),
    click.option("--logits", multiple=True, metavar="FEATURE=FILE", help="Class logits beside the vectors of a feature."),
    click.option(
        "--key", multiple=True, metavar="FEATURE=NAME", help="The array with the vectors, where a file holds several."
    ),
)


def vectors_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; `external_files` takes their values."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def external_files(values: Mapping[str, Any]) -> "dict[str, Files]":
    """Feature -> where its vectors lie. Raises UsageError naming the flag."""
    from fusecat.stages.external.vectors import Files

    vectors = {name: _existing("--vectors", file) for name, file in _pairs("--vectors", values["vectors"]).items()}
    own = [value for value in values["ids"] if value.partition("=")[0] in vectors]
    shared = [value for value in values["ids"] if value not in own]
    if len(shared) > 1 or (shared and not vectors):
        message = f"--ids {shared[-1]}: pass one file for all --vectors, or FEATURE=FILE for each"
        raise UsageError(message)
    common = _existing("--ids", shared[0]) if shared else None
    ids = {name: _existing("--ids", file) for name, file in _pairs("--ids", own).items()}
    logits = {name: _existing("--logits", file) for name, file in _pairs("--logits", values["logits"]).items()}
    keys = _pairs("--key", values["key"])
    for flag, given in (("--logits", logits), ("--key", keys)):
        for name in given:
            if name not in vectors:
                message = f"{flag} {name}: no --vectors are given for it"
                raise UsageError(message)
    return {name: Files(name, file, ids.get(name, common), logits.get(name), keys.get(name)) for name, file in vectors.items()}


def _pairs(flag: str, values: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, sign, rest = value.partition("=")
        if not sign or not name or not rest:
            message = f"{flag} {value}: FEATURE=... is needed, such as {flag} camembert.title=..."
            raise UsageError(message)
        if name in found:
            message = f"{flag} {value}: {name} stands twice"
            raise UsageError(message)
        found[name] = rest
    return found


def _existing(flag: str, value: str) -> Path:
    path = Path(value)
    if not path.is_file():
        message = f"{flag} {value}: there is no such file"
        raise UsageError(message)
    return path
