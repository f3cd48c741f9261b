"""One picture file as upright RGB, whatever it is called and however it is coded; what is no picture says why."""

import io
import os
import stat
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

DECODING_VERSION = "1"
"""Part of the recipe of image features: raise it when `decode` gives other pixels for the same bytes."""

Picture = Path | bytes | NDArray[np.uint8]
"""A file, the content of one, or pixels (H, W, 3) uint8 RGB as they are."""

MAX_PIXELS = 40_000_000
"""Limit of width x height, read from the header before anything is decoded: 40 megapixels are 120 MB as RGB. A product picture
of a shop has a quarter of a megapixel; a PNG of 48 kB can hold 400."""

MAX_BYTES = 256 * 1024**2
"""No file larger than this is read at all."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What Pillow may try. Not EPS and its like, which run an interpreter."""

_EIGHT_BIT_JPEG = frozenset(range(0xC0, 0xC3))
"""Frame markers of baseline, extended and progressive JPEG."""


class UnreadableImage(Exception):
    """A file that gives no picture; `cause` is a short phrase that is the same for all files with this fault."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def _unreadable(cause: str) -> NoReturn:
    raise UnreadableImage(cause)


def decode(picture: Picture, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) uint8 RGB: first frame, upright by EXIF, transparency on white, 16 bits and CMYK converted.

    Raises: UnreadableImage with a cause, for anything that is not a whole picture of at most `max_pixels`.
    """
    if isinstance(picture, np.ndarray):
        _check_size(picture.shape[1], picture.shape[0], max_pixels)
        return picture
    return decode_bytes(picture if isinstance(picture, bytes) else read_bytes(picture), max_pixels)


def read_bytes(path: Path) -> bytes:
    """The content of a regular file. One that nobody may read is refused even to root: results must not depend on who asks."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            _unreadable("a folder")
        if not stat.S_ISREG(status.st_mode):
            _unreadable("a pipe or a device")
        if not status.st_mode & 0o444:
            _unreadable("no permission to read")
        if status.st_size == 0:
            _unreadable("empty file")
        if status.st_size > MAX_BYTES:
            _unreadable(f"larger than {MAX_BYTES // 1024**2} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        _unreadable("not there")
    except PermissionError:
        _unreadable("no permission to read")
    except OSError as error:
        _unreadable(f"input/output error ({error.strerror})")


def decode_bytes(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """`decode` of a file's content."""
    frame = _jpeg_frame(data)
    if frame is not None:
        height, width = frame
        _check_size(width, height, max_pixels)
        return _decode_jpeg(data, max_pixels)
    return _decode_any(data, max_pixels)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        _unreadable("no pixels")
    if width * height > max_pixels:
        _unreadable("more pixels than --max-image-pixels")


def _jpeg_frame(data: bytes) -> tuple[int, int] | None:
    """(height, width) of a JPEG that OpenCV decodes right (8 bits, one or three components), else None."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    place = 2
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _EIGHT_BIT_JPEG:
            precision, height, width, components = struct.unpack_from(">BHHB", data, place + 4)
            return (height, width) if precision == 8 and components in (1, 3) and height else None
        if marker == 0xFF:
            place += 1
            continue
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def _decode_jpeg(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """The quick way: OpenCV decodes a 500 x 500 JPEG 2.8 times as fast as Pillow, and turns it upright by EXIF."""
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        return _decode_any(data, max_pixels)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)  # numpy's reversal takes as long as decoding


def _decode_any(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """The way that knows every format: Pillow."""
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of sizes that are checked here
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(*image.size, max_pixels)
                image.load()
                return to_rgb(image)
        except UnreadableImage:
            raise
        except UnidentifiedImageError:
            _unreadable(_looks_like(data))
        except Image.DecompressionBombError:
            _unreadable("more pixels than --max-image-pixels")
        except MemoryError:
            _unreadable("does not fit into memory")
        except Exception as error:  # a decoder fed with damaged bytes may raise anything; all of it means the same
            _unreadable("cut off" if "truncated" in str(error).lower() else "damaged")


def to_rgb(image: "Image") -> NDArray[np.uint8]:
    """(H, W, 3) uint8: upright by EXIF, eight bits, three channels, white behind what is transparent."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)

    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image) >> 8)
    if image.mode in {"I", "F"}:
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        top = values.max(initial=0)
        scale = 255 / 65535 if top > 255 else 255 if top <= 1 else 1  # 16 bits, [0, 1] or 8 bits
        return _grey(np.clip(values * scale, 0, 255))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) values from 0 to 255 as three equal channels."""
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def _looks_like(data: bytes) -> str:
    """What a file is that is no picture."""
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html")):
        return "a web page, not a picture"
    if head.startswith(b"<") and b"<svg" in head:
        return "SVG, which is not decoded"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (run 'git lfs pull')"
    if head[4:8] == b"ftyp":
        return "HEIC, AVIF or a film, which are not decoded: save it as JPEG, PNG or WebP"
    if not data.strip(b"\x00"):
        return "nothing but zero bytes"
    return "not a picture that is known"


os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 30))
