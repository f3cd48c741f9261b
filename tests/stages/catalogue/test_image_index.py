"""Laws of pictures: any coding gives the same pixels, what is no picture says why, and what is known is not looked at again."""

import io
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fusecat.pipeline.console import default_catalogue
from fusecat.stages.catalogue import decode_workers
from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.catalogue.decode_workers import DecodeWorkers
from fusecat.stages.catalogue.image_facts import look_at
from fusecat.stages.catalogue.image_index import ImageIndex, UnreadableImage, decode
from fusecat.stages.catalogue.read import read_catalogue
from tests.stages.catalogue.nasty import BROKEN, coded, draft, png


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """A photograph-like picture: smooth, in colour, not square."""
    y, x = np.mgrid[0:90, 0:120]
    return Image.fromarray(np.stack([x * 2, y * 2, 255 - x - y], axis=-1).clip(0, 255).astype(np.uint8))


def decoded(data: bytes, tmp_path: Path, **options: int) -> np.ndarray:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    return decode(path, **options)


def test_lossless_codings_give_the_very_pixels(picture: Image.Image, tmp_path: Path) -> None:
    expected = np.asarray(picture)
    for kind, options in {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}, "PPM": {}}.items():
        pixels = decoded(coded(picture, kind, **options), tmp_path)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, expected, err_msg=kind)


def test_the_quick_way_for_jpeg_agrees_with_pillow(picture: Image.Image, tmp_path: Path) -> None:
    for options in ({"quality": 90}, {"quality": 90, "progressive": True}, {"quality": 90, "subsampling": 0}):
        data = coded(picture, "JPEG", **options)
        with Image.open(io.BytesIO(data)) as image:
            difference = np.abs(decoded(data, tmp_path).astype(int) - np.asarray(image).astype(int))
        assert difference.max() <= 4, options


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_picture_upright(picture: Image.Image, tmp_path: Path, orientation: int) -> None:
    undo = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # orientation -> Image.Transpose that a camera of that orientation has done
    turned = picture if orientation == 1 else picture.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind, options in (("JPEG", {"quality": 95}), ("PNG", {})):
        pixels = decoded(coded(turned, kind, exif=exif, **options), tmp_path).astype(int)
        assert pixels.shape == (90, 120, 3)
        assert np.abs(pixels - np.asarray(picture)).mean() < 2


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert (decoded(coded(clear, "PNG"), tmp_path) == 255).all()
    assert abs(int(decoded(coded(half, "PNG"), tmp_path)[0, 0, 0]) - 127) <= 1
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert (decoded(coded(palette, "PNG", transparency=1), tmp_path) == 255).all()
    assert (decoded(coded(palette, "GIF", transparency=1), tmp_path) == 255).all()


def test_sixteen_bits_and_cmyk_keep_their_brightness(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    assert np.abs(decoded(coded(Image.fromarray(ramp), "PNG"), tmp_path)[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    grey = Image.new("RGB", (16, 16), (200, 100, 50))
    pixels = decoded(coded(grey.convert("CMYK"), "JPEG", quality=95), tmp_path)[8, 8].astype(int)
    assert np.abs(pixels - [200, 100, 50]).max() < 8
    ok, data = cv2.imencode(".png", np.full((4, 4, 3), (0, 32768, 65535), np.uint16))
    assert ok
    assert decoded(data.tobytes(), tmp_path)[0, 0].tolist() == [255, 128, 0]


CAUSES = {
    "nothing": "empty file",
    "the_first_half_of_a_jpeg": "cut off",
    "a_jpeg_without_its_end": "cut off",
    "half_a_png": "cut off",
    "half_a_webp": "damaged",
    "a_web_page": "a web page, not a picture",
    "svg": "SVG, which is not decoded",
    "a_git_lfs_pointer": "a Git LFS pointer (run 'git lfs pull')",
    "zero_bytes": "nothing but zero bytes",
    "random_bytes": "not a picture that is known",
    "a_bomb_of_400_megapixels": "more pixels than --max-image-pixels",
    "a_bomb_by_its_header": "more pixels than --max-image-pixels",
    "a_jpeg_of_65500_squared": "more pixels than --max-image-pixels",
    "a_postscript_program": "not a picture that is known",
}


def test_the_formats_of_phones_and_browsers_that_are_not_decoded_are_named() -> None:
    for brand in (b"heic", b"avif"):
        with pytest.raises(UnreadableImage, match="HEIC, AVIF or a film, which are not decoded: save it as JPEG"):
            decode(b"\0\0\0\x18ftyp" + brand + bytes(100))


@pytest.mark.parametrize(("mode", "scale"), [("I", 256), ("F", 1 / 255), ("F", 256)])
def test_wide_pixels_of_a_tiff_keep_their_brightness(mode: str, scale: float, tmp_path: Path) -> None:
    ramp = (np.arange(256)[None].repeat(4, axis=0) * scale).astype({"I": np.int32, "F": np.float32}[mode])
    pixels = decoded(coded(Image.fromarray(ramp, mode), "TIFF"), tmp_path)
    assert np.abs(pixels[0, :, 2].astype(int) - np.arange(256)).max() <= 1


def test_what_is_no_file_to_read_says_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "closed.jpg").write_bytes(b"x")
    (tmp_path / "closed.jpg").chmod(0)
    (tmp_path / "folder.jpg").mkdir()
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(2**40)
    causes = {
        "pipe": "a pipe or a device",
        "closed": "no permission to read",
        "folder": "a folder",
        "large": "larger than 256 MiB",
        "gone": "not there",
    }
    for name, cause in causes.items():
        with pytest.raises(UnreadableImage) as raised:
            decode(tmp_path / f"{name}.jpg")
        assert raised.value.cause == cause


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "a_jpeg_with_a_hole"])
def test_what_is_no_whole_picture_says_why(name: str, tmp_path: Path) -> None:
    spoilt = draft(default_catalogue(), tmp_path / "it", per_class=1)
    with pytest.raises(UnreadableImage) as raised:
        decoded(BROKEN[name](spoilt), tmp_path)
    assert raised.value.cause == CAUSES.get(name, raised.value.cause)
    assert 0 < len(raised.value.cause) < 60
    assert str(tmp_path) not in raised.value.cause


def test_the_limit_of_pixels_is_read_from_the_header(picture: Image.Image, tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        data = coded(picture, kind)
        assert decoded(data, tmp_path, max_pixels=90 * 120).shape == (90, 120, 3)
        with pytest.raises(UnreadableImage, match="max-image-pixels"):
            decoded(data, tmp_path, max_pixels=90 * 120 - 1)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return read_catalogue(draft(default_catalogue(), tmp_path / "it", per_class=1).write())


def test_a_second_scan_looks_at_nothing_but_what_changed(
    catalogue: Catalogue, tmp_path: Path, decode_workers: DecodeWorkers
) -> None:
    calls: list[int] = []
    memory = tmp_path / "new" / "memory.sqlite"

    def scan(at: Catalogue = catalogue, **options: int) -> ImageIndex:
        calls.clear()
        return ImageIndex.scan(
            at, memory, progress=lambda done, _: calls.append(done), decode_workers=decode_workers, **options
        )

    first = scan()
    assert calls == [27]
    assert scan().facts == first.facts
    assert calls == []
    path = catalogue.products[3].images[0]
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + b"\x00")  # the same size, and soon the same time
    os.utime(path, ns=times)
    assert scan().digest(path) != first.digest(path)
    assert calls == [1]
    scan(max_pixels=100)
    assert calls == [27]
    moved = catalogue.root.rename(tmp_path / "moved")
    assert scan(read_catalogue(moved), max_pixels=100).causes == {"more pixels than --max-image-pixels": 27}
    assert calls == []
    memory.write_bytes(b"no database")
    assert scan(read_catalogue(moved)).causes == {"cut off": 1}
    assert calls == [27]


def test_a_row_that_is_not_what_was_remembered_is_looked_at_again(
    catalogue: Catalogue, tmp_path: Path, decode_workers: DecodeWorkers
) -> None:
    memory, calls = tmp_path / "memory.sqlite", list[int]()
    first = ImageIndex.scan(catalogue, memory, decode_workers=decode_workers)
    with closing(sqlite3.connect(memory)) as database, database:
        database.execute("UPDATE images SET sha256 = 'another' WHERE rowid = 3")
        database.execute("UPDATE images SET cause = 'cut off' WHERE rowid = 4")
        database.execute("UPDATE images SET phash = x'00', width = 'wide' WHERE rowid = 5")
        database.execute("UPDATE images SET stamp = substr(stamp, 1, instr(stamp, ' sealed ') - 1) WHERE rowid = 6")  # earlier
    again = ImageIndex.scan(catalogue, memory, decode_workers=decode_workers, progress=lambda done, _: calls.append(done))
    assert again.facts == first.facts
    assert calls == [3]


def test_what_is_known_of_a_picture_is_true(catalogue: Catalogue, decode_workers: DecodeWorkers) -> None:
    import hashlib

    import imagehash

    index = ImageIndex.scan(catalogue, None, decode_workers=decode_workers)
    path = catalogue.products[0].images[0]
    facts = index.facts[path]
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts.width, facts.height, facts.flat, facts.cause) == (64, 64, False, None)
    expected = int(str(imagehash.phash(Image.fromarray(decode(path)))), 16)
    assert facts.phash == expected
    assert index.usable(catalogue.products[0]) == (path,)
    assert index.usable(Product("x", None, None, (), None)) == ()


def test_a_decoder_that_dies_or_stalls_costs_one_picture(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [product.images[0] for product in catalogue.products[:6]]
    die = f"os.abort() if path == {str(paths[1])!r} else time.sleep(99) if path == {str(paths[3])!r} else None"
    code = (
        "import os, sys, time; sys.path.insert(0, {root!r}); import fusecat.stages.catalogue.image_facts as facts\n"
        "real = facts.look_at\n"
        "def look(path, limit):\n    path = str(path); " + die + "; return real(facts.Path(path), limit)\n"
        "facts.look_at = look\nfrom fusecat.stages.catalogue.decode_workers import serve; serve()"
    )
    monkeypatch.setattr(decode_workers, "_MAIN", code)
    monkeypatch.setattr(decode_workers, "PATIENCE", 3.0)
    with DecodeWorkers(2) as team:
        facts = list(team.look_at(paths, 10**6))
    assert [fact.cause for fact in facts] == [
        None,
        "crashes the decoder",
        None,
        "takes the decoder more than 3 seconds",
        None,
        None,
    ]


def test_pictures_are_looked_at_where_no_folder_for_temporary_files_is(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A looker that had none said of every picture that it crashes the decoder."""
    nowhere = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nonexistent']; "
    monkeypatch.setattr(decode_workers, "_MAIN", nowhere + decode_workers._MAIN)
    with DecodeWorkers(1) as team:
        (facts,) = team.look_at([catalogue.products[0].images[0]], 10**6)
    assert facts.cause is None


def test_a_bomb_needs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jpg"
    path.write_bytes(png(20_000, 20_000, bits=1, data=b"\x00" * (2501 * 20_000)))
    assert path.stat().st_size < 100_000
    code = (
        "import resource, sys; from pathlib import Path; from fusecat.stages.catalogue.image_facts import look_at\n"
        "import PIL.Image, cv2, numpy; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(look_at(Path(sys.argv[1])).cause, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", code, path], cwd=root, capture_output=True, text=True, check=True)
    cause, grown = result.stdout.rsplit(" ", 1)
    assert cause == "more pixels than --max-image-pixels"
    assert int(grown) < 50_000  # kilobytes


def test_mutated_pictures_give_pixels_or_a_cause(picture: Image.Image, tmp_path: Path, decode_workers: DecodeWorkers) -> None:
    dice = random.Random(11)
    good = [coded(picture, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]
    paths = []
    for number in range(300):
        data = bytearray(dice.choice(good))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data))
            data[at : at + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 9))
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(bytes(data[: dice.randint(1, len(data))] if number % 3 == 0 else data))
        paths.append(path)
    facts = list(decode_workers.look_at(paths, 10**6))
    assert all((fact.cause is None) == (fact.width * fact.height > 0) or fact.cause == "damaged" for fact in facts)
    assert not [fact.cause for fact in facts if fact.cause and "crashes" in fact.cause]


def test_a_flat_picture_has_no_look_to_compare(tmp_path: Path) -> None:
    path = tmp_path / "flat.jpg"
    path.write_bytes(coded(Image.new("RGB", (50, 50), (128, 128, 128)), "JPEG"))
    facts = look_at(path)
    assert facts.flat
    assert facts.phash is None
    assert facts.cause is None
