"""Files made to fill the memory, to end the process or to be believed: refused in one line, within bounds that are measured."""

import io
import json
import lzma
import random
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from fusecat.cache.archive import read_arrays
from fusecat.cache.errors import CacheError, DamagedFile, ForeignFile
from fusecat.cache.sources import open_source
from fusecat.stages.catalogue.data_model import Catalogue, Product
from fusecat.stages.catalogue.image_index import ImageIndex
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import DataError, ModelError
from fusecat.stages.external.vectors import ExternalVectors, Files
from fusecat.stages.fusion import head_files, load_head
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.late.stacking import LightGBM
from fusecat.stages.fusion.late.trees import canonical
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.tune import read_tuned, tune
from tests.faults.harness import ENVIRONMENT, ROOT
from tests.faults.strangers import imported
from tests.stages.fusion.synthetic import table

MEASURED = """
import resource, sys
from pathlib import Path
from fusecat.cache.errors import FusecatError
path = Path(sys.argv[1])
try:
    {body}
except FusecatError as error:
    print(error.exit_code, error)
else:
    print(0)
status = Path("/proc/self/status").read_text()  # not ru_maxrss, which a process has from whoever started it
own, helpers = int(status.split("VmHWM:")[1].split()[0]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(max(own, helpers) // 1024)
"""
IMPORT = """
    import numpy as np
    from fusecat.stages.external.vectors import ExternalVectors, Files
    found = ExternalVectors.join(Files("mine.title", path), [str(number) for number in range(1000)], ("a", "b"))
    for chunk in found.vectors.chunks(): pass
"""
CATALOGUE = """
    from fusecat.stages.catalogue.read import read_catalogue, Catalogue, ReadingOptions
    read_catalogue(path, ReadingOptions(columns=dict(id="id", title="title", label="label"), labels=False))
"""


def measured(path: Path, body: str) -> tuple[int, str, int]:
    """Exit code, line and peak memory (MB) of reading a file in a process of its own."""
    code = MEASURED.format(body=body.strip())
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    *told, peak = done.stdout.strip().split("\n")
    assert len(told) == 1, told
    return int(told[0].split(" ")[0]), told[0], int(peak)


def header(shape: tuple[int, ...], descr: str) -> bytes:
    """What stands before an array in an .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def zeros(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], descr: str) -> None:
    """An array of zeros that takes a thousandth of its size."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        member.write(header(shape, descr))
        left = int(np.prod(shape)) * np.dtype(descr).itemsize
        while left:
            member.write(bytes(min(left, 2**20)))
            left -= min(left, 2**20)


def packed(path: Path, **arrays: tuple[tuple[int, ...], str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (shape, descr) in arrays.items():
            zeros(archive, name, shape, descr)
    return path


def test_an_archive_whose_ids_expand_a_thousandfold_is_refused_at_the_first_that_comes_twice(tmp_path) -> None:
    """A megabyte that is a gigabyte of ids."""
    path = packed(tmp_path / "v.npz", embedding=((260_000, 1), "<f4"), ids=((260_000,), "<U1024"))
    assert path.stat().st_size < 1.3e6
    code, told, peak = measured(path, IMPORT)
    assert code == 3 and "occurs a second time" in told and str(path) in told
    assert peak < 300


def test_vectors_that_expand_a_thousandfold_are_streamed(tmp_path) -> None:
    path = tmp_path / "v.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        zeros(archive, "embedding", (1000, 2**17), "<f4")
        archive.writestr("ids.npy", header((1000,), "<U4") + np.array([str(n) for n in range(1000)], "<U4").tobytes())
    assert path.stat().st_size < 1e6
    code, _, peak = measured(path, IMPORT)
    assert code == 0
    assert peak < 300


def claiming(path: Path, size: int) -> None:
    """Let the directory of an archive claim that its first member unpacks to so many bytes."""
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)


def test_an_archive_that_claims_what_deflate_cannot_do_is_refused_unread(tmp_path) -> None:
    path = packed(tmp_path / "v.npz", embedding=((10, 10), "<f4"))
    claiming(path, 4_000_000_000)
    with pytest.raises(ForeignFile, match=r"v.npz cannot be imported: 'embedding.npy' claims 4000000000 bytes, packed in"):
        open_source(path)


@pytest.mark.parametrize("claimed", [399, 401, 2**20])
def test_an_archive_that_unpacks_to_something_else_than_it_claims_is_refused(tmp_path, claimed: int) -> None:
    path = tmp_path / "v.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("embedding.npy", header((10, 10), "<f4") + np.random.default_rng(0).bytes(400))
    claiming(path, len(header((10, 10), "<f4")) + claimed)
    with pytest.raises(ForeignFile, match=r"v.npz cannot be imported"):
        list(open_source(path).chunks())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_packed_in_a_way_that_has_no_bounds_is_refused(tmp_path, method: int) -> None:
    path = tmp_path / "v.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("embedding.npy", header((10, 10), "<f4") + bytes(400))
    with pytest.raises(ForeignFile, match="packed in a way that numpy does not use"):
        open_source(path)


OWN = {
    "packed": lambda path: packed(path, validation=((2**24, 16), "<f4")),
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "a shape beyond memory": lambda path: stored(path, header((10**12,), "<f4") + bytes(16)),
    "a shape below zero": lambda path: stored(path, header((-1, -4), "<f4") + bytes(16)),
    "objects": lambda path: stored(path, header((2,), "|O") + bytes(16)),
    "more than its shape": lambda path: stored(path, header((2,), "<f4") + bytes(16)),
    "no array": lambda path: stored(path, lzma.compress(b"nothing")),
    "twice": lambda path: stored(path, header((4,), "<f4") + bytes(16), times=2),
}


def stored(path: Path, content: bytes, times: int = 1) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for _ in range(times):
            archive.writestr("validation.npy", content)


@pytest.mark.parametrize("fault", OWN)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_of_a_run_that_is_none_of_ours_is_refused_unread(tmp_path, fault: str) -> None:
    runs = Runs(tmp_path / "runs")
    fuse(table(products=80), [Strategy.parse("unimodal/se_resnext50.image")], runs, processes=1)
    for path in (runs.path("unimodal/se_resnext50.image", 0) / "predictions.npz", runs.folder / "products.npz"):
        kept = path.read_bytes()
        OWN[fault](path)
        with pytest.raises((ModelError, DamagedFile), match=path.name) as refused:
            run = None if path.name == "products.npz" else runs.read("unimodal/se_resnext50.image", 0)
            runs.products() if run is None else dict(run.probabilities)
        assert "\n" not in str(refused.value)
        path.write_bytes(kept)
    assert runs.read("unimodal/se_resnext50.image", 0) is not None


def test_a_packed_archive_in_place_of_a_run_takes_no_memory(tmp_path) -> None:
    path = packed(tmp_path / "predictions.npz", validation=((2**24, 16), "<f4"))
    body = """
    from fusecat.cache.archive import read_arrays
    from fusecat.cache.errors import CacheError
    try: read_arrays(path)
    except ValueError as error: raise CacheError(f"{path}: {error}") from error
    """
    code, told, peak = measured(path, body)
    assert code == 4 and str(path) in told
    assert peak < 100


def test_every_bit_of_an_archive_of_ours_is_checked(tmp_path) -> None:
    path, arrays = tmp_path / "a.npz", {"embedding": np.arange(6.0).reshape(2, 3), "present": np.ones(2, bool)}
    np.savez(path, **arrays)
    whole, same = path.read_bytes(), 0
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            found = read_arrays(path)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        same += 1
        assert found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in arrays), bit
    assert same < 4 * len(whole)  # most of them are refused, the others are in fields that say nothing


def test_a_chunk_of_hdf5_that_unpacks_beyond_its_size_is_refused(tmp_path) -> None:
    """HDF5 unpacks a chunk to its end, whatever its size should be."""
    path = tmp_path / "v.h5"
    packer = zlib.compressobj(1)
    bomb = b"".join([*(packer.compress(bytes(2**24)) for _ in range(128)), packer.flush()])
    with h5py.File(path, "w") as file:
        made = file.create_dataset("embedding", (1000, 8), "<f4", chunks=(1000, 8), compression="gzip")
        made.id.write_direct_chunk((0, 0), bomb)
        file["ids"] = np.array([str(number).encode() for number in range(1000)])
    code, told, peak = measured(path, "import fusecat.cache.source_hdf5; fusecat.cache.source_hdf5.GROWTH = 2**28" + IMPORT)
    assert code == 4 and f"{path} cannot be imported: it cannot be 'embedding' read from row 0" in told
    assert peak < 900


def odd(kind: str):
    def write(file: h5py.File) -> None:
        types = {"bits": h5py.h5t.STD_B8LE, "time": h5py.h5t.UNIX_D32LE, "opaque": h5py.h5t.create(h5py.h5t.OPAQUE, 4)}
        space = h5py.h5s.create_simple((10, 4))
        h5py.h5d.create(file.id, b"embedding", types[kind], space)

    return write


def long_ids(file: h5py.File) -> None:
    file["embedding"] = np.zeros((300, 1), "<f4")
    file.create_dataset("ids", (300,), "S1000000", compression="gzip", chunks=(1,))


HDF5 = {
    "bits": odd("bits"),
    "time": odd("time"),
    "opaque": odd("opaque"),
    "a type in place of an array": lambda file: file.__setitem__("embedding", np.dtype("<f4")),
    "an array without a shape": lambda file: file.__setitem__("embedding", h5py.Empty("<f4")),
    "references": lambda file: file.create_dataset("embedding", (4, 4), h5py.ref_dtype),
    "texts of any length": lambda file: file.create_dataset("embedding", (4, 4), h5py.string_dtype()),
    "ids of a million bytes": long_ids,
    "ids in a matrix": lambda file: file.update({"embedding": np.zeros((4, 4)), "ids": np.zeros((4, 2))}),
    "ids of many texts": lambda file: file.update({"embedding": np.zeros((4, 4)), "ids": np.array([b"a"] * 4)}),
    "ids that are no text": lambda file: file.update({"embedding": np.zeros((4, 4)), "ids": np.array([b"\xff"] * 4)}),
}


@pytest.mark.parametrize("fault", HDF5)
def test_a_hostile_hdf5_file_is_refused_in_one_line(tmp_path, fault: str) -> None:
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        HDF5[fault](file)
    with pytest.raises((ForeignFile, DataError), match=str(path)) as refused:
        ExternalVectors.join(Files("mine.title", path), ["0", "1"], ("a",))
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def arrow():
    return pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


def one_list(pa, count: int):
    """One row with a list of so many zeros."""
    return pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.array(np.zeros(count, np.int8)))


PARQUET = {
    "a list of fifty million": lambda pa: {"id": ["1"], "title": one_list(pa, 50_000_000)},
    "ten million rows of nothing": lambda pa: {"id": pa.array(np.zeros(10_000_000, np.int8))},
    "four gigabytes of one text": lambda pa: {
        "id": [str(number) for number in range(400)],
        "title": pa.DictionaryArray.from_arrays(pa.array(np.zeros(400, np.int32)), ["x" * 10_000_000]),
    },
    "lists of lists": lambda pa: {"id": ["1"], "title": pa.array([[[["a"] * 1000] * 1000] * 10])},
}


@pytest.mark.parametrize("bomb", PARQUET)
@pytest.mark.parametrize("body", [IMPORT, CATALOGUE], ids=["import", "catalogue"])
def test_a_parquet_bomb_is_refused_within_bounds(tmp_path, arrow, bomb: str, body: str) -> None:
    pa, parquet = arrow
    path = tmp_path / "v.parquet"
    parquet.write_table(pa.table(PARQUET[bomb](pa)), path, compression="zstd", row_group_size=2**24)
    assert path.stat().st_size < 60_000
    code, told, peak = measured(path, body)
    assert code == (4 if body is IMPORT else 3) and str(path) in told
    assert peak < 1300


@pytest.mark.parametrize("files", [12, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_damaged_parquet_file_is_refused_whatever_byte_is_damaged(tmp_path, arrow, files: int) -> None:
    """Of every fifty or so one makes pyarrow abort."""
    pa, parquet = arrow
    path = tmp_path / "v.parquet"
    ids = [f"p{number}" for number in range(60)]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(240, dtype="f4")), 4)
    parquet.write_table(pa.table({"id": ids, "title": ids, "vectors": vectors}), path, row_group_size=25)
    whole, dice = path.read_bytes(), random.Random(2020)
    for _ in range(files):
        changed = bytearray(whole)
        changed[dice.randrange(len(whole))] = dice.choice([0, 127, 128, 255, dice.randrange(256)])
        path.write_bytes(changed)
        for read in (
            lambda: list(ExternalVectors.join(Files("a.title", path), ids, ("a",)).vectors.chunks()),
            lambda: catalogue(path),
        ):
            try:
                read()
            except (CacheError, DataError) as error:
                assert str(path) in str(error) and "\n" not in str(error)


def catalogue(path: Path) -> Catalogue:
    from fusecat.stages.catalogue.data_model import ReadingOptions

    return read_catalogue(path, ReadingOptions(columns={"id": "id", "title": "title"}, labels=False))


def honest(tmp_path: Path, count: int = 12) -> tuple[Catalogue, dict[Path, object]]:
    """Pictures, and what is true of them."""
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    products = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (16, 16, 3), np.uint8)).save(path)
        products.append(Product(str(number), "a", None, (path,), None))
    products.append(Product("gone", "a", None, (folder / "gone.png",), None))
    read = Catalogue(folder, "own", tuple(products), root=folder)
    return read, dict(ImageIndex.scan(read, None).facts)


FALSE = {
    "a digest of another kind": {"sha256": "../../../etc/passwd"},
    "a digest in capitals": {"sha256": "A" * 64},
    "no digest": {"sha256": None},
    "a digest that is a number": {"sha256": 7},
    "a digest of bytes": {"sha256": b"\x00" * 64},
    "a hash of more bits": {"phash": "f" * 17},
    "a hash below zero": {"phash": "-000000000000001"},
    "a hash that is none": {"phash": "x" * 16},
    "no hash": {"phash": None},
    "a width below zero": {"width": -16},
    "a width that is a text": {"width": "wide"},
    "a height of nothing": {"height": 0},
    "more pixels than are decoded": {"width": 10**6, "height": 10**6},
    "flat and not": {"flat": 7},
    "flat with a hash": {"flat": 1},
    "a cause of many lines": {"cause": "bad\n\x1b[31m"},
    "a cause without end": {"cause": "x" * 10_000},
    "a cause that is a number": {"cause": 7},
    "a value of a megabyte": {"stamp": "x" * 2**20},
    "a picture where there is none": {"stamp": "errno 2"},
    "the digest of another picture": {"sha256": "0" * 64},
}


@pytest.mark.parametrize("fault", FALSE)
def test_a_false_fact_of_a_picture_is_not_believed(tmp_path, fault: str) -> None:
    read, facts = honest(tmp_path)
    memory = tmp_path / "images.sqlite"
    ImageIndex.scan(read, memory)
    changed = FALSE[fault]
    with sqlite3.connect(memory) as database:
        for column, value in changed.items():
            database.execute(f"UPDATE images SET {column} = ?", (value,))
    database.close()
    assert ImageIndex.scan(read, memory).facts == facts
    assert ImageIndex.scan(read, memory).facts == facts


STRUCTURES = {
    "a view": "ALTER TABLE images RENAME TO hidden; CREATE VIEW images AS WITH RECURSIVE n(i) AS "
    "(SELECT 1 UNION ALL SELECT i+1 FROM n) "
    "SELECT i AS path, '' AS stamp, '' AS sha256, '' AS phash, 1 AS width, 1 AS height, 0 AS flat, '' AS cause FROM n",
    "a trigger": "CREATE TRIGGER more AFTER INSERT ON images BEGIN DELETE FROM images; END",
    "another table": "CREATE TABLE more (data BLOB)",
    "another column": "ALTER TABLE images ADD COLUMN more TEXT",
    "columns that are missing": "DROP TABLE images; CREATE TABLE images (path TEXT PRIMARY KEY)",
}


@pytest.mark.parametrize("fault", STRUCTURES)
@pytest.mark.timeout(60)
def test_an_index_of_pictures_that_holds_anything_else_is_made_anew(tmp_path, fault: str) -> None:
    read, facts = honest(tmp_path)
    memory = tmp_path / "images.sqlite"
    ImageIndex.scan(read, memory)
    with sqlite3.connect(memory) as database:
        database.executescript(STRUCTURES[fault])
    database.close()
    looked: list[int] = []
    for _ in range(2):
        assert ImageIndex.scan(read, memory, progress=lambda done, _: looked.append(done)).facts == facts
    assert looked == [13]


def test_an_index_of_pictures_of_before_is_used_and_a_large_one_costs_nothing(tmp_path) -> None:
    read, facts = honest(tmp_path)
    memory = tmp_path / "images.sqlite"
    ImageIndex.scan(read, memory)
    with sqlite3.connect(memory) as database:
        rows = database.execute("SELECT * FROM images").fetchall()
    database.close()
    memory.unlink()
    with sqlite3.connect(memory) as database:  # the very words of earlier versions
        database.execute(
            "CREATE TABLE IF NOT EXISTS images (path TEXT PRIMARY KEY, stamp TEXT, "
            "sha256 TEXT, phash TEXT, width INTEGER, height INTEGER, flat INTEGER, cause TEXT)"
        )
        database.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        more = ((f"other {number}", "x" * 200, *rows[0][2:]) for number in range(50_000))
        database.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)", more)
    database.close()
    looked: list[int] = []
    assert ImageIndex.scan(read, memory, progress=lambda done, _: looked.append(done)).facts == facts
    assert looked == []


def with_journal(path: Path, victim: Path) -> None:
    """A database in the middle of a transaction, whose journal names a second one."""
    source = path.with_name("source.sqlite")
    source.unlink(missing_ok=True)
    database = sqlite3.connect(source, isolation_level=None)
    database.executescript("CREATE TABLE a (b TEXT); INSERT INTO a VALUES ('x'); PRAGMA cache_size = 1; BEGIN")
    database.executemany("INSERT INTO a VALUES (?)", [("y" * 200,) for _ in range(3000)])
    path.write_bytes(source.read_bytes())
    journal, name = source.with_name("source.sqlite-journal").read_bytes(), str(victim).encode()
    database.execute("ROLLBACK")
    database.close()
    tail = (0x40000000 // 4096 + 1).to_bytes(4, "big") + name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big")
    path.with_name(path.name + "-journal").write_bytes(journal + tail + bytes.fromhex("d9d505f920a163d7"))


def test_a_journal_beside_a_database_removes_no_file(tmp_path) -> None:
    """SQLite itself does: it takes the file for the journal of a transaction over several databases."""
    victim, read = tmp_path / "thesis.tex", honest(tmp_path)[0]
    victim.write_text("mine", encoding="utf-8")
    memory = tmp_path / "images.sqlite"
    with_journal(memory, victim)
    ImageIndex.scan(read, memory)
    (tmp_path / "tuning").mkdir()
    with_journal(tmp_path / "tuning" / "trials.sqlite", victim)
    told: list[str] = []
    tune(table(products=80), [Strategy.parse("baseline/average")], tmp_path / "tuning", trials=1, damaged=told.append)
    assert "trials.sqlite: damaged (its journal names another file)" in told[0]
    assert victim.read_text(encoding="utf-8") == "mine"
    with_journal(tmp_path / "proof.sqlite", victim)
    sqlite3.connect(tmp_path / "proof.sqlite").execute("SELECT * FROM a").connection.close()
    assert not victim.exists()


@pytest.mark.parametrize("text", ["[]", "{", "7", '{"strategy": "a"}', '{"strategy": "a", "settings": {"code": 1}}'])
def test_tuned_settings_that_are_none_are_named(tmp_path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises((ModelError, DamagedFile), match=r"a.json: damaged"):
        read_tuned(tmp_path)


@pytest.fixture(scope="module")
def late(tmp_path_factory) -> Path:
    """Runs of late fusion that have learnt something."""
    root = tmp_path_factory.mktemp("late")
    names = ("late/lightgbm", "late/logistic", "late/calibrated", "late/mean", "unimodal/mine.image", "baseline/average")
    settings = FitSettings(epochs=2, steps=0)
    fuse(imported(root), [Strategy.parse(name) for name in names], Runs(root / "runs"), settings, seeds=1, processes=1)
    return root / "runs"


def spoilt(late: Path, strategy: str, folder: Path, **arrays) -> Path:
    """A copy of what a run has learnt, with other arrays."""
    seed = "1" if strategy.startswith("baseline") else "0"
    description, known = head_files.read(late / strategy / f"seed-{seed}")
    description["strategy"] = Strategy.parse(strategy)
    return head_files.write(folder / strategy / "seed-0", arrays=known | arrays, **description)


def changed(found: str, by: str):
    def change(text: str) -> str:
        assert found in text
        return text.replace(found, by, 1)

    return change


def first(name: str, by: str):
    """Replace the first value that stands under a name in the first tree."""

    def change(text: str) -> str:
        place = text.index(f"{name}=", text.index("Tree=0")) + len(name) + 1
        end = min(text.index(" ", place), text.index("\n", place))
        return text[:place] + by + text[end:]

    return change


TREES = {
    "a node that is its own child": first("left_child", "0"),
    "a child beyond the tree": first("left_child", "1000000"),
    "a leaf beyond the tree": first("left_child", "-1000000"),
    "a column beyond the columns": first("split_feature", "3000000"),
    "a column below zero": first("split_feature", "-1"),
    "a column that is no number": first("split_feature", "x"),
    "leaves without end": first("num_leaves", "2000000000"),
    "no leaves": first("num_leaves", "0"),
    "a threshold without end": first("threshold", "inf"),
    "a threshold that is no number": first("threshold", "nan"),
    "a value beyond numbers": first("leaf_value", "1e999"),
    "a decision by categories": first("decision_type", "1"),
    "categories": first("num_cat", "5"),
    "linear leaves": first("is_linear", "1"),
    "another number of classes": changed("num_class=4", "num_class=2000000000"),
    "no trees per round": changed("num_tree_per_iteration=4", "num_tree_per_iteration=0"),
    "many trees per round": changed("num_tree_per_iteration=4", "num_tree_per_iteration=700"),
    "more columns": changed("max_feature_idx=", "max_feature_idx=99999"),
    "another objective": changed("objective=multiclass", "objective=custom"),
    "a tree less": lambda text: text[: text.rindex("Tree=")] + "end of trees\n",
    "no tree": lambda text: text[: text.index("Tree=")],
    "nothing": lambda _: "",
    "something else": lambda _: "\x00" * 1000,
}


@pytest.mark.parametrize("fault", TREES)
def test_trees_that_would_hang_or_crash_lightgbm_never_reach_it(late, tmp_path, fault: str) -> None:
    _, arrays = head_files.read(late / "late" / "lightgbm" / "seed-0")
    text = TREES[fault](arrays["trees"].tobytes().decode())
    folder = spoilt(late, "late/lightgbm", tmp_path, trees=np.frombuffer(text.encode(), np.uint8))
    with pytest.raises((ModelError, DamagedFile), match="the trained head cannot be read") as refused:
        load_head(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


HARMLESS = {
    "false sizes": changed("tree_sizes=", "tree_sizes=99999999999 -1 "),
    "names of a stranger": changed("feature_names=", "feature_names=../../x "),
    "other kinds of columns": changed("feature_infos=", "feature_infos=1:2:3 "),
    "parameters of a stranger": changed("parameters:", "parameters:\n[input_model: /etc/shadow]"),
    "categories of pandas": changed("pandas_categorical:null", "pandas_categorical:[[1]]"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_only_the_trees_of_a_text_reach_lightgbm(late, name: str) -> None:
    _, arrays = head_files.read(late / "late" / "lightgbm" / "seed-0")
    whole = load_head(late / "late" / "lightgbm" / "seed-0").method
    assert isinstance(whole, LightGBM)
    assert canonical(HARMLESS[name](arrays["trees"].tobytes().decode()), 4, whole.width) == whole.text


FUZZ = """
import random, sys
import numpy as np
from lightgbm import Booster
from fusecat.stages.fusion.late.trees import canonical
text, columns = open(sys.argv[1], encoding="utf-8").read(), int(sys.argv[2])
dice, rows, read = random.Random(2020), np.random.default_rng(0).normal(size=(20, columns)) - 2, 0
text = text[: text.index("\\nTree=12\\n")] + "\\nend of trees\\n"
lines = text.split("\\n")
for _ in range(600):
    changed = list(lines)
    for _ in range(dice.choice([1, 1, 3])):
        place = dice.randrange(len(changed))
        words = changed[place].split(" ")
        word = dice.randrange(len(words))
        head, sign, tail = words[word].rpartition("=")
        values = ["", "0", "-1", "1", "7", "2147483647", "-2147483648", "1e308", "nan", tail + "0", dice.choice(lines)]
        words[word] = head + sign + dice.choice(values)
        changed[place] = " ".join(words)
    if dice.random() < 0.1:
        del changed[dice.randrange(len(changed))]
    try:
        safe = canonical("\\n".join(changed), 4, columns)
    except ValueError:
        continue
    found = Booster(model_str=safe).predict(rows, num_threads=1)
    assert found.shape == (20, 4) and np.isfinite(found).all()
    read += 1
print(read)
"""


@pytest.mark.timeout(240)
def test_whatever_becomes_of_a_text_lightgbm_survives_it(late, tmp_path) -> None:
    head = load_head(late / "late" / "lightgbm" / "seed-0")
    _, arrays = head_files.read(late / "late" / "lightgbm" / "seed-0")
    (tmp_path / "trees.txt").write_bytes(arrays["trees"].tobytes())
    words = [sys.executable, "-c", FUZZ, str(tmp_path / "trees.txt"), str(head.method.width)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert int(done.stdout.split()[-1]) > 50


LEARNT = {
    "no temperature": ("late/calibrated", {"temperatures": np.zeros(2)}),
    "weights of other networks": ("late/calibrated", {"weights": np.ones(3)}),
    "weights that are no numbers": ("late/calibrated", {"weights": np.array([np.nan, 1.0])}),
    "weights below zero": ("late/calibrated", {"weights": np.array([-1.0, 2.0])}),
    "a class that does not exist": ("late/logistic", {"seen": np.array([0, 1, 2, 9])}),
    "a class twice": ("late/logistic", {"seen": np.array([0, 1, 1, 2])}),
    "classes that are no numbers": ("late/logistic", {"seen": np.array([0.5, np.inf, 2, 3])}),
    "coefficients of other columns": ("late/logistic", {"coefficients": np.ones((4, 3))}),
    "a prior of other classes": ("late/mean", {"prior": np.ones(3)}),
    "a prior that is no number": ("unimodal/mine.image", {"prior": np.full(4, np.nan, np.float32)}),
    "means of other columns": ("baseline/average", {"mean.mine.image": np.zeros(3, np.float32)}),
    "a layer of another shape": ("baseline/average", {"head.classifier.weight": np.zeros((2, 2), np.float32)}),
    "a layer more": ("baseline/average", {"head.more.weight": np.zeros(2, np.float32)}),
}


@pytest.mark.parametrize("fault", LEARNT)
def test_what_a_run_has_learnt_is_refused_where_it_cannot_be(late, tmp_path, fault: str) -> None:
    strategy, arrays = LEARNT[fault]
    folder = spoilt(late, strategy, tmp_path, **arrays)
    with pytest.raises((ModelError, DamagedFile), match="the trained head cannot be read") as refused:
        load_head(folder)
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


def test_the_files_of_these_tests_are_read_where_nothing_is_spoilt(late, tmp_path) -> None:
    for strategy in {strategy for strategy, _ in LEARNT.values()} | {"late/lightgbm"}:
        assert load_head(spoilt(late, strategy, tmp_path)).strategy.name == strategy
    assert json.loads((tmp_path / "late/mean/seed-0/head.json").read_text(encoding="utf-8"))["kind"] == "late"
