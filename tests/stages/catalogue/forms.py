"""One good catalogue in the forms in which people keep theirs: 60 products of four classes, with a picture each."""

import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Row = dict[str, Any]
MAPPING = {"id": "id", "title": "title", "description": "description", "label": "label", "image": "image"}
CLASSES = ("Jouets", "Livres", "Jardin", "Cuisine")
WORDS = ("petit", "grand", "ancien", "léger", "bleu", "pliable", "noël", "solide")


def rows(count: int = 60) -> list[Row]:
    """Products; every title and picture is its own, and every tenth title needs quoting."""
    return [
        {
            "id": f"P{number:04d}",
            "title": f"Article {WORDS[number % 8]} n°{number * 37 % 997}, modèle {number}"
            + ', dit "le vrai"' * (number % 10 == 0),
            "description": f"Réf. {number * 7919 % 10007} : {WORDS[number % 5]} et {WORDS[number % 7]}" if number % 3 else "",
            "label": CLASSES[number % 4],
            "image": f"images/{number}.png",
        }
        for number in range(count)
    ]


def png(number: int) -> bytes:
    """A picture like no other: noise."""
    pixels = np.random.default_rng(number).integers(0, 255, (24, 24, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def draw(folder: Path, names: Sequence[str]) -> None:
    """The pictures of products 0, 1, 2, ... under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(number))


def csv_text(table: Sequence[Mapping[str, Any]], **dialect: Any) -> str:
    """A table as CSV."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(table[0]), **{"lineterminator": "\n"} | dialect)
    writer.writeheader()
    writer.writerows(table)
    return buffer.getvalue()


def json_lines(table: Sequence[Mapping[str, Any]]) -> str:
    """A table as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table)


@dataclass
class Form:
    """How a table is written; `options` are what the reader must be told besides the columns."""

    name: str
    write: Callable[[list[Row]], bytes]
    options: dict[str, Any] = field(default_factory=dict)


def _spark(table: list[Row]) -> str:
    return csv_text(table, quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\")


def _blanks(table: list[Row]) -> str:
    rows = [list(table[0]), *(row.values() for row in table)]
    return "\n".join(", ".join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in rows)


def _mysql(table: list[Row]) -> str:
    lines = [[str(cell) if cell else None for cell in row.values()] for row in table]
    body = ["\t".join(r"\N" if cell is None else cell for cell in cells) for cells in lines]
    return "\n".join(["\t".join(table[0]), *body])


def _unused(table: list[Row]) -> str:
    """Columns that nobody asks for: one name twice, two without a name."""
    header, *lines = csv_text(table).splitlines()
    return "\n".join([f"x,x,,,{header}", *(f"1,2,3,4,{line}" for line in lines)])


def _parquet(table: list[Row]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(table), buffer)
    return buffer.getvalue()


def _utf8(write: Callable[[list[Row]], str]) -> Callable[[list[Row]], bytes]:
    return lambda table: write(table).encode()


FORMS = [
    Form("plain.csv", _utf8(csv_text)),
    Form("mark.csv", lambda table: b"\xef\xbb\xbf" + csv_text(table).encode()),
    Form("bar.csv", _utf8(lambda table: csv_text(table, delimiter="|"))),
    Form("tab.csv", _utf8(lambda table: csv_text(table, delimiter="\t"))),
    Form("semicolon.csv", _utf8(lambda table: csv_text(table, delimiter=";", quoting=csv.QUOTE_ALL))),
    Form("caret.csv", _utf8(lambda table: csv_text(table, delimiter="^"))),
    Form("section.csv", _utf8(lambda table: csv_text(table, delimiter="§")), {"separator": "§"}),
    Form("excel.csv", lambda table: b"\xef\xbb\xbfsep=;\r\n" + csv_text(table, delimiter=";", lineterminator="\r\n").encode()),
    Form("excel_quoted.csv", _utf8(lambda table: '"sep=,"\n' + csv_text(table))),
    Form("odd_sep.csv", _utf8(lambda table: "sep=~\n" + csv_text(table, delimiter="~"))),
    Form("cp1252.csv", lambda table: csv_text(table).encode("cp1252"), {"encoding": "cp1252"}),
    Form("utf16.csv", lambda table: csv_text(table, delimiter="\t").encode("utf-16"), {"encoding": "utf-16"}),
    Form("spark.csv", _utf8(_spark)),
    Form("blanks.csv", _utf8(_blanks)),
    Form("single.csv", _utf8(lambda table: csv_text(table, quotechar="'", quoting=csv.QUOTE_ALL))),
    Form("mysql.tsv", _utf8(_mysql)),
    Form("packed.csv.gz", lambda table: gzip.compress(csv_text(table).encode())),
    Form("packed.jsonl.bz2", lambda table: bz2.compress(json_lines(table).encode())),
    Form("lines.jsonl", _utf8(json_lines)),
    Form("array.json", _utf8(lambda table: json.dumps(table, indent=2))),
    Form("unused.csv", _utf8(_unused)),
    Form("unused.jsonl", _utf8(lambda table: json_lines([{"meta": {"a": [1]}, "tags": [[1], [2]]} | row for row in table]))),
    Form("unused.parquet", lambda table: _parquet([{"meta": {"a": 1}, "raw": b"\x00\xff"} | row for row in table])),
    Form("plain.parquet", _parquet),
    Form("table", _parquet),
]
