"""The `fusecat` command: a list of commands, each imported only when it is needed, and one place where errors end."""

import atexit
import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from fusecat import __version__
from fusecat.cache.errors import FusecatError
from fusecat.pipeline.console import open_streams, safe
from fusecat.stages.progress import INTERRUPTED, INTERRUPTION, heartbeat, interrupted, obeying

COMMANDS = {
    "check": "Read and validate a catalogue; trains nothing.",
    "extract": "Stage one: split, fine-tune the networks, write features/*.h5.",
    "import": "Bring vectors of your own as a feature, joined by id.",
    "fuse": "Stage two: train fusion heads on the cached features.",
    "tune": "Search hyperparameters on validation, the same budget for each strategy.",
    "report": "Compare all runs of the workspace.",
    "predict": "Classify new products with the chosen strategy.",
    "refit": "Fit the chosen strategy again on all labelled products.",
    "export": "Write the chosen strategy as a self-contained model folder.",
    "serve": "Answer requests with an exported model, over HTTP.",
    "cache": "List, verify and export what is cached.",
}
"""Name -> one line of help. `pipeline.commands.<name>` (`import_` for import) holds the click command `command`."""

USAGE = 2
INPUT_OUTPUT = 74
UNEXPECTED = 1


class _NobodyListens(Exception):
    """Whoever read stdout has gone."""


@contextmanager
def _listened_to() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:  # click would end with 1, "unexpected"
        raise _NobodyListens from error


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it: `fusecat --help` stays instant."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the command line; `--help` prints here."""
        with _listened_to():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _listened_to():
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command to run; messages are told which options it has, until it ends."""
        from fusecat.stages.catalogue.messages import OPTIONS

        name, command, rest = super().resolve_command(ctx, args)
        before = OPTIONS.set(frozenset(option for each in (command.params if command else ()) for option in each.opts))
        ctx.call_on_close(lambda: OPTIONS.reset(before))
        return name, command, rest

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All commands, in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"fusecat.pipeline.commands.{'import_' if cmd_name == 'import' else cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True}
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="fusecat")
@click.pass_context
def cli(ctx: click.Context, *, debug: bool) -> None:
    """Find which fusion of text and image classifies a catalogue best, by how much, and whether that is real."""
    ctx.obj = {"debug": debug}


def main() -> NoReturn:
    """Run the command line; every error ends here as one line and an exit code."""
    debug = "--debug" in sys.argv
    open_streams()
    try:
        with obeying(), heartbeat():
            code: Any = cli.main(prog_name="fusecat", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):  # click turns the second into the first
        code = _fail(INTERRUPTION, INTERRUPTED)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "fusecat"
        code = _fail(f"{error.format_message()} (see '{path} --help')", error.exit_code)
    except click.ClickException as error:
        code = _fail(error.format_message(), error.exit_code)
    except FusecatError as error:
        if debug:
            raise
        code = _fail(str(error), error.exit_code)
    except _NobodyListens:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be flushed would fail again
        code = INPUT_OUTPUT
    except UnicodeEncodeError as error:  # some libraries open no file whose name is not UTF-8
        if debug:
            raise
        code = _fail(f"{ascii(error.object)[:200]}: a name that is not UTF-8, which a library cannot open; rename it", USAGE)
    except Exception as error:
        from fusecat.cache.trouble import disk_errno

        if debug:
            raise
        number = disk_errno(error)
        if isinstance(error, OSError) or number is not None:
            name = getattr(error, "filename", None)
            place = f"{name}: " if name else ""
            hint = " (free some space, then run the same command again)" if number == errno.ENOSPC else ""
            code = _fail(f"{place}{getattr(error, 'strerror', None) or error}{hint}", INPUT_OUTPUT)
        else:
            name = type(error).__name__
            code = _fail(f"unexpected {name}: {error} (run again with 'fusecat --debug ...' for the traceback)", UNEXPECTED)
    # what is done can no longer be interrupted: while Python takes itself down it would die of the signal
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    """Print one line on stderr."""
    if interrupted():  # libraries wrap it in errors of their own
        message, code = INTERRUPTION, INTERRUPTED
    click.echo("error: " + safe(" ".join(message.split())), err=True)
    if interrupted():
        os._exit(code)  # where a library swallowed it first, Python would take the signal for unhandled and die of it
    return code
