"""Predictions as files: the submissions of both challenges, and tables with the k most probable codes."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fusecat.cache.publish import publishing, publishing_text
from fusecat.stages.catalogue import challenge
from fusecat.stages.catalogue.data_model import Catalogue
from fusecat.stages.catalogue.delimited import open_table
from fusecat.stages.catalogue.layouts import ENS, LAYOUTS, SIGIR, integer
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.prediction.answers import ALONE, Answers, Reasons
from fusecat.stages.prediction.model import Model
from fusecat.stages.spreadsheet import harmless, is_formula

if TYPE_CHECKING:
    import pyarrow as pa


class Format(StrEnum):
    """What a prediction file looks like."""

    CSV = "csv"
    PARQUET = "parquet"
    SIGIR = "sigir"
    ENS = "ens"

    @property
    def suffix(self) -> str:
        """What follows the catalogue's name."""
        return {"sigir": ".sigir.tsv", "ens": ".ens.csv"}.get(self.value, f".{self.value}")


@dataclass(frozen=True)
class Layout:
    """How the rows are to look: `top` codes per product; below `threshold` (a probability) the model abstains."""

    format: Format
    top: int = 3
    threshold: float = 0.0
    encoding: str = "utf-8"
    reasons: bool = False
    """Further columns: the answers of text and image alone, and the probability that each field adds."""


def check(catalogue: Catalogue, layout: Layout) -> None:
    """Refuse, before anything is computed, what cannot be written. Raises UsageError."""
    if layout.format in (Format.SIGIR, Format.ENS):
        if layout.reasons:
            raise UsageError(f"--reasons: a {layout.format} submission has no place for them; use --format csv")
        if layout.threshold:
            raise UsageError(f"--threshold: a {layout.format} submission needs a code for every product; use --format csv")
        if catalogue.layout != layout.format:
            raise UsageError(
                f"--format {layout.format}: {catalogue.source} has the {catalogue.layout} layout; use --format csv"
            )
    if layout.format is Format.PARQUET:
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UsageError("--format parquet needs pyarrow: pip install 'fusecat[parquet]', or use --format csv") from error


def formulas(catalogue: Catalogue, layout: Layout, model: Model) -> list[str]:
    """What to say of texts in a CSV that a spreadsheet takes for formulas, a sentence for each kind of them."""
    if layout.format is not Format.CSV:
        return []
    told = []
    if classes := [text for text in (*model.classes, *model.class_names.values()) if is_formula(text)]:
        told.append(
            f"{len(classes):,} codes or names of classes begin like a formula (first: {classes[0]:.40}): ' stands before them"
        )
    if ids := [product.id for product in catalogue.products if is_formula(product.id)]:
        told.append(
            f"{len(ids):,} ids begin like a formula (first: {ids[0]:.40}) and are written as they are, to be joined: "
            "open the CSV in no spreadsheet"
        )
    return [f"{each}; --format parquet keeps all as it is" for each in told]


def write(path: Path, layout: Layout, model: Model, catalogue: Catalogue, answers: Iterable[Answers]) -> Path:
    """Write what `answers` brings, chunk by chunk; the file appears under its name when it is complete."""
    match layout.format:
        case Format.CSV:
            with publishing_text(path) as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns(layout, model))
                for batch in answers:
                    writer.writerows((identity, *map(harmless, rest)) for identity, *rest in rows(model, batch, layout))
        case Format.PARQUET:
            import pyarrow.parquet as pq

            with publishing(path) as target, pq.ParquetWriter(target, schema_of(layout, model)) as table:
                for batch in answers:
                    table.write_table(as_table(model, batch, layout))
        case Format.SIGIR | Format.ENS:
            best = np.concatenate(
                [np.empty(0, np.int32), *(batch.probabilities.argmax(1).astype(np.int32) for batch in answers)]
            )
            _write_submission(path, layout, catalogue, (model.classes[at] for at in best))
    return path


def columns(layout: Layout, model: Model) -> list[str]:
    """The header of a table: the best code and what is known of it, the flags, the next best, the reasons."""
    more = [f"{name}_{rank}" for rank in range(2, layout.top + 1) for name in ("code", "name", "probability")]
    alone = [f"{modality}_{name}" for modality in ALONE for name in ("code", "probability")]
    reasons = [*alone, *(f"{name}_adds" for name in (*model.texts, "image"))] if layout.reasons else []
    return ["id", "code", "name", "probability", "missing", "flag", *more, *reasons]


def rows(model: Model, batch: Answers, layout: Layout) -> Iterator[list[Any]]:
    """The rows of a table. Without a code: the model abstains. `flag`: empty, unseen, abstained or nothing."""
    top = min(layout.top, len(model.classes))
    for number, (product, best) in enumerate(zip(batch.products, batch.top(top), strict=True)):
        known = [[code, name, round(chance, 6)] for code, name, chance in best]
        abstains = best[0][2] < layout.threshold
        flag = batch.flag(number) or ("abstained" if abstains else "")
        first = ["", "", known[0][2]] if abstains else known[0]
        rest = [cell for each in known[1:] for cell in each]
        padding: list[Any] = [None] * (3 * (layout.top - top))
        why = _reasons(model, batch.reasons, number) if batch.reasons else []
        yield [product.id, *first, " ".join(batch.absent[number]), flag, *rest, *padding, *why]


def _reasons(model: Model, reasons: Reasons, number: int) -> Iterator[Any]:
    """Cells of the columns on reasons; empty where there is nothing to say."""
    for best, chance in reasons.alone.values():
        at = int(best[number])
        yield from (None, None) if at < 0 else (model.classes[at], round(float(chance[number]), 6))
    for change in reasons.adds.values():
        value = float(change[number])
        yield None if np.isnan(value) else round(value, 6)


def schema_of(layout: Layout, model: Model) -> "pa.Schema":
    """Columns and types of a table of answers."""
    import pyarrow as pa

    numbers = ("probability", "_adds")
    names = columns(layout, model)
    return pa.schema([(name, pa.float64() if any(part in name for part in numbers) else pa.string()) for name in names])


def as_table(model: Model, answers: Answers, layout: Layout) -> "pa.Table":
    """The rows of a table of answers."""
    import pyarrow as pa

    schema = schema_of(layout, model)
    cells: Iterable[Sequence[Any]] = list(zip(*rows(model, answers, layout), strict=True)) or [()] * len(schema)
    arrays = [pa.array(list(column), field.type) for column, field in zip(cells, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _write_submission(path: Path, layout: Layout, catalogue: Catalogue, codes: Iterable[str]) -> None:
    """One line per row of the challenge's table, in its order; the table is read again for the numbers of its pictures.

    `codes`: one per product. Raises DataError where the table no longer has the rows that the catalogue was read from.
    """
    known = next(each for each in LAYOUTS if each.name == catalogue.layout)
    texts = challenge.choose(catalogue.source)
    assert texts is not None, "the catalogue was read from it"
    table = open_table(texts, known.separator, layout.encoding)
    folded = {name.casefold(): number for number, name in enumerate(table.columns)}
    wanted = (SIGIR.id, SIGIR.image, SIGIR.product) if known is SIGIR else (ENS.id,)
    places = [folded.get(name.casefold(), 0) for name in wanted]
    with publishing_text(path) as file:
        writer = csv.writer(file, delimiter=known.separator, lineterminator="\n")
        writer.writerow([*wanted, SIGIR.code] if known is SIGIR else ["index", ENS.code])
        rest, line = zip(catalogue.products, codes, strict=True), 1
        for line, cells in table.rows():
            numbers = [integer(cells[place], f"{texts}: line {line}") for place in places]
            product, code = next(rest, (None, ""))
            if product is None or product.id != numbers[0]:
                _changed(texts, line)
            writer.writerow([*numbers, code])
        if next(rest, None) is not None:
            _changed(texts, line)


def _changed(texts: Path, line: int) -> NoReturn:
    raise DataError(f"{texts}: line {line}: the file has been changed since it was read; run 'fusecat predict' again")
