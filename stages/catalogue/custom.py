"""Catalogues of one's own, row by row: any table whose columns are mapped (see `stages.catalogue.plan`)."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fusecat.stages.catalogue import advice
from fusecat.stages.catalogue.builder import NOTHING, PARTS, TABLES, Builder, token, whole_numbers
from fusecat.stages.catalogue.cleaning import clean
from fusecat.stages.catalogue.columns import (
    Cell,
    NotATextError,
    check_columns,
    filler,
    further,
    holes,
    is_header,
    listed,
    resolved,
    text,
)
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, ReadingOptions
from fusecat.stages.catalogue.image_files import plain_token
from fusecat.stages.catalogue.label_doubts import doubt_first, doubt_ids, doubt_labels, doubt_texts, level_of
from fusecat.stages.catalogue.messages import fail, shorten
from fusecat.stages.catalogue.picture_cells import Pictures
from fusecat.stages.catalogue.plan import TablePlan, tables_of
from fusecat.stages.catalogue.records import Records
from fusecat.stages.catalogue.tables import AnyTable, open_any
from fusecat.stages.fields import TEXTS

LONGEST_ID = 200
"""Characters; a longer id or type code is a text in the wrong column."""
_NOT_TEXT = ("image", "label")


def read(path: Path, made: TablePlan, options: ReadingOptions) -> Catalogue:
    """Read all tables of a plan as one catalogue."""
    builder = Builder(made.root, options, TABLES, own_pictures=True)
    wanted = "image" in made.columns and options.images is not ImageUse.NONE
    pictures = Pictures(made, options, builder.findings) if wanted else None
    parts = options.split_file and os.path.realpath(options.split_file)
    classes = made.classes
    tables = [file for file in made.tables if os.path.realpath(file) != parts]
    named = {part for file in tables if (part := PARTS.get(re.split(r"[^a-z]", file.name.lower())[0]))}
    if len(named) > 1 and options.labels and options.split_column is None and parts is None:
        treatment = (
            "files named as parts of a split, read as one catalogue and split anew: name one file, or pass --split-column"
        )
        builder.findings.add("files_named_as_parts", ", ".join(file.name for file in tables[:3]), treatment, len(tables))
    alone = f"; the folder has {len(tables)} tables: name the file that is meant instead" if len(tables) > 1 else ""
    for file in tables:
        table = open_any(file, made.root, options)
        _Rows(builder, made.columns, table, pictures, alone).read()
        names = getattr(table, "class_names", {}).get(made.columns.get("label"), ())
        classes = {str(number): name for number, name in enumerate(names)} | dict(classes)
    if not builder.products:
        names = " in " + ", ".join(file.name for file in tables[:3]) if path.is_dir() else ""
        fail(f"{path}: {f'a header and no rows{names}' if tables else 'no table but the --split-file'}")
    if pictures is not None:
        pictures.refuse_none_found(builder.products)
    elif options.images is not ImageUse.NONE:
        advice.unused_pictures(made.root, open_any(tables[0], made.root, options), options, builder.findings)
    use = options.images if wanted else ImageUse.NONE
    texts = (*(name for name in TEXTS if name in made.columns), *further(made.columns)) if options.texts else ()
    return _finish(
        builder.catalogue(path, "own", class_names={}, image_use=use, texts=texts), builder, replace(made, classes=classes)
    )


def not_understood(path: Path, options: ReadingOptions) -> str:
    """One line for a path that has no known layout (see `stages.catalogue.advice`)."""
    return advice.not_understood(path, tables_of(path, None) if path.is_dir() else (path,), options)


class _Rows:
    """The rows of one table, of which only the columns are looked at that are mapped."""

    def __init__(
        self, builder: Builder, mapping: Mapping[str, str], table: AnyTable, pictures: Pictures | None, alone: str = ""
    ) -> None:
        self.builder, self.pictures, self.options = builder, pictures, builder.options
        given = {"--split-column": self.options.split_column, "--group-by": self.options.group_by}
        columns = {name: column for name, column in mapping.items() if name != "image" or pictures is not None}
        columns |= {flag: name for flag, name in given.items() if name is not None and self.options.labels}
        columns = {name: resolved(template, table.columns) for name, template in columns.items()}
        self.columns = columns if self.options.labels else self._present(columns, table)
        needed = [column for template in self.columns.values() for column in holes(template) or [template]]
        expected = f"; {table.expected}" if isinstance(table, Records) and table.expected else ""
        for name, template in self.columns.items():
            where = f"{table.path}: {name}" if name.startswith("--") else f"{table.path}"
            check_columns(template, table.columns, where, alone or expected)
        self.texts = (*TEXTS, *further(mapping)) if self.options.texts else ()
        self.table = table.only([name for name in dict.fromkeys(needed) if name in table.columns])
        guards = {"image": plain_token}
        self.get: dict[str, Callable[[Sequence[Cell]], Cell]] = {
            name: filler(column, self.table.columns, guards.get(name)) for name, column in self.columns.items()
        }

    def _present(self, mapping: Mapping[str, str], table: AnyTable) -> dict[str, str]:
        """The fields that a table of new products has: what the study had and it lacks is absent, and counted."""
        kept = dict(mapping)
        for name, template in mapping.items():
            named = holes(template) or [template]
            lacking = [column for column in named if column not in table.columns]
            if not lacking or name == "id":
                continue
            if len(lacking) < len(named) and name not in _NOT_TEXT:
                for column in lacking:
                    kept[name] = kept[name].replace(f"{{{column}}}", "")
            else:
                del kept[name]
            if name != "label":
                place = f"{table.path.name}: {', '.join(lacking)}"
                self.builder.findings.add("absent_columns", place, f"not in this table: {name} is absent, or shorter")
        fields = [name for name in mapping if name not in ("id", "label")]
        if not kept.keys() & set(fields) and (self.options.texts or self.pictures is not None):
            wanted = ", ".join(mapping[name] for name in fields)
            fail(f"{table.path}: none of the columns {wanted} is there; columns found: {listed(table.columns)}; pass --columns")
        return kept

    def read(self) -> None:
        """Add every row."""
        if "id" not in self.columns:
            treatment = "no column is mapped to id: the number of the row is the id, from 0 on"
            self.builder.findings.add("rows_as_ids", self.table.path.name, treatment)
        for number, cells in self.table.rows():
            place = f"{self.table.path.name} {self.table.unit} {number}"
            if is_header(cells, self.table.columns):
                self.builder.findings.add("repeated_headers", place, "the header again (files put together?): no product")
                continue
            if "id" in self.columns and all(isinstance(cell, str) and not cell.strip() for cell in cells):
                self.builder.findings.add("empty_rows", place, "no cell that is mapped holds anything: no product")
                continue
            values = {name: self._text(get(cells), name, number) for name, get in self.get.items() if name not in _NOT_TEXT}
            identity = self._identity(values, number)
            if "id" in values and not self.builder.is_new(identity, place, cells):
                continue
            self.builder.add(
                identity,
                place,
                texts={name: values.get(name, "") for name in self.texts},
                images=self._images(cells, number, identity),
                code=self._code(cells, number, identity, place),
                part=values.get("--split-column"),
                group=values.get("--group-by"),
            )

    def _where(self, number: int, name: str) -> str:
        return f"{self.table.path}: {self.table.unit} {number}, column {self.columns[name]}"

    def _text(self, cell: Cell, name: str, number: int) -> str:
        try:
            return text(cell)
        except NotATextError as error:
            fail(f"{self._where(number, name)}: {error}, not text: map {name.lstrip('-')} to another column")

    def _identity(self, values: Mapping[str, str], number: int) -> str:
        if "id" not in values:
            return str(len(self.builder.products))
        identity = self._token(values["id"], "id", number)
        if not identity:
            way = "fill it in, or leave id out of the mapping (rows are then numbered)"
            fail(f"{self._where(number, 'id')}: empty: every product needs an id: {way}")
        return identity

    def _token(self, cell: str, name: str, number: int) -> str:
        """An id or type code. Raises DataError for what can be neither."""
        value = token(cell)
        if len(value) > LONGEST_ID or not value.isprintable():
            fail(f"{self._where(number, name)}: {shorten(value, 40)!r} is no {name}: at most {LONGEST_ID} printable characters")
        return value

    def _code(self, cells: Sequence[Cell], number: int, identity: str, place: str) -> str | None:
        """The type code; an empty cell is counted."""
        if "label" not in self.get:
            return None
        cell = self.get["label"](cells)
        code = token(self._text(cell, "label", number))
        if code and code not in NOTHING and self.options.label_level is not None:
            code, whole = level_of(cell, self.options.label_level)
            if not whole:
                treatment = f"fewer than {self.options.label_level} levels: the last one is the label"
                self.builder.findings.add("short_category_paths", f"id {shorten(identity)}: {code}", treatment)
        if code and code not in NOTHING:
            return self._token(code, "label", number)
        treatment = "kept without a label: left out of training and of scores"
        self.builder.findings.add("missing_labels", f"id {shorten(identity)} ({place})", treatment)
        return None

    def _images(self, cells: Sequence[Cell], number: int, identity: str) -> tuple[Path, ...]:
        """The pictures of a row that are there, in the order of the cell, at most `max_images`."""
        if self.pictures is None or "image" not in self.get:
            return ()
        get, where = self.get["image"], self._where(number, "image")
        return self.pictures.of(
            lambda: get(cells), shorten(identity), where, lambda: [get(row) for _, row in self.table.rows()]
        )


def _finish(catalogue: Catalogue, builder: Builder, made: TablePlan) -> Catalogue:
    """Ids and type codes without `.0`, and those that [classes] does not name counted."""
    products, findings = catalogue.products, builder.findings
    ids = whole_numbers([product.id for product in products])
    codes = whole_numbers([product.code for product in products])
    if (ids, codes) != ([product.id for product in products], [product.code for product in products]):
        changed = zip(products, ids, codes, strict=True)
        products = tuple(replace(product, id=identity or "", code=code) for product, identity, code in changed)
    doubt_ids([identity or "" for identity in ids], findings)
    doubt_first(products, findings)
    doubt_texts(products, catalogue.texts, findings)
    if made.classes:
        for code in sorted({code for code in codes if code is not None} - made.classes.keys()):
            findings.add("codes_without_name", f"{shorten(code)} is not in [classes]", "shown as its code")
    names = {code: clean(name) or code for code, name in made.classes.items()}
    top_level = (
        doubt_labels(catalogue.source, [code for code in codes if code is not None], findings)
        if made.columns.get("label") and builder.options.labels
        else {}
    )
    return replace(catalogue, products=products, findings=tuple(findings), class_names=names, top_level=top_level)
