"""Vectors of new products on the command line: `--vectors FEATURE=FILE`, its ids, logits and key."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusecat.pipeline.console import together
from fusecat.stages.errors import UsageError

if TYPE_CHECKING:
    from fusecat.stages.external.attributes import Attributes
    from fusecat.stages.external.vectors import Files

vectors_options = together(
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
    click.option(
        "--vector-columns",
        multiple=True,
        metavar="FEATURE=PATTERNS",
        help="Of a Parquet file with a column per dimension: words.title='emb_*'.",
    ),
    click.option("--id-column", multiple=True, metavar="[FEATURE=]NAME", help="The column of the ids."),
)
"""Adds the options; `external_files` takes their values."""


def external_files(values: Mapping[str, Any]) -> "dict[str, Files]":
    """Feature -> where its vectors lie. Raises UsageError naming the flag."""
    from fusecat.stages.external.vectors import Files

    vectors = {name: _existing("--vectors", file) for name, file in _pairs("--vectors", values["vectors"]).items()}
    ids = {name: _existing("--ids", file) for name, file in _for_each("--ids", values["ids"], vectors).items()}
    logits = {name: _existing("--logits", file) for name, file in _pairs("--logits", values["logits"]).items()}
    keys, columns = _pairs("--key", values["key"]), _pairs("--vector-columns", values["vector_columns"])
    for flag, given in (("--logits", logits), ("--key", keys), ("--vector-columns", columns)):
        for name in given:
            if name not in vectors:
                raise UsageError(f"{flag} {name}: no --vectors are given for it")
    column = _for_each("--id-column", values["id_column"], vectors)
    return {
        name: Files(name, file, ids.get(name), logits.get(name), keys.get(name), columns.get(name), column.get(name))
        for name, file in vectors.items()
    }


def with_attributes(external: "Mapping[str, Files]", known: "Mapping[str, Attributes]") -> "dict[str, Files]":
    """The same files; a table of a feature of attributes becomes vectors as the study's own table did."""
    from fusecat.stages.catalogue.tables import is_table

    return {
        name: replace(files, attributes=known[name]) if name in known and is_table(files.vectors.name) else files
        for name, files in external.items()
    }


def _for_each(flag: str, values: Sequence[str], vectors: Collection[str]) -> dict[str, str]:
    """Feature -> its value of a flag that is given once for all of them, or as FEATURE=VALUE for each."""
    own = [value for value in values if value.partition("=")[0] in vectors]
    shared = [value for value in values if value not in own]
    if len(shared) > 1 or (shared and not vectors):
        raise UsageError(f"{flag} {shared[-1]}: pass one for all --vectors, or FEATURE=... for each")
    return dict.fromkeys(vectors, shared[0]) | _pairs(flag, own) if shared else _pairs(flag, own)


def _pairs(flag: str, values: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, sign, rest = value.partition("=")
        if not sign or not name or not rest:
            raise UsageError(f"{flag} {value}: FEATURE=... is needed, such as {flag} camembert.title=...")
        if name in found:
            raise UsageError(f"{flag} {value}: {name} stands twice")
        found[name] = rest
    return found


def _existing(flag: str, value: str) -> Path:
    path = Path(value)
    if not path.is_file():
        raise UsageError(f"{flag} {value}: there is no such file")
    return path
