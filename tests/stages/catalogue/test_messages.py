"""No message of reading speaks of an option that the command which prints it lacks."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from fusecat.pipeline.cli import COMMANDS, cli
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.messages import OPTIONS
from fusecat.stages.catalogue.tables import open_any
from fusecat.stages.errors import FusecatError
from tests.readme_tree import ROOT

READERS = ("check", "extract", "predict")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def options(name: str) -> frozenset[str]:
    module = import_module(f"fusecat.pipeline.commands.{'import_' if name == 'import' else name}")
    return frozenset(option for each in module.command.params for option in each.opts)


def flags(path: Path) -> Iterator[tuple[str, str]]:
    """(flag, text) of every text of a file that speaks of one.

    Left out: docstrings, options of other commands, and what begins with a flag, which was passed then.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs and node.value[:2] != "--":
            own = re.sub(r"'fusecat [^']*'", "", node.value)
            yield from ((flag, node.value) for flag in FLAG.findall(own))


def test_every_option_of_a_message_is_one_of_every_command_that_reads_catalogues() -> None:
    found = {(flag, text) for path in sorted((ROOT / "stages" / "catalogue").glob("*.py")) for flag, text in flags(path)}
    assert len(found) > 20
    for name in READERS:
        known = options(name)
        assert not {(flag, text) for flag, text in found if flag not in known}, name


TABLES = [
    "é".encode("cp1252") + b"\n",
    "id;label\n1;déco\n".encode("cp1252"),
    "id,label\n1,a\n".encode("utf-16"),
    "id,label\n1,a\n".encode("utf-16-le"),
    b"id,label\n1,\xc3",
    b"PK\x03\x04",
    b"%PDF",
    b"id,label\n1\n",
    b'id,label\n1,"a,b\n',
    b'[{"id": 1}, 2]',
]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("data", TABLES)
def test_a_table_that_cannot_be_read_is_refused_with_options_that_the_command_has(
    data: bytes, name: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "t.csv")
    token = OPTIONS.set(options(name))
    try:
        for path in (tmp_path / "t.csv", tmp_path / "in" / "link.csv"):
            with pytest.raises(FusecatError) as raised:
                list(open_any(path, path.parent, ReadingOptions()).rows())
            told = set(FLAG.findall(re.sub(r"'[^']*'", "", str(raised.value))))
            assert told <= options(name)
            assert str(path) in str(raised.value)
    finally:
        OPTIONS.reset(token)


def test_messages_know_the_options_of_a_command_while_it_runs() -> None:
    with cli.make_context("fusecat", ["check", "x"]) as context:
        cli.resolve_command(context, ["check", "x"])
        assert "--encoding" in (OPTIONS.get() or ())
        cli.resolve_command(context, ["import"])
        assert "--vectors" in (OPTIONS.get() or ())
    assert OPTIONS.get() is None
