"""What a person sees in the terminal: safe text, options that many commands share, one way of printing JSON."""

import json
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

_FOREIGN = re.compile(r"[^\x20-\x7e\n]")

workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("workspace"),
    show_default=True,
    help="The folder in which this study lives.",
)
merges_option = click.option(
    "--merge",
    "merges",
    metavar="MODULE:CLASS",
    multiple=True,
    help="A merge of your own that the strategy uses: it is code, and only run where you name it here. Repeat for more.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else, on stdout.")


def choice(kind: type[StrEnum]) -> "click.Choice[Any]":
    """The values of an enum as choices (click itself would offer the names of the members); gives back members."""

    class Values(click.Choice[Any]):
        def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
            return kind(super().convert(value, param, ctx))

    return Values([member.value for member in kind])


def safe(text: str) -> str:
    """The text without control characters: nothing in a catalogue may drive the terminal."""
    return "".join(" " if character in "\n\r\t" else character for character in text if not _drives(character))


def warn(message: str) -> None:
    """Print one line on stderr."""
    click.echo("warning: " + safe(" ".join(message.split())), err=True)


def print_json(result: Any) -> None:
    """Print one JSON document on stdout."""
    click.echo(to_json(result))


def to_json(result: Any) -> str:
    """Readable JSON in which what could drive a terminal stands escaped, so that it is the same when it is read again."""
    text = json.dumps(result, ensure_ascii=False, indent=1)
    return _FOREIGN.sub(lambda found: json.dumps(found[0])[1:-1] if _drives(found[0]) else found[0], text)


def console(*, quiet: bool = False) -> "Console":
    """The terminal: colours and live progress where it is one, plain lines where it is not; respects NO_COLOR and COLUMNS."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, quiet=quiet)


def command_line() -> str:
    """The command as it was typed, to be repeated from a report."""
    return shlex.join(["fusecat", *sys.argv[1:]])


def default_catalogue() -> Path:
    """The shipped sample: what every command reads when no catalogue is named."""
    return Path(__file__).parent / "sample"


def catalogue_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The optional CATALOG argument; the shipped sample where it is not given."""
    argument = click.argument("catalogue", metavar="[CATALOG]", type=click.Path(path_type=Path), default=default_catalogue)
    return argument(function)


def _drives(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in "\n\r\t\u200d"
