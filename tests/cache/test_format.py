"""FORMAT.md is true: a reader written from the page alone reads every file, and the files of old versions stay readable."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from fusecat.cache.layout import ID_BYTES, OPTIONAL, PIECE, TEXTS, TYPES, VERSION, finite
from fusecat.cache.reading import SealedFile
from fusecat.cache.store import FeatureCache
from tests.cache.study import CLASSES, PARTS, study_rows, study_vectors, write_feature

ARCHIVE = Path(__file__).parent / "archive"
PAGE = (Path(__file__).parents[2] / "cache" / "FORMAT.md").read_text("utf-8")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_by_the_page(path: Path) -> dict[str, np.ndarray]:
    """The reader that FORMAT.md describes, with nothing of this project."""
    with h5py.File(path) as file:
        attributes = {name: value.decode() if isinstance(value, bytes) else int(value) for name, value in file.attrs.items()}
        stated = attributes.pop("content_digest")
        text = json.dumps(attributes, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert sha(text.encode()) == stated
        entries = json.loads(attributes["digests"])
        values = {name: file[name][...] for name in file}
        assert set(values) == set(entries)
        for name, array in values.items():
            data = array.tobytes()
            if name == "embedding":
                pieces = [hashlib.sha256(array[start : start + 256].tobytes()).digest() for start in range(0, len(array), 256)]
                assert b"".join(pieces) == values["embedding_digest"].tobytes()
                data = b"".join(pieces)
            assert sha(data) == entries[name]["sha256"]
            assert list(array.shape) == entries[name]["shape"]
            assert file[name].fletcher32 and file[name].compression is None
        for name in ("classes", "parts", "recipe", "fitted_on", "versions"):
            written = json.dumps(json.loads(attributes[name]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert written == attributes[name]
    stated, name = path.with_name(path.name + ".sha256").read_text().removesuffix("\n").split("  ")
    assert (stated, name) == (sha(path.read_bytes()), path.name)
    return values | attributes


def test_a_reader_written_from_the_page_reads_the_file(cache, rows):
    out_of_fold = np.ones((700, 3))
    path = write_feature(cache, "camembert.title", rows, {"réseau": ["é", 1, 0.5, None]}, logits_oof=out_of_fold)
    found = read_by_the_page(path)
    embedding, logits, present = study_vectors(700)
    assert [text.decode() for text in found["product_id"]] == list(rows.ids)
    assert np.array_equal(found["label"], rows.labels) and np.array_equal(found["split"], rows.split)
    assert np.array_equal(found["present"], present)
    assert np.array_equal(found["embedding"], np.where(present[:, None], embedding, 0).astype(np.float16))
    assert np.array_equal(found["logits"], np.where(present[:, None], logits, 0))
    assert np.array_equal(found["logits_oof"], np.where(present[:, None], out_of_fold, 0))
    assert tuple(json.loads(found["classes"])) == CLASSES and tuple(json.loads(found["parts"])) == PARTS


def test_the_page_names_every_dataset_attribute_and_number():
    for name in (*TYPES, *TEXTS, "format_version"):
        assert f"\n| `{name}` |" in PAGE
    assert all(
        "MAY be missing" in line for line in PAGE.splitlines() if any(line.startswith(f"| `{name}`") for name in OPTIONAL)
    )
    assert f"{ID_BYTES:,} bytes" in PAGE and f"{PIECE} consecutive rows" in PAGE and f"format version {VERSION}" in PAGE


@pytest.mark.parametrize("path", sorted(ARCHIVE.glob("*/*.h5")), ids=lambda path: path.parent.name)
def test_every_archived_version_is_readable_for_ever(path, tmp_path):
    table = FeatureCache(path.parent).table([path.name.removesuffix(".h5")])
    with np.load(path.with_suffix(".npz")) as expected:
        assert np.array_equal(table.ids, expected["ids"])
        assert np.array_equal(table.labels, expected["labels"]) and np.array_equal(table.split, expected["split"])
        feature = table.features["camembert.title"]
        for name in ("embedding", "logits", "logits_oof", "present"):
            assert np.array_equal(getattr(feature, name), expected[name])
    assert (table.classes, table.parts, feature.fitted_on) == (("10", "1140", "jeux vidéo"), PARTS, ("train",))


def test_there_is_an_archived_file_of_every_version():
    assert {path.parent.name for path in ARCHIVE.glob("*/*.h5")} == {f"version-{number}" for number in range(1, VERSION + 1)}


def test_todays_writer_still_writes_the_archived_bytes(tmp_path):
    """Same rows, same way, same bytes: also a year later. A change of the bytes is a decision, and changes this file."""
    path = archive(tmp_path)
    assert path.read_bytes() == (ARCHIVE / f"version-{VERSION}" / path.name).read_bytes()


def test_the_tools_of_hdf5_read_the_file(cache, rows):
    if shutil.which("h5dump") is None:
        pytest.skip("h5dump (hdf5-tools) is not installed")
    path = write_feature(cache, "camembert.title", rows)
    for command in (["h5ls", "-v", path], ["h5dump", "-d", "/label", path]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert f"(0): {', '.join(map(str, rows.labels[:5]))}" in done.stdout


@pytest.mark.parametrize("classes", [0, 1, 8000])
def test_any_number_of_classes_fits(cache, classes):
    """8,000 names take more than the 64 KiB that old HDF5 allowed an attribute."""
    names = tuple(f"catégorie n° {number}" for number in range(classes))
    rows = study_rows(10, classes=names, labels=np.full(10, classes - 1))
    vectors = (np.ones((10, 4)), np.ones((10, classes)), np.ones(10, bool))
    write_feature(cache, "a.title", rows, vectors=vectors, logits=classes > 0)
    assert cache.table().classes == names


def test_a_file_holds_no_time(cache, rows, tmp_path, monkeypatch):
    one = write_feature(cache, "a.title", rows).read_bytes()
    script = (
        "from pathlib import Path; from fusecat.cache.store import FeatureCache;"
        "from tests.cache.study import study_rows, write_feature;"
        f"write_feature(FeatureCache(Path({str(tmp_path / 'later')!r})), 'a.title', study_rows(700))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2], env=environment)
    assert (tmp_path / "later" / "a.title.h5").read_bytes() == one


def archive(folder: Path) -> Path:
    """Write the file that is archived; called by hand once per format version: `python -m tests.cache.test_format`."""
    rows = study_rows(300)
    out_of_fold = np.linspace(-1, 1, 900).reshape(300, 3)
    return write_feature(
        FeatureCache(folder), "camembert.title", rows, {"network": "camembert", "seed": 2020}, block=64, logits_oof=out_of_fold
    )


if __name__ == "__main__":
    target = ARCHIVE / f"version-{VERSION}"
    archive(target)
    shutil.rmtree(target / ".locks")
    embedding, logits, present = study_vectors(300)
    out_of_fold = np.linspace(-1, 1, 900).reshape(300, 3)
    rows = study_rows(300)
    np.savez_compressed(
        target / "camembert.title.npz",
        ids=np.array(rows.ids),
        labels=rows.labels,
        split=rows.split,
        present=present,
        embedding=np.where(present[:, None], embedding, 0).astype(np.float16),
        logits=np.where(present[:, None], logits, 0).astype(np.float32),
        logits_oof=np.where(present[:, None], out_of_fold, 0).astype(np.float32),
    )
    with SealedFile(target / "camembert.title.h5") as file:
        file.check()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_not_finite_is_known_by_its_bits(dtype):
    """All of float16, and of float32 what lies on both sides of every change of its upper half."""
    bits = np.arange(2**16, dtype=np.uint16)
    if dtype == "float32":
        upper = bits[::16].astype(np.uint32) << 16
        bits = np.concatenate([upper, upper + 1, upper - 1])
    values = bits.view(dtype)
    assert [finite(value[None, None]) for value in values] == np.isfinite(values).tolist()
    assert finite(values[np.isfinite(values)][None])
    assert finite(np.empty((0, 3), dtype))
