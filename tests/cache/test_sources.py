"""Arrays of others: read as a stream in all four formats, and never trusted."""

import io
import pickle
import zipfile

import h5py
import numpy as np
import pytest

from fusecat.cache import source as module
from fusecat.cache.errors import ForeignFile
from fusecat.cache.sources import open_source

VECTORS = np.random.default_rng(0).normal(size=(1000, 7)).astype(np.float32)
NAMES = np.array([f"é{number}" for number in range(1000)])


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2000)


def npy(path):
    np.save(path / "v.npy", VECTORS)
    return path / "v.npy"


def npz(path):
    np.savez(path / "v.npz", vectors=VECTORS, ids=NAMES)
    return path / "v.npz"


def packed(path):
    np.savez_compressed(path / "v.npz", vectors=VECTORS, ids=NAMES)
    return path / "v.npz"


def hdf5(path):
    with h5py.File(path / "v.h5", "w") as file:
        file.create_dataset("vectors", data=VECTORS, compression="gzip", shuffle=True)
        file["ids"] = np.array([name.encode() for name in NAMES])
    return path / "v.h5"


def parquet(path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"ids": NAMES, "vectors": list(VECTORS)}), path / "v.parquet", row_group_size=300)
    return path / "v.parquet"


@pytest.mark.parametrize("write", [npy, npz, packed, hdf5, parquet])
def test_every_format_gives_all_vectors_in_order(tmp_path, write):
    source = open_source(write(tmp_path))
    assert (source.rows, source.width) == VECTORS.shape
    chunks = list(source.chunks())
    assert len(chunks) > 1
    assert np.array_equal(np.concatenate(chunks), VECTORS)
    found = source.column("id", "ids")
    if write is not npy:
        ids = np.concatenate(list(found))
        assert [name.decode() if isinstance(name, bytes) else name for name in ids.tolist()] == NAMES.tolist()
    assert source.column("absent") is None


@pytest.mark.parametrize("dtype", ["<f2", "<f8", ">f4", "<i2", "|u1"])
def test_any_plain_number_is_read(tmp_path, dtype):
    array = np.arange(30).reshape(6, 5).astype(dtype)
    np.save(tmp_path / "v.npy", array)
    assert np.array_equal(np.concatenate(list(open_source(tmp_path / "v.npy").chunks())), array)


def test_the_array_is_chosen_by_name_where_there_are_several(tmp_path):
    np.savez(tmp_path / "v.npz", one=VECTORS, two=VECTORS[:, :3])
    assert open_source(tmp_path / "v.npz", "two").width == 3
    with pytest.raises(ForeignFile, match="pass --key with one of: one, two"):
        open_source(tmp_path / "v.npz")
    with pytest.raises(ForeignFile, match="it has no 'three'; it has one, two"):
        open_source(tmp_path / "v.npz", "three")


@pytest.mark.parametrize("ending", ["npz", "h5", "parquet"])
def test_the_array_that_is_called_so_is_chosen_and_the_advice_can_be_followed(tmp_path, ending):
    def write(name):
        arrays = {"embedding": VECTORS, name: VECTORS[:, :3], "other": VECTORS[:, :2]}
        if ending == "npz":
            np.savez(tmp_path / "v.npz", **arrays)
        elif ending == "h5":
            with h5py.File(tmp_path / "v.h5", "w") as file:
                file.update(arrays)
        else:
            pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            pq.write_table(pa.table({key: list(value) for key, value in arrays.items()}), tmp_path / "v.parquet")
        return tmp_path / f"v.{ending}"

    path = write("logits")
    assert (open_source(path).width, open_source(path, called="logits").width) == (7, 3)
    with pytest.raises(ForeignFile, match=r"which array holds the logits[?] name it 'logits'; there are: .*scores"):
        open_source(write("scores"), called="logits")


@pytest.mark.parametrize("column", ["id", "present"])
def test_a_gap_in_a_parquet_column_is_refused_with_its_row(tmp_path, column):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"id": ["a", "b", None], "present": [True, False, None], "vectors": [[1.0]] * 3}
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    with pytest.raises(ForeignFile, match=rf"v.parquet .*'{column}' is empty \(null\) in row 2"):
        list(open_source(tmp_path / "v.parquet").column(column))


class Bomb:
    def __reduce__(self):
        return print, ("unpickled",)


def header(shape, descr="<f4", by_column=False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": by_column, "shape": shape})
    return file.getvalue()


HOSTILE = {
    "empty": (b"", "not an array in numpy's format"),
    "pickle": (pickle.dumps(Bomb()), "not an array in numpy's format"),
    "objects": (header((3, 2), "|O") + pickle.dumps([Bomb()] * 6), "holds Python objects"),
    "bomb": (header((10**12, 10)) + bytes(100), "not as long as its header says"),
    "too wide": (header((1, 2**20)) + bytes(2**22), "its shape is"),
    "cut off": (header((10, 10)) + bytes(399), "not as long as its header says"),
    "too long": (header((10, 10)) + bytes(401), "not as long as its header says"),
    "by column, cut off": (header((10, 10), by_column=True) + bytes(399), "not as long as its header says"),
    "one axis": (header((10,)) + bytes(40), "not a matrix of numbers"),
    "texts": (header((10, 1), "<U1") + bytes(40), "not a matrix of numbers"),
    "complex": (header((10, 1), "<c8") + bytes(80), "not a matrix of numbers"),
    "no rows": (header((0, 10)), "at least one row"),
    "negative": (header((-1, -40)) + bytes(160), "cannot be imported"),
}


@pytest.mark.parametrize("fault", HOSTILE)
@pytest.mark.parametrize("inside", [False, True], ids=["npy", "npz"])
def test_hostile_numpy_files_are_refused(tmp_path, fault, inside, capsys):
    content, words = HOSTILE[fault]
    path = tmp_path / ("v.npz" if inside else "v.npy")
    if inside:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("v.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(ForeignFile, match=words if not inside else "cannot be imported") as refusal:
        open_source(path, "v")
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().out == ""


def test_a_damaged_archive_is_refused(tmp_path):
    path = npz(tmp_path)
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ForeignFile, match="it is damaged"):
        list(open_source(path, "vectors").chunks())
    path.write_bytes(data[:2000])
    with pytest.raises(ForeignFile, match=r"not an .npz archive"):
        open_source(path)


def test_hostile_hdf5_files_are_refused(tmp_path):
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("bomb", (10**9, 1000), "<f4", chunks=(1, 1000), compression="gzip")
        file.create_dataset("texts", data=["a", "b"], dtype=h5py.string_dtype())
        file["link"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ForeignFile, match="claims 4000000000000 bytes"):
        open_source(path)
    with pytest.raises(ForeignFile, match="'link' is a link to another file"):
        open_source(path, "link/vectors")
    with pytest.raises(ForeignFile, match="holds object"):
        open_source(path, "texts")
    path.write_bytes(b"GIF89a")
    with pytest.raises(ForeignFile, match="does not begin as an HDF5 file"):
        open_source(path)


def test_hostile_parquet_files_are_refused(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for vectors in ([[1.0, 2.0], [1.0]], [None, None], [[1.0, None], [1.0, 2.0]], [["a"], ["b"]]):
        pq.write_table(pa.table({"vectors": vectors}), tmp_path / "v.parquet")
        with pytest.raises(ForeignFile, match="cannot be imported"):
            list(open_source(tmp_path / "v.parquet").chunks())
    (tmp_path / "v.parquet").write_bytes(b"PAR1" + bytes(50))
    with pytest.raises(ForeignFile, match="not a Parquet file"):
        open_source(tmp_path / "v.parquet")


def test_an_unknown_ending_is_refused(tmp_path):
    for name, told in {"v.pkl": "a pickle could run anything", "v": "use one of .npy, .npz, .parquet, .h5"}.items():
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(ForeignFile, match=told):
            open_source(tmp_path / name)
