"""Products held in memory, as a catalogue has them: texts cleaned, pictures checked, faults named by position."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from fusecat.stages.catalogue.builder import Builder
from fusecat.stages.catalogue.data_model import Catalogue, ImageUse, Product, ReadingOptions
from fusecat.stages.catalogue.decoding import Picture, UnreadableImage, decode, to_rgb
from fusecat.stages.catalogue.image_index import ImageIndex
from fusecat.stages.errors import DataError

PATHS = (str, Path)


class PicturesInMemory(ImageIndex):
    """Pictures that were checked as they came in: what is left of a product can be read."""

    def __init__(self) -> None:
        super().__init__({}, (), ImageUse.MEAN)

    def usable(self, product: Product) -> tuple[Path, ...]:
        """All that are left."""
        return product.images

    def has_picture(self, product: Product) -> bool:
        """True where one is left."""
        return bool(product.images)


def catalogue_of(
    products: Iterable[Any], *, texts: Sequence[str], use: ImageUse, max_images: int, max_pixels: int
) -> Catalogue:
    """Products as mappings or objects with `id`, the `texts` (title, ...), `image` (or `images`: several); each may be missing.

    What else they hold is none of a model's business.

    A picture is a path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 RGB array ((H, W): grey). One that cannot be
    decoded is absent, as in a catalogue. Ids are positions where none is given, and need not differ.

    Raises: DataError that names the position, from 0, for what is no product.
    """
    builder = Builder(Path(), ReadingOptions(labels=False), own_pictures=True)
    for position, item in enumerate(_rows(products)):
        cells = _cells(item, position, ("id", *texts, "image", "images"))
        found = {name: _text(cells.get(name), name, position) for name in texts}
        identity = str(position if _nothing(cells.get("id")) else cells["id"])
        builder.add(identity, f"product {position}", texts=found, images=(), code=None)
        if use is not ImageUse.NONE:
            pictures = _readable(_pictures(cells, position)[:max_images], max_pixels, position)
            kept = pictures[:1] if use is ImageUse.FIRST else pictures
            # what is decoded may stand where a path stands: nobody asks for its name here
            builder.products[-1] = replace(builder.products[-1], images=cast(tuple[Path, ...], kept))
    return Catalogue(Path("memory"), "memory", tuple(builder.products), tuple(builder.findings))


def _rows(products: Any) -> Iterable[Any]:
    """The rows of a table of pandas, polars or Arrow; of anything else, what it gives one after the other."""
    rows = products
    if hasattr(products, "iter_rows"):
        rows = products.iter_rows(named=True)
    elif hasattr(products, "to_pylist"):
        rows = products.to_pylist()
    elif hasattr(products, "to_dict") and hasattr(products, "columns"):
        rows = products.to_dict("records")
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
        raise DataError(f"products are a list of mappings, as in [{{'title': ...}}], not a {type(products).__name__} by itself")
    return rows


def _cells(item: Any, position: int, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        found = {name: getattr(item, name) for name in known if hasattr(item, name)}
        if isinstance(item, str | bytes) or not found.keys() - {"id"}:
            _fail(
                position, f"a {type(item).__name__} is no product: pass a mapping such as {{'title': ...}}, or such an object"
            )
        return found
    for name in item:
        near = difflib.get_close_matches(str(name).casefold(), known, 1, 0.8)
        if near and name not in known:
            _fail(position, f"'{name!s:.40}' is not read; did you mean '{near[0]}'?")
    if item and not set(item) & set(known):
        _fail(position, f"none of {', '.join(known)} is in it, but '{next(iter(item))!s:.40}'")
    return item


def _text(value: Any, name: str, position: int) -> str:
    if _nothing(value):
        return ""
    if not isinstance(value, str):
        _fail(position, f"'{name}' is a {type(value).__name__}, not a text")
    return value


def _nothing(value: Any) -> bool:
    """None, an empty text, and the NaN, NA or NaT that pandas writes in its place."""
    if isinstance(value, str):
        return not value
    kind = type(value).__name__
    return value is None or kind in ("NAType", "NaTType") or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _pictures(cells: Mapping[str, Any], position: int) -> Sequence[Any]:
    if not _nothing(cells.get("image")) and not _nothing(cells.get("images")):
        _fail(position, "both 'image' and 'images' are given: leave one out")
    one, several = cells.get("image"), cells.get("images")
    if not _nothing(one):
        return list(one) if isinstance(one, list | tuple) else [one]
    if _nothing(several):
        return []
    if not isinstance(several, list | tuple):
        _fail(position, f"'images' is a {type(several).__name__}, not a list; one picture goes into 'image'")
    return several


def _readable(pictures: Sequence[Any], max_pixels: int, position: int) -> tuple[Picture, ...]:
    """Those that can be decoded."""
    found: list[Picture] = []
    for picture in pictures:
        if _nothing(picture):
            continue
        try:
            source = _source(picture, max_pixels, position)
            decode(source, max_pixels)
        except UnreadableImage:
            continue
        found.append(source)
    return tuple(found)


def _source(picture: Any, max_pixels: int, position: int) -> Picture:
    from PIL import Image

    if isinstance(picture, Mapping):  # as Hugging Face's datasets hold one
        picture = picture.get("bytes") or picture.get("path")
    if isinstance(picture, PATHS):
        try:
            there = Path(picture).is_file()
        except (OSError, ValueError):  # a name that is too long for one
            there = False
        if not there:
            _fail(position, f"there is no file {str(picture)!r:.200}")
        return Path(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, Image.Image):
        if picture.width * picture.height > max_pixels:
            _fail(position, f"the picture has {picture.width} x {picture.height} pixels, more than {max_pixels:,}")
        try:
            return to_rgb(picture)
        except OSError as error:  # its file is read only now
            raise UnreadableImage("damaged") from error
        except ValueError as error:
            _fail(position, f"the PIL image ({picture.mode}) cannot be read: {error!s:.100}")
    try:
        array = np.asarray(picture)
    except Exception as error:  # a tensor with a gradient or on a GPU, rows that are not as long
        _fail(position, f"the picture is a {type(picture).__name__} that makes no array: {' '.join(str(error).split()):.100}")
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        what = f"a {type(picture).__name__}, {array.dtype} {array.shape}" if array.ndim else f"a {type(picture).__name__}"
        _fail(position, f"the picture is {what}: a path, bytes, a PIL image or an (H, W, 3) uint8 RGB array is expected")
    return np.repeat(array[:, :, None], 3, axis=2) if array.ndim == 2 else np.ascontiguousarray(array)


def _fail(position: int, what: str) -> NoReturn:
    raise DataError(f"product {position}: {what}")
