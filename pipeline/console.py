"""What a person sees in the terminal: safe text, options that many commands share, one way of printing JSON."""

import codecs
import contextlib
import json
import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.cache.disk import name_file
from fusecat.stages.metrics import METRICS, Metric
from fusecat.stages.progress import told
from fusecat.stages.vocabulary import SplitProtocol

if TYPE_CHECKING:
    from rich.console import Console

_FOREIGN = re.compile(r"[^\x20-\x7e\n]")

NARROWEST = 60
"""Columns in which every table is whole; a narrower window folds its lines itself, and nothing is cut off."""

_PLAIN = {"±": "+-", "…": "...", "–": "-", "×": "x", "━": "="}
"""Signs of our own for a terminal that knows no others than ASCII; other characters become their codes there."""

workspace_option = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("workspace"),
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


def together(*options: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds these options to a command, in their order."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return add


study_options = together(workspace_option, json_option)
"""With which most commands end."""


class MetricChoice(click.Choice[Any]):
    """The names in the table of metrics; gives back the metric."""

    def __init__(self) -> None:
        super().__init__(list(METRICS))

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Metric:
        """Look up the name in the table as it is now."""
        self.choices = tuple(METRICS)
        return value if isinstance(value, Metric) else METRICS[super().convert(value, param, ctx)]


def metric_option(told: str, *, default: Metric | None = None) -> Callable[..., Any]:
    """`--metric`; `told` is its help."""
    name = default and default.name
    return click.option("--metric", type=MetricChoice(), default=name, show_default=bool(name), help=told)


select_metric_option = metric_option("What ranks on validation, and so chooses [the metric of 'fusecat fuse'].")


def choice(kind: type[StrEnum]) -> "click.Choice[Any]":
    """The values of an enum as choices (click itself would offer the names of the members); gives back members."""

    class Values(click.Choice[Any]):
        def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
            return kind(super().convert(value, param, ctx))

    return Values([member.value for member in kind])


def protocol_option(told: str) -> Callable[..., Any]:
    """`--protocol`; `told` is its help."""
    default = SplitProtocol.TEST_20.value
    return click.option("--protocol", type=choice(SplitProtocol), default=default, help=told)


def safe(text: str) -> str:
    """The text without control characters: nothing in a catalogue may drive the terminal."""
    return "".join(" " if character in "\n\r\t" else character for character in text if not _drives(character))


def warn(message: str) -> None:
    """Print one line on stderr."""
    told()
    click.echo("warning: " + safe(" ".join(message.split())), err=True)


def quoted(*words: object) -> str:
    """Words as a shell reads them, to be pasted: one that cannot be shown stands in its bytes, between `$'` and `'`.

    A path is never taken for an option.
    """
    return " ".join(_quoted(f"{'./' * (isinstance(word, Path) and str(word)[0] == '-')}{word}") for word in words)


def _quoted(word: str) -> str:
    try:
        word.encode(sys.stdout.encoding or "utf-8")
        shown = word.isprintable()
    except UnicodeEncodeError:
        shown = False
    if shown:
        return shlex.quote(word)
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{plain}'"


def print_json(result: Any) -> None:
    """Print one JSON document on stdout; where that cannot show every character, they stand escaped."""
    text = to_json(result)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(result, indent=1)
    with _printing():
        click.echo(text)


@contextlib.contextmanager
def _printing() -> Iterator[None]:
    """Print on stdout; an error of the system then says so."""
    told()
    try:
        yield
    except OSError as error:
        name_file(error, Path("standard output"))
        raise


def to_json(result: Any) -> str:
    """Readable JSON in which what could drive a terminal stands escaped, so that it is the same when it is read again."""
    text = json.dumps(result, ensure_ascii=False, indent=1)
    return _FOREIGN.sub(lambda found: json.dumps(found[0])[1:-1] if _drives(found[0]) else found[0], text)


def console(*, quiet: bool = False) -> "Console":
    """The terminal: colours and live progress where it is one, plain lines where it is not; respects NO_COLOR and COLUMNS."""
    from rich.console import Console

    class Screen(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            with contextlib.nullcontext() if self.quiet else _printing():
                super().print(*objects, **options)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would end with 1, "unexpected"

    plain: dict[str, Any] = {"highlight": False, "soft_wrap": True, "quiet": quiet, "emoji": False}  # a path may hold `:fire:`
    screen = Screen(**plain)
    return screen if screen.width >= NARROWEST else Screen(**plain, width=NARROWEST)


def open_streams() -> None:
    """Make the standard streams such that nothing fails for want of one, or of a character.

    A stream that is closed is opened on nothing: otherwise the next file gets its number, and what a library says of a picture
    lands in that file. A stream that knows no accents (LC_ALL=C, PYTHONIOENCODING=ascii) shows codes in their place.
    """
    codecs.register_error("fusecat", _spell)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="fusecat")


def _spell(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a stream does not know."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in found), error.end


def command_line() -> str:
    """The command as it was typed, to be repeated from a report."""
    return quoted("fusecat", *sys.argv[1:])


def default_catalogue() -> Path:
    """The shipped sample: what every command reads when no catalogue is named."""
    return Path(__file__).parent / "sample"


catalogue_argument = click.argument(
    "catalogue", metavar="[CATALOG]", type=click.Path(path_type=Path), default=default_catalogue
)


def _drives(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in "\n\r\t\u200d"
