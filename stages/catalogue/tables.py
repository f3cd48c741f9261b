"""One face for tables of every kind; what a file is, is told by its first bytes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from fusecat.cache.parquet_claims import ARROW
from fusecat.stages.catalogue.columns import Cell
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.delimited import open_table
from fusecat.stages.catalogue.json_table import looks_like_json, open_json
from fusecat.stages.catalogue.parquet import open_parquet
from fusecat.stages.catalogue.shards import ENDING, open_shard
from fusecat.stages.catalogue.text_files import check_file, head_of

_TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
ENDINGS = (".parquet", *ARROW, *_TEXTS, *(text + packed for text in _TEXTS for packed in (".gz", ".bz2", ".xz")))
"""Names of the files of a folder that are its tables, in lower case."""
BESIDES = ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json", "package.json")
"""Files that describe a folder and hold no products (the first of Hugging Face)."""


def is_table(name: str) -> bool:
    """Whether a file of a folder is one of its tables, by its name."""
    return name.lower().endswith(ENDINGS) and name[0] != "." and name.lower() not in BESIDES


class AnyTable(Protocol):
    """A header and its rows."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names, in the order of the cells."""

    @property
    def unit(self) -> str:
        """What the number of a row counts: line, row."""

    def rows(self) -> Iterator[tuple[int, Sequence[Cell]]]:
        """Number and cells of every row."""

    def only(self, names: Sequence[str]) -> Self:
        """The same table with these columns and no others: what is not asked for is not looked at."""


def open_any(file: Path, root: Path, options: ReadingOptions) -> AnyTable:
    """A table of any kind. Raises DataError where the file is none."""
    check_file(file, root, follow_symlinks=options.follow_symlinks)
    if file.suffix.lower() == ENDING:
        return open_shard(file)
    head = head_of(file)
    if head.startswith(b"PAR1") or file.suffix.lower() in (".parquet", *ARROW):
        return open_parquet(file)
    if looks_like_json(head):
        return open_json(file, options.encoding)
    return open_table(file, options.separator, options.encoding)
