"""Reads the two challenge layouts: texts, labels joined by id, names of classes, pictures, and the test sets beside them."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from fusecat.stages.catalogue.advice import packed
from fusecat.stages.catalogue.builder import TABLES, Builder
from fusecat.stages.catalogue.cleaning import clean
from fusecat.stages.catalogue.columns import listed, refuse_twice
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, ReadingOptions
from fusecat.stages.catalogue.delimited import Table, open_table
from fusecat.stages.catalogue.image_files import PictureFolder
from fusecat.stages.catalogue.layouts import LAYOUTS, SIGIR, TAXONOMY, Layout, integer, missing_columns
from fusecat.stages.catalogue.messages import fail
from fusecat.stages.catalogue.text_files import check_file
from fusecat.stages.errors import DataError


def choose(path: Path) -> Path | None:
    """The text file of a known layout that `path` is or holds, the training set first; None where there is none.

    Raises: DataError where a folder holds several.
    """
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else [path.name]
    found = [name for name in names if any(layout.texts.fullmatch(name.lower()) for layout in LAYOUTS)]
    training = [name for name in found if name.lower().startswith("x_train")] or found
    if len(training) > 1:
        fail(f"{path} holds several catalogues ({', '.join(training)}): name the file instead of the folder")
    if not training:
        return None
    return path / training[0] if path.is_dir() else path


def read(path: Path, texts: Path, options: ReadingOptions) -> Catalogue:
    """Read the text file that `choose` found, and what belongs to it."""
    layout = next(layout for layout in LAYOUTS if layout.texts.fullmatch(texts.name.lower()))
    return _Reader(path, texts, layout, options).read()


class _Reader:
    """Reads one text file with its labels, class names and picture folder."""

    def __init__(self, path: Path, texts: Path, layout: Layout, options: ReadingOptions) -> None:
        self.path, self.texts, self.layout, self.options = path, texts, layout, options
        self.root = texts.parent
        self.beside = {entry.name.lower(): entry for entry in sorted(self.root.iterdir())}
        self.builder = Builder(self.root, options, TABLES, own_pictures=True)
        self.findings = self.builder.findings

    def read(self) -> Catalogue:
        """Read everything."""
        table, columns = self._open_texts()
        labels = self._labels()
        pictures = self._pictures() if {self.layout.image, self.layout.product} <= columns.keys() else None
        pairs: dict[tuple[str, str], str] = {}
        extras = self._extras(table)
        for line, cells in table.rows():
            identity, pair = self._ids(table, columns, line, cells)
            place = f"{table.path.name} line {line}"
            if not self.builder.is_new(identity, place, cells):
                continue
            if all(pair) and pairs.setdefault(pair, identity) != identity:
                self.findings.add(
                    "shared_images", f"id {pairs[pair]} and id {identity}", "kept; one side of the split has both"
                )
            named = {"title": self.layout.title, "description": self.layout.description} if self.options.texts else {}
            self.builder.add(
                identity,
                place,
                texts={field: cells[columns[name]] for field, name in named.items() if name in columns},
                images=self._images(pictures, pair, identity),
                code=None if labels is None else self._code(labels, identity, pair, line),
                **{name: cells[number] for name, number in extras.items()},
            )
        self._finish(labels, pictures, described=self.layout.description in columns)
        self._compare_with_test_sets(pairs)
        names, top_level = self._names()
        use = self.options.images
        return self.builder.catalogue(self.path, self.layout.name, class_names=names, top_level=top_level, image_use=use)

    def _open_texts(self) -> tuple[Table, dict[str, int]]:
        """The text file; of new products any column but the id may be missing, which is counted: the field is absent."""
        required, optional = self._required(), [self.layout.description]
        if self.options.labels and not self.options.texts:
            required, optional = tuple(name for name in required if name != self.layout.title), [*optional, self.layout.title]
        if self.options.labels:
            return self._open(self.texts, required, optional)
        table, columns = self._open(self.texts, required[:1], (*required[1:], *optional))
        if len(columns) == 1:
            fail(missing_columns(table, self.layout, required[1:]))
        fields = {self.layout.title: "title", self.layout.image: "image", self.layout.product: "image"}
        for name in required[1:]:
            if name not in columns:
                treatment = f"not in this table: {fields[name]} is absent"
                self.findings.add("absent_columns", f"{self.texts.name}: {name}", treatment)
        return table, columns

    def _extras(self, table: Table) -> dict[str, int]:
        """Where the columns of --split-column and --group-by are."""
        if not self.options.labels:
            return {}
        wanted = {"part": ("--split-column", self.options.split_column), "group": ("--group-by", self.options.group_by)}
        for flag, name in wanted.values():
            if name is not None and name not in table.columns:
                fail(f"{table.path}: {flag}: column {name!r} missing; columns found: {listed(table.columns)}")
        return {key: table.columns.index(name) for key, (_, name) in wanted.items() if name is not None}

    def _required(self) -> tuple[str, ...]:
        layout = self.layout
        return layout.id, layout.title, layout.image, layout.product

    def _open(self, path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[Table, dict[str, int]]:
        """A table, and where its columns are. Raises DataError where one is missing, with what the file looks like."""
        check_file(path, self.root, follow_symlinks=self.options.follow_symlinks)
        table = open_table(path, self.layout.separator, self.options.encoding)
        folded = {name.casefold(): number for number, name in enumerate(table.columns)}
        if "" in required and "" not in folded and table.columns[0].casefold() in {"unnamed: 0", "index", "id"}:
            folded[""] = 0
        columns = {name: folded[name.casefold()] for name in (*required, *optional) if name.casefold() in folded}
        spelt = [table.columns[number] for number in columns.values()]
        refuse_twice(path, table.columns, spelt)
        missing = [name for name in required if name not in columns]
        if missing:
            fail(missing_columns(table, self.layout, missing))
        return table, columns

    def _ids(self, table: Table, columns: Mapping[str, int], line: int, cells: Sequence[str]) -> tuple[str, tuple[str, str]]:
        """The id of a row, and the two numbers of its picture."""
        layout = self.layout
        identity, image, product = (
            integer(cells[columns[name]], f"{table.path}: line {line}, column {name or '(the unnamed index)'}")
            if name in columns
            else ""
            for name in (layout.id, layout.image, layout.product)
        )
        return identity, (image, product)

    def _label_file(self) -> Path | None:
        """The file of labels that belongs to the texts; None where none is needed."""
        layout, texts = self.layout, self.texts.name.lower()
        if layout is SIGIR:
            expected = "y" + texts[1:]
            found = [self.beside[expected]] if expected in self.beside else []
        else:
            expected = "y_train*.csv" if texts.startswith("x_train") else "y_test*.csv"
            found = [path for name, path in self.beside.items() if fnmatch(name, expected)]
        if len(found) > 1:
            fail(f"{self.root}: several label files ({', '.join(path.name for path in found)}): keep one")
        if not found and texts.startswith("x_train") and self.options.labels:
            others = [name for name in self.beside if name.startswith("y_") and not layout.labels.fullmatch(name)]
            hint = packed(self.root, layout.labels) or (f"; {others[0]} has the name of another layout" if others else "")
            fail(f"{self.root / ('Y' + expected[1:])} does not exist: the labels of {self.texts.name} are read from it{hint}")
        return found[0] if found else None

    def _labels(self) -> "_Labels | None":
        """Id -> label, as the label file has them."""
        file = self._label_file()
        if file is None:
            return None
        layout = self.layout
        pair = (layout.image, layout.product)
        table, columns = self._open(file, (layout.id, layout.code), optional=pair)
        labels = _Labels(file)
        for line, cells in table.rows():
            where = f"{file}: line {line}, column "
            identity = integer(cells[columns[layout.id]], where + (layout.id or "(the unnamed index)"))
            code = integer(cells[columns[layout.code]], where + layout.code)
            numbers = tuple(integer(cells[columns[name]], where + name) for name in pair if name in columns)
            if identity in labels:
                known, earlier, _ = labels[identity]
                if known != code:
                    fail(
                        f"{file}: line {earlier} and line {line} give id {identity} two labels, {known} and {code}: remove one"
                    )
                self.findings.add(
                    "duplicate_labels", f"{file.name} line {line}: id {identity}", "the same label twice: read once"
                )
                continue
            labels[identity] = (code, line, numbers)
        return labels

    def _code(self, labels: "_Labels", identity: str, pair: tuple[str, str], line: int) -> str | None:
        """The label of a product; a product without one is counted. Raises DataError where the two files disagree."""
        if identity not in labels:
            treatment = "kept without a label: left out of training and of scores"
            self.findings.add("missing_labels", f"id {identity} ({self.texts.name} line {line})", treatment)
            return None
        code, label_line, numbers = labels[identity]
        labels.used.add(identity)
        if len(numbers) == len(pair) and all(pair) and numbers != pair:
            fail(
                f"{labels.file}: line {label_line}: id {identity} has {self.layout.image} and {self.layout.product} {numbers}, "
                f"{self.texts.name} line {line} has {pair}: the two files do not belong together"
            )
        return code

    def _pictures(self) -> PictureFolder | None:
        """The folder of pictures, or None where none are wanted."""
        if self.options.images is ImageUse.NONE:
            return None
        folders = [self.root / folder for folder in self.layout.picture_folders(self.texts.name)]
        folder = next((folder for folder in folders if folder.exists()), folders[0])
        return PictureFolder(folder, self.root, follow_symlinks=self.options.follow_symlinks)

    def _images(self, pictures: PictureFolder | None, pair: tuple[str, str], identity: str) -> tuple[Path, ...]:
        """The picture of a product, if it is there and may be read."""
        if pictures is None:
            return ()
        stem = f"image_{pair[0]}_product_{pair[1]}"
        path = pictures.find(stem)
        if path is None:
            self.findings.add(
                "missing_images", f"id {identity}: {pictures.folder / stem}.jpg", "kept with its text, picture masked"
            )
            return ()
        if pictures.refused(path):
            treatment = "links out of the catalogue are not followed (--follow-symlinks): picture masked"
            self.findings.add("refused_links", str(path), treatment)
            return ()
        return (path,)

    def _finish(self, labels: "_Labels | None", pictures: PictureFolder | None, *, described: bool) -> None:
        """What can only be said once all rows are read."""
        products = self.builder.products
        if not products:
            fail(f"{self.texts}: a header and no rows")
        if not described:
            treatment = "no Description column: every description is absent, the other fields are used"
            self.findings.add("no_description_column", self.texts.name, treatment, len(products))
        if pictures is not None and not any(product.images for product in products):
            fail(f"{pictures.folder}: 0 of {len(products)} images found; put them there, or pass --images none to go without")
        if labels is None:
            return
        if not labels.used:
            fail(f"{labels.file}: no label belongs to any product of {self.texts.name}: the two files do not belong together")
        idle = [identity for identity in labels if identity not in labels.used]
        if idle:
            self.findings.add("labels_without_product", f"id {idle[0]}", f"not in {self.texts.name}: ignored", len(idle))

    def _names(self) -> tuple[dict[str, str], dict[str, str]]:
        """Names and top-level categories of type codes, from the taxonomy where there is one."""
        file = self.beside.get(TAXONOMY)
        if file is None or self.layout is not SIGIR:
            return {}, {}
        table, columns = self._open(file, (self.layout.code,))
        others = [number for number, _ in enumerate(table.columns) if number != columns[self.layout.code]]
        names, top_level = dict[str, str](), dict[str, str]()
        for line, cells in table.rows():
            code = integer(cells[columns[self.layout.code]], f"{file}: line {line}, column {self.layout.code}")
            texts = [text for text in (clean(cells[number]) for number in others) if text]
            if texts:
                name = texts[min(1, len(texts) - 1)]
                if names.get(code, name) != name:
                    place = f"{file.name} line {line}: {code} is {names[code]!r} and {name!r}"
                    self.findings.add("codes_named_twice", place, "shown by the last name")
                top_level[code], names[code] = texts[0], name
        codes = sorted({product.code for product in self.builder.products if product.code is not None} - names.keys())
        for code in codes:
            self.findings.add("codes_without_name", f"{code} is not in {file.name}", "shown as its number")
        return names, top_level

    def _compare_with_test_sets(self, pairs: Mapping[tuple[str, str], str]) -> None:
        """Count products of the test sets beside a training set that are training products too."""
        if not self.texts.name.lower().startswith("x_train"):
            return
        for name, path in self.beside.items():
            if not (self.layout.texts.fullmatch(name) and name.startswith("x_test")):
                continue
            try:
                table, columns = self._open(path, self._required())
                for line, cells in table.rows():
                    if self._ids(table, columns, line, cells)[1] in pairs:
                        treatment = "also training products: their predictions would be a leak, judge without them"
                        self.findings.add("test_overlap", f"{path.name} line {line}", treatment)
                self._compare_codes(name)
            except DataError as error:
                self.findings.add("unusable_test_set", str(error), "not needed for training; 'predict' will refuse it")

    def _compare_codes(self, texts: str) -> None:
        """Count products of a labelled test set whose type code no training product has."""
        file = self.beside.get("y" + texts[1:]) if self.layout is SIGIR else None
        if file is None:
            return
        known = {product.code for product in self.builder.products}
        table, columns = self._open(file, (self.layout.code,))
        for line, cells in table.rows():
            code = integer(cells[columns[self.layout.code]], f"{file}: line {line}, column {self.layout.code}")
            if code not in known:
                treatment = "of a class that no training product has: none of them can be right"
                self.findings.add("test_codes_not_in_train", f"{file.name} line {line}: {code}", treatment)


class _Labels(dict[str, tuple[str, int, tuple[str, ...]]]):
    """id -> (code, line, numbers of the picture where the file has them); `used` are the ids that products asked for."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.used: set[str] = set()
