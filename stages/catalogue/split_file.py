"""A split of one's own in a file: which product is in which part."""

from dataclasses import replace

from fusecat.stages.catalogue.builder import PARTS, token
from fusecat.stages.catalogue.data_model import Catalogue, Findings, ReadingOptions
from fusecat.stages.catalogue.delimited import check_file, open_table
from fusecat.stages.catalogue.messages import fail, shorten
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
        message = "--split-column and --split-file say the same thing twice: pass one"
        raise UsageError(message)
    if not file.exists():
        message = f"--split-file {file} does not exist"
        raise UsageError(message)
    check_file(file, file.parent, follow_symlinks=True)
    table = open_table(file, None, options.encoding)
    if len(table.columns) < 2:
        fail(f"{file}: two columns are expected, the id and its part; found: {', '.join(table.columns)}")
    part_column = next((table.columns.index(name) for name in _PART_COLUMNS if name in table.columns), 1)
    id_column = next((table.columns.index(name) for name in ("id", "Integer_id", "") if name in table.columns), 0)
    parts: dict[str, str] = {}
    for line, cells in table.rows():
        identity, word = token(cells[id_column]), cells[part_column].strip().casefold()
        if word not in PARTS:
            where = f"{file}: line {line}, column {table.columns[part_column]}"
            fail(f"{where}: {shorten(word)!r} is no part (train, head, validation, test)")
        if parts.setdefault(identity, PARTS[word]) != PARTS[word]:
            both = f"{parts[identity]} and in {PARTS[word]}"
            fail(f"{file}: line {line}: id {shorten(identity)} is in {both}: it can be in one part only")
    findings = Findings()
    findings.extend(catalogue.findings)
    for product in catalogue.products:
        if product.id not in parts:
            findings.add(
                "not_in_split", f"id {product.id} is not in {file.name}", "in no part: left out of training and of scores"
            )
    known = {product.id for product in catalogue.products}
    strangers = [identity for identity in parts if identity not in known]
    if len(strangers) == len(parts):
        fail(f"{file}: none of its {len(parts)} ids is in {catalogue.source}: is {table.columns[id_column]!r} the id?")
    if strangers:
        findings.add("split_without_product", f"id {shorten(strangers[0])}", "not in the catalogue: ignored", len(strangers))
    given = tuple(parts.get(product.id) for product in catalogue.products)
    return replace(catalogue, given_parts=given, findings=tuple(findings))
