"""What a request asks: products from JSON or from a form, checked before the model sees them.

A text of a client is never taken for a path: a picture comes as bytes.
"""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from fusecat.stages.catalogue.decoding import UnreadableImage, decode_bytes
from fusecat.stages.fields import TEXTS

_DATA = re.compile(r"\A\s*data:[^,]{,200};base64,", re.IGNORECASE)
"""What stands before base64 that a browser made."""
LONGEST = 100_000
"""Characters of a text."""
Text = Annotated[str, Field(max_length=LONGEST)]


@dataclass(frozen=True)
class Limits:
    """Of one request: `body` in bytes, `products`, `images` per product, `pixels` of a picture and of all of them."""

    body: int = 16 * 1024**2
    products: int = 64
    images: int = 8
    pixels: int = 40_000_000
    all_pixels: int = 160_000_000  # some seconds of work; 5 kB can hold 40 million


class Refused(Exception):
    """A request that is not answered: HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence.encode(errors="replace").decode()  # JSON can name half of a character


@cache
def schemas(texts: tuple[str, ...]) -> tuple[type[BaseModel], type[BaseModel]]:
    """One product with these texts, each field may be missing, pictures are files in base64; and several products."""
    strict = ConfigDict(extra="forbid", strict=True)
    known: dict[str, Any] = dict.fromkeys(("id", *texts), (Text | None, None))
    pictures: dict[str, Any] = {"image": (str | None, None), "images": (list[str] | None, None)}
    item = create_model("Item", __config__=strict, __doc__="One product; each field may be missing.", **known, **pictures)
    return item, create_model("Items", __config__=strict, __doc__="Several products.", products=(list[item], ...))  # type: ignore[valid-type]


def from_json(body: bytes, limits: Limits, texts: tuple[str, ...] = TEXTS) -> list[dict[str, Any]]:
    """Products of `{"products": [...]}` or of one product alone. Raises Refused."""
    try:
        found = json.loads(body, object_pairs_hook=_once, parse_constant=_no_number)
        several = isinstance(found, dict) and "products" in found
        one, many = schemas(texts)
        each_of = found["products"] if several and isinstance(found["products"], list) else [found]
        if isinstance(found, list):
            raise Refused(422, 'the body is a list: send {"products": [...]}')
        _count(len(each_of), limits)  # before a million of them are looked at
        for each in (found, *each_of):
            if isinstance(each, dict) and len(each) > len(one.model_fields):  # a million unknown ones are as many errors
                raise Refused(422, f"{len(each)} fields, of which a product has {', '.join(one.model_fields)}")
        items = many.model_validate(found).model_dump()["products"] if several else [one.model_validate(found).model_dump()]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise Refused(422, f"{place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is no JSON") from error
    return checked([_product(item, number) for number, item in enumerate(items)], limits)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise Refused(422, f"{name[:40]}: given twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have


def _product(item: dict[str, Any], number: int) -> dict[str, Any]:
    image, images = item.pop("image"), item.pop("images")
    if image is not None and images is not None:
        raise Refused(422, f"product {number}: both image and images are given; leave one out")
    pictures = [image] if image is not None else images or []
    try:
        files = [base64.b64decode("".join(_DATA.sub("", text).split()), validate=True) for text in pictures]
    except (binascii.Error, ValueError) as error:
        raise Refused(422, f"product {number}: a picture is not base64") from error
    return item | {"images": files}


async def from_form(body: bytes, content_type: str, limits: Limits, texts: tuple[str, ...] = TEXTS) -> list[dict[str, Any]]:
    """The product of a multipart form: id and `texts`; files image, as many as there are. Raises Refused."""
    from python_multipart.multipart import parse_options_header
    from starlette.datastructures import Headers
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise Refused(400, "the form cannot be read: Missing boundary in multipart.")
    # as Latin-1 every byte comes through, to be read as UTF-8 here: the parser guesses where a text is none
    kind = f'multipart/form-data; charset=latin-1; boundary="{boundary.decode("latin-1")}"'
    parser = MultiPartParser(
        Headers({"content-type": kind}),
        stream(),
        max_files=limits.images,
        max_fields=8 + len(texts),
        max_part_size=limits.body,
    )
    parser.spool_max_size = limits.body + 1  # nothing of a client goes to disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refused(400, f"the form cannot be read: {getattr(error, 'message', 'malformed')}") from error
    if b"--%b--" % boundary not in body:  # a part that is cut off is none to a parser
        raise Refused(400, "the form has no end: its last line is missing")
    try:
        product = await _of_form(form.multi_items(), ("id", *texts, "image"))
    finally:
        await form.close()
    return checked([product], limits)


async def _of_form(items: Sequence[tuple[str, Any]], known: Sequence[str]) -> dict[str, Any]:
    from starlette.datastructures import UploadFile

    product: dict[str, Any] = {"images": []}
    for name, value in ((_utf8(name), value) for name, value in items):
        if name not in known:
            raise Refused(422, f"{name[:40]}: not a field of a product ({', '.join(known)})")
        if isinstance(value, UploadFile) != (name == "image"):
            raise Refused(422, f"{name}: {'a file' if name == 'image' else 'a text'} is expected")
        if isinstance(value, UploadFile):
            data = await value.read()
            if data or value.filename:  # a browser sends an empty part where no file was chosen
                product["images"].append(data)
        elif name in product:
            raise Refused(422, f"{name}: given twice")
        elif len(text := _utf8(value, name)) > LONGEST:
            raise Refused(422, f"{name}: String should have at most {LONGEST} characters")
        else:
            product[name] = text
    return product


def _utf8(text: str, name: str = "the name of a field") -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise Refused(422, f"{name}: this is not UTF-8") from error


def checked(products: list[dict[str, Any]], limits: Limits) -> list[dict[str, Any]]:
    """The products, if there are some and not too many. Raises Refused."""
    if not products:
        raise Refused(422, "products: there is none")
    _count(len(products), limits)
    for number, product in enumerate(products):
        if len(product["images"]) > limits.images:
            raise Refused(413, f"product {number}: {len(product['images'])} pictures, {limits.images} at most")
    return products


def _count(products: int, limits: Limits) -> None:
    if products > limits.products:
        raise Refused(413, f"products: {products} in one request, {limits.products} at most")


def look_at(products: Sequence[dict[str, Any]], limits: Limits) -> None:
    """Decode every picture once: a client is told what is wrong with one, instead of getting an answer without it.

    Raises Refused.
    """
    pixels = 0
    for number, product in enumerate(products):
        for data in product["images"]:
            try:
                if not data:
                    raise UnreadableImage("empty file")
                height, width, _ = decode_bytes(data, limits.pixels).shape
            except UnreadableImage as error:
                cause = error.cause.replace("more pixels than --max-image-pixels", f"more than {limits.pixels:,} pixels")
                raise Refused(422, f"product {number}: its picture cannot be read ({cause})") from error
            pixels += height * width
            if pixels > (most := max(limits.pixels, limits.all_pixels)):
                raise Refused(413, f"product {number}: more than {most:,} pixels in one request; send it in several")
