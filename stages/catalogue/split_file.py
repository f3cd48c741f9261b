"""A split of one's own in a file: which product is in which part."""

from dataclasses import replace

from fusecat.stages.catalogue.builder import parts_of, token, whole_numbers
from fusecat.stages.catalogue.columns import listed, text
from fusecat.stages.catalogue.data_model import Catalogue, Findings, ReadingOptions
from fusecat.stages.catalogue.messages import fail, shorten
from fusecat.stages.catalogue.tables import open_any
from fusecat.stages.errors import UsageError

_PART_COLUMNS = ("split", "part", "fold", "set")


def with_split_file(catalogue: Catalogue, options: ReadingOptions) -> Catalogue:
    """Give products the parts that `--split-file` has for them; without such a file, change nothing.

    The file is a CSV or TSV: ids in the column `id`, or in the first; parts in the column `split`, or in the second.
    Raises: DataError for an unknown part, or a product in two parts.
    """
    file = options.split_file
    if file is None:
        return catalogue
    if options.split_column is not None:
        raise UsageError("--split-column and --split-file say the same thing twice: pass one")
    if not file.exists():
        raise UsageError(f"--split-file {file} does not exist")
    table = open_any(file, file.parent, replace(options, follow_symlinks=True, separator=None))
    if len(table.columns) < 2:
        fail(f"{file}: two columns are expected, the id and its part; found: {listed(table.columns)}")
    part_column = next((name for name in _PART_COLUMNS if name in table.columns), table.columns[1])
    id_column = next((name for name in ("id", "Integer_id", "") if name in table.columns), table.columns[0])
    places, ids, cells = [], [], []
    for number, row in table.only((id_column, part_column)).rows():
        places.append(f"{file}: {table.unit} {number}")
        ids.append(token(text(row[0])))
        cells.append((text(row[1]), f"{places[-1]}, column {part_column}"))
    findings = Findings()
    findings.extend(catalogue.findings)
    parts: dict[str, str | None] = {}
    for identity, part, place in zip(whole_numbers(ids), parts_of(cells, part_column, findings), places, strict=True):
        if parts.setdefault(str(identity), part) != part:
            fail(f"{place}: id {shorten(str(identity))} is in {parts[str(identity)]} and in {part}: it can be in one part only")
    for product in catalogue.products:
        if product.id not in parts:
            findings.add(
                "not_in_split", f"id {product.id} is not in {file.name}", "in no part: left out of training and of scores"
            )
    known = {product.id for product in catalogue.products}
    unknown = [identity for identity in parts if identity not in known]
    if len(unknown) == len(parts):
        fail(f"{file}: none of its {len(parts)} ids is in {catalogue.source}: is {id_column!r} the id?")
    if unknown:
        findings.add("split_without_product", f"id {shorten(unknown[0])}", "not in the catalogue: ignored", len(unknown))
    given = tuple(parts.get(product.id) for product in catalogue.products)
    return replace(catalogue, given_parts=given, findings=tuple(findings))
