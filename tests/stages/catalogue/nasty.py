"""Faulty variants of a good catalogue, one fault each, with the verdict that they deserve.

PASS: no warning, and the same products as the good one where nothing but the form has changed. WARN: one counted warning.
FAIL: DataError with one line that names the place. A fault is a function that changes a `Draft` before or after it is written.
"""

import csv
import gzip
import io
import os
import random
import shutil
import struct
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

TEXTS = ("Integer_id", "Title", "Description", "Image_id", "Product_id")
LABELS = ("Integer_id", "Image_id", "Product_id", "Prdtypecode")
Row = dict[str, str]


@dataclass
class Draft:
    """A catalogue in SIGIR layout before it is written: rows, headers, bytes that replace a file, and what is done last."""

    folder: Path
    texts: list[Row]
    labels: list[Row]
    names: list[Row]
    tests: list[Row]
    headers: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes | None] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    last: list[Callable[[], None]] = field(default_factory=list)

    def rows(self, name: str) -> list[Row]:
        return {"X_train.tsv": self.texts, "Y_train.tsv": self.labels, "catalog_english_taxonomy.tsv": self.names}.get(
            name, self.tests
        )

    def header(self, name: str) -> list[str]:
        default = list(LABELS) if name.startswith("Y") else list(TEXTS) if name.lower().startswith("x") else list(self.names[0])
        return self.headers.setdefault(name, default)

    def text(self, name: str, separator: str = "\t", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
        buffer = io.StringIO(newline="")
        writer = csv.writer(
            buffer,
            delimiter=separator,
            lineterminator=end,
            quoting=quoting,
            quotechar=None if quoting == csv.QUOTE_NONE else '"',
        )
        writer.writerow(self.header(name))
        writer.writerows([row.get(column, "") for column in self.header(name)] for row in self.rows(name))
        return buffer.getvalue()

    def picture(self, number: int = 0) -> Path:
        row = self.texts[number]
        return self.folder / "image_training" / f"image_{row['Image_id']}_product_{row['Product_id']}.jpg"

    def pixels(self, number: int = 0) -> Image.Image:
        with Image.open(self.picture(number)) as image:
            return image.convert("RGB")

    def put(self, data: bytes, number: int = 0) -> None:
        """Replace a picture by other bytes."""
        path = self.picture(number)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def write(self) -> Path:
        for name in ("X_train.tsv", "Y_train.tsv", "catalog_english_taxonomy.tsv", "x_test_task1_phase1.tsv"):
            data = self.files.pop(name, b"default")
            if data is not None:
                (self.folder / self.renamed.get(name, name)).write_bytes(
                    self.text(name).encode() if data == b"default" else data
                )
        for name, data in self.files.items():
            if data is not None:
                (self.folder / name).write_bytes(data)
        for action in self.last:
            action()
        return self.folder


@dataclass(frozen=True)
class Fault:
    """How to spoil a draft, and what must come of it: the kinds of warnings, or words of the refusal."""

    name: str
    verdict: str
    words: tuple[str, ...]
    same: bool
    spoil: Callable[[Draft], None]


FAULTS: list[Fault] = []


def fault(verdict: str, *words: str, same: bool = False) -> Callable[[Callable[[Draft], None]], Callable[[Draft], None]]:
    """Register a fault. `words` of a WARN are the kinds of its findings; `same`: the products equal the good ones."""

    def register(spoil: Callable[[Draft], None]) -> Callable[[Draft], None]:
        FAULTS.append(Fault(spoil.__name__, verdict, words, same, spoil))
        return spoil

    return register


def draft(sample: Path, folder: Path, per_class: int = 6) -> Draft:
    """A good catalogue of `per_class` products of every class, and two test products."""

    def read(name: str) -> list[Row]:
        with (sample / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    labels = {row["Integer_id"]: row for row in read("Y_train.tsv")}
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in read("X_train.tsv"):
        classes[labels[row["Integer_id"]]["Prdtypecode"]].append(row)
    texts = [row for code in sorted(classes) for row in classes[code][:per_class]]
    tests = [row for code in sorted(classes)[:2] for row in classes[code][per_class : per_class + 1]]
    for where, rows in (("image_training", texts), ("image_test/image_test_task1_phase1", tests)):
        (folder / where).mkdir(parents=True)
        for row in rows:
            name = f"image_{row['Image_id']}_product_{row['Product_id']}.jpg"
            shutil.copy(sample / "image_training" / name, folder / where / name)
    return Draft(folder, texts, [dict(labels[row["Integer_id"]]) for row in texts], read("catalog_english_taxonomy.tsv"), tests)


def coded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file of that kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, *, bits: int = 8, colour: int = 0, data: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG with any header."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def relabel(rows: Sequence[Row], column: str, change: Callable[[str], str]) -> None:
    for row in rows:
        row[column] = change(row[column])


def lines(draft: Draft, name: str, change: Callable[[list[str]], None]) -> None:
    """Change the lines of a file as text; line 1 is `rows[0]`."""
    rows = draft.text(name).split("\n")
    change(rows)
    draft.files[name] = "\n".join(rows).encode()


# --- nothing wrong, or harmless variety of form ------------------------------------------------------------------------------


@fault("PASS", same=True)
def good(d: Draft) -> None:
    """As it is."""


@fault("PASS", same=True)
def byte_order_mark(d: Draft) -> None:
    d.files |= {name: b"\xef\xbb\xbf" + d.text(name).encode() for name in ("X_train.tsv", "Y_train.tsv")}


@fault("PASS", same=True)
def windows_line_ends(d: Draft) -> None:
    d.files |= {name: d.text(name, end="\r\n").encode() for name in ("X_train.tsv", "Y_train.tsv")}


@fault("PASS", same=True)
def old_mac_line_ends(d: Draft) -> None:
    d.files["X_train.tsv"] = d.text("X_train.tsv", end="\r").encode()


@fault("PASS", same=True)
def blanks_around_numbers(d: Draft) -> None:
    relabel(d.texts, "Integer_id", lambda text: f" {text} ")
    relabel(d.labels, "Prdtypecode", lambda text: f"{text} ")


@fault("PASS", same=True)
def windows_line_ends_in_labels_only(d: Draft) -> None:
    d.files["Y_train.tsv"] = d.text("Y_train.tsv", end="\r\n").encode()


@fault("PASS")
def quoted_tab_and_newline(d: Draft) -> None:
    d.texts[2]["Description"] = 'un\ndeux\ttrois "cités"\r\nfin'


@fault("PASS", same=True)
def every_cell_quoted(d: Draft) -> None:
    d.files["X_train.tsv"] = d.text("X_train.tsv", quoting=csv.QUOTE_ALL).encode()


@fault("PASS")
def no_quoting_and_titles_that_begin_with_a_quote(d: Draft) -> None:
    d.texts[3]["Title"], d.texts[9]["Title"] = '"Le Chat', 'Le Chien"'
    d.files["X_train.tsv"] = d.text("X_train.tsv", quoting=csv.QUOTE_NONE).encode()


@fault("PASS", same=True)
def decomposed_unicode(d: Draft) -> None:
    for column in ("Title", "Description"):
        relabel(d.texts, column, lambda text: unicodedata.normalize("NFD", text))


@fault("PASS", same=True)
def labels_in_another_order(d: Draft) -> None:
    random.Random(3).shuffle(d.labels)


@fault("PASS", same=True)
def columns_in_another_order(d: Draft) -> None:
    d.headers |= {"X_train.tsv": list(reversed(TEXTS)), "Y_train.tsv": list(reversed(LABELS))}


@fault("PASS", same=True)
def further_columns(d: Draft) -> None:
    d.headers["X_train.tsv"] = ["price", *TEXTS, "note"]
    d.texts[0]["note"] = "=cmd()"


@fault("PASS", same=True)
def labels_with_ids_only(d: Draft) -> None:
    d.headers["Y_train.tsv"] = ["Integer_id", "Prdtypecode"]


@fault("PASS", same=True)
def header_in_lower_case_with_blanks(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.__setitem__(0, " integer_id\tTITLE \tDescription\tImage_ID\tproduct_id"))


@fault("PASS", same=True)
def blank_lines(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.insert(5, ""))
    lines(d, "Y_train.tsv", lambda rows: rows.extend(["", ""]))


@fault("PASS", same=True)
def no_newline_at_the_end(d: Draft) -> None:
    d.files["X_train.tsv"] = d.text("X_train.tsv").rstrip("\n").encode()


@fault("PASS", same=True)
def a_separator_at_the_end_of_every_line(d: Draft) -> None:
    d.files["X_train.tsv"] = d.text("X_train.tsv", end="\t\n").encode()


@fault("PASS", same=True)
def ids_as_floats(d: Draft) -> None:
    for rows in (d.texts, d.labels):
        relabel(rows, "Image_id", lambda text: text + ".0")
        relabel(rows, "Product_id", lambda text: text + ".0")


@fault("PASS", same=True)
def labels_as_floats(d: Draft) -> None:
    relabel(d.labels, "Prdtypecode", lambda text: text + ".0")


@fault("PASS", same=True)
def file_names_in_upper_case(d: Draft) -> None:
    d.renamed |= {"X_train.tsv": "X_TRAIN.TSV", "Y_train.tsv": "Y_TRAIN.TSV"}


@fault("PASS", same=True)
def litter_of_other_systems(d: Draft) -> None:
    d.files |= {
        ".DS_Store": b"\x00",
        "Thumbs.db": b"\x00",
        "image_training/._image_1_product_1.jpg": b"\x00\x05",
        "notes.txt": b"\xff",
    }


@fault("PASS", same=True)
def pictures_of_nobody(d: Draft) -> None:
    d.files["image_training/image_1_product_1.jpg"] = b"not even a picture"


@fault("PASS", same=True)
def no_taxonomy(d: Draft) -> None:
    d.files["catalog_english_taxonomy.tsv"] = None


@fault("PASS", same=True)
def no_test_set(d: Draft) -> None:
    d.files["x_test_task1_phase1.tsv"] = None


@fault("PASS", same=True)
def compressed(d: Draft) -> None:
    d.files["X_train.tsv"] = gzip.compress(d.text("X_train.tsv").encode())


@fault("PASS", same=True)
def one_test_product(d: Draft) -> None:
    del d.tests[1:]


@fault("PASS")
def markup_entities_and_a_script(d: Draft) -> None:
    d.texts[0]["Title"] = "L&#39;&eacute;t&eacute; &amp;amp; <b>caf&eacute;</b><script>alert(1)</script>"
    d.texts[0]["Description"] = "<p>&lt;ul&gt;&lt;li&gt;5 €&nbsp;&#x1F600;&bogus;&#0;&#xD800;&#99999999;"


@fault("PASS")
def escape_codes_and_direction_marks(d: Draft) -> None:
    d.texts[0]["Title"] = "\x1b[31mrouge\x1b[0m \u202eetrop\u202c \x07"


@fault("PASS")
def a_description_of_a_megabyte(d: Draft) -> None:
    d.texts[0]["Description"] = ("mot clé " * 130_000)[:1_000_000]


@fault("PASS")
def a_megabyte_of_open_tags(d: Draft) -> None:
    d.texts[0]["Description"] = "<div><a href='" * 70_000


@fault("PASS")
def no_description_anywhere(d: Draft) -> None:
    relabel(d.texts, "Description", lambda _: "")


@fault("PASS", same=True)
def awkward_folder_name(d: Draft) -> None:
    folder = d.folder.with_name(' -awk\'ward "é" $x ; rm')
    d.last.append(lambda: d.folder.rename(folder))
    d.last.append(lambda: setattr(d, "folder", folder))


# --- pictures: harmless variety -----------------------------------------------------------------------------------------------


@fault("PASS")
def png_called_jpg(d: Draft) -> None:
    d.put(coded(d.pixels(), "PNG"))


@fault("PASS")
def webp_called_jpg(d: Draft) -> None:
    d.put(coded(d.pixels(), "WEBP", lossless=True))


@fault("PASS")
def bmp_and_tiff_called_jpg(d: Draft) -> None:
    d.put(coded(d.pixels(), "BMP"))
    d.put(coded(d.pixels(1), "TIFF", compression="tiff_lzw"), 1)


@fault("PASS")
def animation_called_jpg(d: Draft) -> None:
    image = d.pixels().quantize(32)
    d.put(coded(image, "GIF", save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_90)], transparency=0))


@fault("PASS")
def cmyk_jpeg(d: Draft) -> None:
    d.put(coded(d.pixels().convert("CMYK"), "JPEG"))


@fault("PASS")
def grey_jpeg(d: Draft) -> None:
    d.put(coded(d.pixels().convert("L"), "JPEG"))


@fault("PASS")
def progressive_jpeg(d: Draft) -> None:
    d.put(coded(d.pixels(), "JPEG", progressive=True, quality=95))


@fault("PASS")
def palette_with_transparency(d: Draft) -> None:
    d.put(coded(d.pixels().quantize(16), "PNG", transparency=b"\x00" * 4 + b"\xff" * 12))


@fault("PASS")
def sixteen_bit_png(d: Draft) -> None:
    d.put(coded(d.pixels().convert("L").convert("I").point(lambda value: value * 257).convert("I;16"), "PNG"))


@fault("PASS")
def one_bit_and_alpha(d: Draft) -> None:
    d.put(coded(d.pixels().convert("1"), "PNG"))
    d.put(coded(d.pixels(1).convert("LA"), "PNG"), 1)


@fault("PASS")
def one_pixel(d: Draft) -> None:
    d.put(coded(Image.new("RGB", (1, 1), (9, 9, 9)), "JPEG"))


@fault("PASS")
def very_flat_and_wide(d: Draft) -> None:
    d.put(coded(Image.new("RGB", (4000, 2), (200, 9, 9)), "JPEG"))


@fault("PASS")
def turned_by_exif(d: Draft) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    d.put(coded(d.pixels().rotate(90, expand=True), "JPEG", quality=95, exif=exif))


@fault("PASS")
def exif_that_is_garbage(d: Draft) -> None:
    d.put(coded(d.pixels(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\x99" * 40))


@fault("PASS")
def bytes_after_the_end_of_a_jpeg(d: Draft) -> None:
    d.put(d.picture().read_bytes() + b"\x00" * 700)


@fault("PASS", same=True)
def endings_in_upper_case(d: Draft) -> None:
    d.picture(0).rename(d.picture(0).with_suffix(".JPG"))
    d.picture(1).rename(d.picture(1).with_suffix(".jpeg"))


@fault("PASS")
def all_pictures_the_same_grey(d: Draft) -> None:
    data = coded(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG")
    for number in range(len(d.texts)):
        d.put(data, number)


@fault("PASS")
def all_pictures_the_same_logo(d: Draft) -> None:
    data = d.picture().read_bytes()
    for number in range(len(d.texts)):
        d.put(data, number)


@fault("PASS", same=True)
def a_link_inside_of_the_catalogue(d: Draft) -> None:
    target = d.folder / "elsewhere.jpg"
    d.picture().rename(target)
    d.picture().symlink_to(target)


# --- what changes how a product is treated ------------------------------------------------------------------------------------


@fault("WARN", "missing_images")
def three_pictures_missing(d: Draft) -> None:
    for number in range(3):
        d.picture(number).unlink()


@fault("WARN", "unreadable_images")
def a_link_to_nothing(d: Draft) -> None:
    d.picture().unlink()
    d.last.append(lambda: d.picture().symlink_to(d.folder / "image_training" / "gone"))


@fault("WARN", "unreadable_images")
def a_link_to_itself(d: Draft) -> None:
    d.picture().unlink()
    d.picture().symlink_to(d.picture())


@fault("WARN", "refused_links")
def a_link_out_of_the_catalogue(d: Draft) -> None:
    target = d.folder.parent / "outside.jpg"
    d.picture().rename(target)
    d.picture().symlink_to(target)


BROKEN: dict[str, Callable[[Draft], bytes]] = {
    "nothing": lambda _: b"",
    "the_first_half_of_a_jpeg": lambda d: d.picture().read_bytes()[:800],
    "a_jpeg_without_its_end": lambda d: d.picture().read_bytes()[:-2],
    "a_jpeg_header_only": lambda d: d.picture().read_bytes()[:20],
    "a_jpeg_with_a_hole": lambda d: _hole(coded(d.pixels().resize((400, 400)), "JPEG", quality=95)),
    "half_a_png": lambda d: coded(d.pixels(), "PNG")[:900],
    "half_a_webp": lambda d: coded(d.pixels(), "WEBP", lossless=True)[:500],
    "a_gif_header": lambda d: coded(d.pixels().quantize(8), "GIF")[:13],
    "a_png_with_a_wrong_checksum": lambda d: _flip(coded(d.pixels(), "PNG"), 60),
    "a_web_page": lambda _: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "svg": lambda _: b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    "a_git_lfs_pointer": lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
    "zero_bytes": lambda _: b"\x00" * 4096,
    "random_bytes": lambda _: random.Random(1).randbytes(4096),
    "a_png_of_no_width": lambda _: png(0, 10),
    "a_png_that_says_more_than_it_has": lambda _: png(3000, 3000, data=b"\x00" * 50),
    "a_bomb_of_400_megapixels": lambda _: png(20_000, 20_000, bits=1, data=b"\x00" * (2501 * 20_000)),
    "a_bomb_by_its_header": lambda _: png(2**31 - 1, 2**31 - 1, data=b""),
    "a_jpeg_of_65500_squared": lambda d: _jpeg_size(d.picture().read_bytes(), 65500),
    "a_postscript_program": lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(r) run\n",
}


def _hole(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + b"\x00" * 600 + data[middle + 600 :]


def _flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def _jpeg_size(data: bytes, size: int) -> bytes:
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", size, size) + data[place + 4 :]


def _broken(make: Callable[[Draft], bytes]) -> Callable[[Draft], None]:
    return lambda d: d.put(make(d))


FAULTS += [Fault(f"picture_is_{name}", "WARN", ("unreadable_images",), False, _broken(make)) for name, make in BROKEN.items()]


@fault("WARN", "unreadable_images")
def picture_is_a_folder(d: Draft) -> None:
    d.picture().unlink()
    d.picture().mkdir()


@fault("WARN", "unreadable_images")
def picture_is_a_pipe(d: Draft) -> None:
    d.picture().unlink()
    os.mkfifo(d.picture())


@fault("WARN", "unreadable_images")
def picture_that_nobody_may_read(d: Draft) -> None:
    d.put(d.picture().read_bytes())
    d.picture().chmod(0)


@fault("WARN", "nul_characters")
def a_nul_in_a_title(d: Draft) -> None:
    d.texts[3]["Title"] = "abc\x00def"


@fault("WARN", "missing_titles")
def an_empty_title(d: Draft) -> None:
    d.texts[0]["Title"] = " <br> &nbsp;"
    d.texts[0]["Description"] = "une description"


@fault("WARN", "missing_images", "empty_products")
def a_product_with_nothing_at_all(d: Draft) -> None:
    d.texts[0] |= {"Title": "", "Description": ""}
    d.last.append(lambda: d.picture().unlink())


@fault("WARN", "placeholder_texts")
def descriptions_that_say_nan(d: Draft) -> None:
    for row in d.texts[:5]:
        row["Description"] = "nan"


@fault("WARN", "shared_images")
def two_products_with_one_picture(d: Draft) -> None:
    for rows in (d.texts, d.labels):
        rows[1] |= {name: rows[0][name] for name in ("Image_id", "Product_id")}


@fault("WARN", "duplicate_rows")
def a_row_twice(d: Draft) -> None:
    d.texts.append(dict(d.texts[0]))


@fault("WARN", "duplicate_labels")
def a_label_twice(d: Draft) -> None:
    d.labels.append(dict(d.labels[0]))


@fault("WARN", "missing_labels")
def five_labels_missing(d: Draft) -> None:
    del d.labels[::40]


@fault("WARN", "labels_without_product")
def a_label_of_nobody(d: Draft) -> None:
    d.labels.append({"Integer_id": "999999", "Image_id": "1", "Product_id": "1", "Prdtypecode": d.labels[0]["Prdtypecode"]})


@fault("WARN", "single_member_classes")
def a_class_of_one(d: Draft) -> None:
    code = d.labels[0]["Prdtypecode"]
    gone = {row["Integer_id"] for row in d.labels[1:] if row["Prdtypecode"] == code}
    d.texts = [row for row in d.texts if row["Integer_id"] not in gone]
    d.labels = [row for row in d.labels if row["Integer_id"] not in gone]


@fault("WARN", "codes_without_name")
def a_code_that_the_taxonomy_does_not_know(d: Draft) -> None:
    del d.names[0]


@fault("WARN", "codes_named_twice")
def a_code_that_the_taxonomy_names_twice(d: Draft) -> None:
    d.names.append(d.names[0] | {name: f"{text} x" for name, text in d.names[0].items() if name != "Prdtypecode"})


@fault("WARN", "test_codes_not_in_train")
def a_labelled_test_set_with_a_class_that_training_lacks(d: Draft) -> None:
    d.files["y_test_task1_phase1.tsv"] = b"Integer_id\tPrdtypecode\n1\t424242\n"


@fault("WARN", "missing_images", "few_pictures")
def few_pictures(d: Draft) -> None:
    for number in range(8, len(d.texts)):
        d.picture(number).unlink()


@fault("WARN", "few_descriptions")
def few_descriptions(d: Draft) -> None:
    for row in d.texts[8:]:
        row["Description"] = ""


@fault("WARN", "test_overlap")
def test_products_that_are_training_products(d: Draft) -> None:
    d.tests += [dict(row) for row in d.texts[:5]]


@fault("WARN", "unusable_test_set")
def a_test_set_that_cannot_be_read(d: Draft) -> None:
    d.files["x_test_task1_phase1.tsv"] = b"Integer_id\tTitle\n1\n"


@fault("WARN", "no_description_column")
def no_description_column(d: Draft) -> None:
    d.header("X_train.tsv").remove("Description")


# --- what cannot be read exactly ----------------------------------------------------------------------------------------------


@fault("FAIL", "image_training", "0 of 162 images found", "--images none")
def all_pictures_missing(d: Draft) -> None:
    for number in range(len(d.texts)):
        d.picture(number).unlink()


@fault("FAIL", "0 of 162 products have a title or a description", "--texts none")
def all_texts_missing(d: Draft) -> None:
    for row in d.texts:
        row["Title"] = row["Description"] = ""


@fault("FAIL", "image_training", "does not exist", "--images none")
def no_picture_folder(d: Draft) -> None:
    d.last.append(lambda: (d.folder / "image_training").rename(d.folder / "pictures"))


@fault("FAIL", "image_training", "does not exist", "unpack image_training.zip")
def pictures_still_packed(d: Draft) -> None:
    d.files["image_training.zip"] = b"PK\x03\x04"
    d.last.append(lambda: (d.folder / "image_training").rename(d.folder / "pictures"))


@fault("FAIL", "X_train.tsv", "line 52", "'Integer_id' is not an integer")
def a_second_header_in_the_middle(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.insert(51, rows[0]))


@fault("FAIL", "image_training", "is not a folder")
def picture_folder_is_a_file(d: Draft) -> None:
    d.last.append(lambda: (d.folder / "image_training").rename(d.folder / "pictures"))
    d.last.append(lambda: (d.folder / "image_training").touch())


@fault("FAIL", "image_training", "link out of the catalogue", "--follow-symlinks")
def picture_folder_is_a_link_out(d: Draft) -> None:
    outside = d.folder.parent / "outside"
    d.last.append(lambda: (d.folder / "image_training").rename(outside))
    d.last.append(lambda: (d.folder / "image_training").symlink_to(outside))


@fault("FAIL", "X_train.tsv", "link out of the catalogue")
def texts_are_a_link_out(d: Draft) -> None:
    outside = d.folder.parent / "X_train.tsv"
    d.last.append(lambda: (d.folder / "X_train.tsv").rename(outside))
    d.last.append(lambda: (d.folder / "X_train.tsv").symlink_to(outside))


@fault("FAIL", "X_train.tsv", "line 6", "Latin-1", "--encoding")
def latin_1(d: Draft) -> None:
    d.texts[4]["Title"] = "Crème brûlée"
    relabel(d.texts[:4], "Title", lambda text: text.encode("ascii", "ignore").decode())
    relabel(d.texts[:4], "Description", lambda _: "")
    d.files["X_train.tsv"] = d.text("X_train.tsv").encode("latin-1", "replace")


@fault("FAIL", "X_train.tsv", "UTF-16")
def utf_16(d: Draft) -> None:
    d.files["X_train.tsv"] = d.text("X_train.tsv").encode("utf-16")


@fault("FAIL", "Y_train.tsv", "UTF-16")
def utf_16_without_a_mark(d: Draft) -> None:
    d.files["Y_train.tsv"] = d.text("Y_train.tsv").encode("utf-16-le")


@fault("FAIL", "X_train.tsv", "spreadsheet")
def a_spreadsheet(d: Draft) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    d.files["X_train.tsv"] = buffer.getvalue()


@fault("FAIL", "Y_train.tsv", "web page")
def a_web_page(d: Draft) -> None:
    d.files["Y_train.tsv"] = b"\n<!DOCTYPE html><title>Sign in</title>"


@fault("FAIL", "X_train.tsv", "git lfs pull")
def a_git_lfs_pointer(d: Draft) -> None:
    d.files["X_train.tsv"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"


@fault("FAIL", "X_train.tsv", "binary")
def nothing_but_nul(d: Draft) -> None:
    d.files["X_train.tsv"] = b"\x00" * 5000


@fault("FAIL", "X_train.tsv")
def random_bytes(d: Draft) -> None:
    d.files["X_train.tsv"] = random.Random(2).randbytes(5000)


@fault("FAIL", "X_train.tsv", "empty (0 bytes)")
def texts_are_empty(d: Draft) -> None:
    d.files["X_train.tsv"] = b""


@fault("FAIL", "X_train.tsv", "blank lines")
def texts_are_blank(d: Draft) -> None:
    d.files["X_train.tsv"] = b"\n \n\n"


@fault("FAIL", "X_train.tsv", "no rows")
def texts_are_a_header_only(d: Draft) -> None:
    del d.texts[:]


@fault("FAIL", "Y_train.tsv does not exist")
def labels_are_absent(d: Draft) -> None:
    d.files["Y_train.tsv"] = None


@fault("FAIL", "Y_train.tsv does not exist", "y_train_cvw08px.csv has the name of another layout")
def labels_of_the_other_layout(d: Draft) -> None:
    d.files |= {"Y_train.tsv": None, "Y_train_CVw08PX.csv": d.text("Y_train.tsv", separator=",").encode()}


@fault("FAIL", "Y_train.tsv", "folder")
def labels_are_a_folder(d: Draft) -> None:
    d.files["Y_train.tsv"] = None
    (d.folder / "Y_train.tsv").mkdir()


@fault("FAIL", "X_train.tsv", "pipe")
def texts_are_a_pipe(d: Draft) -> None:
    d.files["X_train.tsv"] = None
    os.mkfifo(d.folder / "X_train.tsv")


@fault("FAIL", "Y_train.tsv", "no label belongs to any product")
def labels_of_another_catalogue(d: Draft) -> None:
    relabel(d.labels, "Integer_id", lambda text: str(int(text) + 50_000))


@fault("FAIL", "Y_train.tsv", "do not belong together")
def labels_shifted_by_one_row(d: Draft) -> None:
    ids = [row["Integer_id"] for row in d.labels]
    for row, identity in zip(d.labels, [*ids[1:], ids[0]], strict=True):
        row["Integer_id"] = identity


@fault("FAIL", "X_train.tsv", "column Title missing", "Integer_id, Description, Image_id, Product_id")
def no_title_column(d: Draft) -> None:
    d.header("X_train.tsv").remove("Title")


@fault("FAIL", "Y_train.tsv", "column Prdtypecode missing")
def no_label_column(d: Draft) -> None:
    d.header("Y_train.tsv").remove("Prdtypecode")


@fault("FAIL", "X_train.tsv", "'Title' stands twice")
def a_column_twice(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.__setitem__(0, "Integer_id\tTitle\tTitle\tImage_id\tProduct_id"))


@fault("FAIL", "X_train.tsv", "ens layout")
def columns_of_the_other_layout(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.__setitem__(0, "\tdesignation\tdescription\timageid\tproductid"))


@fault("FAIL", "X_train.tsv", "X_train_update.csv", "several catalogues")
def both_layouts_in_one_folder(d: Draft) -> None:
    d.files["X_train_update.csv"] = b",designation,description,productid,imageid\n0,a,b,1,2\n"


@fault("FAIL", "X_train.tsv", "column Title missing", "Title?[31m")
def escape_codes_in_the_header(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.__setitem__(0, rows[0].replace("Title", "Title\x1b[31m")))


@fault("FAIL", "X_train.tsv", "header row is missing")
def no_header(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.pop(0))


@fault("FAIL", "X_train.tsv", "separator ','")
def commas(d: Draft) -> None:
    d.files["X_train.tsv"] = d.text("X_train.tsv", separator=",").encode()


@fault("FAIL", "Y_train.tsv", "separator ';'")
def semicolons_in_the_labels(d: Draft) -> None:
    d.files["Y_train.tsv"] = d.text("Y_train.tsv", separator=";").encode()


@fault("FAIL", "X_train.tsv", "line 7 has 7 fields, 5 expected")
def too_many_fields(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.__setitem__(6, rows[6].replace("\t", "\ta\tb\t", 1)))


@fault("FAIL", "X_train.tsv", "line 9 has 4 fields, 5 expected")
def too_few_fields(d: Draft) -> None:
    lines(d, "X_train.tsv", lambda rows: rows.__setitem__(8, rows[8].rpartition("\t")[0]))


@fault("FAIL", "X_train.tsv", "cut off")
def cut_off_in_a_row(d: Draft) -> None:
    text = d.text("X_train.tsv").rstrip("\n")
    d.files["X_train.tsv"] = text[: text.rindex("\t") - 3].encode()


@fault("FAIL", "X_train.tsv", "never closed")
def cut_off_in_a_quoted_cell(d: Draft) -> None:
    d.texts[-1]["Description"] = "ligne\nsuivante et encore"
    text = d.text("X_train.tsv")
    d.files["X_train.tsv"] = text[: text.index("suivante")].encode()


@fault("FAIL", "X_train.tsv", "ends inside of a character")
def cut_off_in_a_character(d: Draft) -> None:
    d.files["X_train.tsv"] = d.text("X_train.tsv").encode() + "99999\té".encode()[:-1]


@fault("FAIL", "X_train.tsv", "line 9", "Integer_id", "empty")
def an_empty_id(d: Draft) -> None:
    d.texts[7]["Integer_id"] = ""


@fault("FAIL", "X_train.tsv line 2", "X_train.tsv line 3", "same id")
def an_id_twice(d: Draft) -> None:
    d.texts[1]["Integer_id"] = d.texts[0]["Integer_id"]


@fault("FAIL", "line 2, column Image_id", "not an integer")
def an_id_that_climbs(d: Draft) -> None:
    (d.folder / "image_training" / "image_1").mkdir()
    for rows in (d.texts, d.labels):
        rows[0]["Image_id"] = "1/../../outside"


@fault("FAIL", "line 2, column Image_id", "5000 characters")
def an_id_of_5000_digits(d: Draft) -> None:
    for rows in (d.texts, d.labels):
        rows[0]["Image_id"] = "9" * 5000


@fault("FAIL", "X_train.tsv", "line 3, column Product_id", "not an integer")
def an_id_in_other_digits(d: Draft) -> None:
    d.texts[1]["Product_id"] = "１２３"


@fault("FAIL", "X_train.tsv", "line 3, column Product_id", "rounded by a spreadsheet")
def an_id_rounded_by_a_spreadsheet(d: Draft) -> None:
    d.texts[1]["Product_id"] = "1,26E+09"


@fault("FAIL", "X_train.tsv", "line 3, column Integer_id", "not an integer")
def an_id_with_a_fraction(d: Draft) -> None:
    d.texts[1]["Integer_id"] = "1.5"


@fault("FAIL", "Y_train.tsv", "line 2, column Prdtypecode", "empty")
def an_empty_label(d: Draft) -> None:
    d.labels[0]["Prdtypecode"] = ""


@fault("FAIL", "Y_train.tsv", "line 4, column Prdtypecode", "'nan' is not an integer")
def a_label_that_says_nan(d: Draft) -> None:
    d.labels[2]["Prdtypecode"] = "nan"


@fault("FAIL", "Y_train.tsv", "line 2, column Prdtypecode", "1010.5")
def a_label_with_a_fraction(d: Draft) -> None:
    d.labels[0]["Prdtypecode"] = "1010.5"


@fault("FAIL", "Y_train.tsv", "line 2, column Prdtypecode", "'-1'")
def a_negative_label(d: Draft) -> None:
    d.labels[0]["Prdtypecode"] = "-1"


@fault("FAIL", "Y_train.tsv", "two labels", "line 2 and line 164")
def two_labels_for_one_product(d: Draft) -> None:
    d.labels.append(d.labels[0] | {"Prdtypecode": d.labels[-1]["Prdtypecode"]})


@fault("FAIL", "two classes", "1010")
def one_class_only(d: Draft) -> None:
    relabel(d.labels, "Prdtypecode", lambda _: "1010")


@fault("FAIL", "too little data")
def ten_products(d: Draft) -> None:
    d.texts, d.labels = d.texts[:60:6], d.labels[:60:6]


@fault("FAIL", "too little data")
def every_class_of_one(d: Draft) -> None:
    d.texts, d.labels = d.texts[::6], d.labels[::6]


@fault("FAIL", "two classes")
def one_product(d: Draft) -> None:
    d.texts, d.labels = d.texts[:1], d.labels[:1]


@fault("FAIL", "catalog_english_taxonomy.tsv", "line 2", "not an integer")
def a_taxonomy_with_names_for_codes(d: Draft) -> None:
    d.names[0]["Prdtypecode"] = "Books"


@fault("FAIL", "no X_train.tsv", "found: ")
def no_table_at_all(d: Draft) -> None:
    for name in ("X_train.tsv", "Y_train.tsv", "catalog_english_taxonomy.tsv", "x_test_task1_phase1.tsv"):
        d.files[name] = None
