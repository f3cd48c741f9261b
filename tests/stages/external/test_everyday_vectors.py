"""Vectors as everyday tools write them are read equal to the original, or refused in a line that names file and way out."""

import re

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from scipy import sparse

from fusecat.cache.errors import ForeignFile
from fusecat.cache.sources import open_source
from fusecat.stages.errors import DataError, UsageError
from fusecat.stages.external.align import read_labels
from fusecat.stages.external.vectors import ExternalVectors, Files
from tests.stages.external.everyday import COUNT, IDS, TORCH, VECTORS, WIDTH


def frame(ids=IDS, vectors=VECTORS, name="id"):
    return pd.DataFrame({name: ids, "embedding": list(vectors)})


def wide(ids=IDS, vectors=VECTORS, order=range(WIDTH)):
    return pd.DataFrame({"id": ids} | {f"emb_{number}": vectors[:, number] for number in order})


def read(path, **options):
    """The vectors in the order of the products, and which are there."""
    found = ExternalVectors.join(Files("mine.title", path, **options), IDS, ("a",))
    with found.staged(path.parent) as (embedding, _):
        return embedding.read(range(COUNT)), found.present


def same(path, lost=(), **options):
    vectors, present = read(path, **options)
    kept = np.ones(COUNT, bool)
    kept[list(lost)] = False
    np.testing.assert_array_equal(present, kept)
    np.testing.assert_array_equal(vectors, np.where(kept[:, None], VECTORS, 0))
    return True


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed, None])
@pytest.mark.parametrize("chunk", [2**23, 100])
def test_column_order_is_no_matter(tmp_path, monkeypatch, save, chunk):
    monkeypatch.setattr("fusecat.cache.source.CHUNK", chunk)
    by_column = np.asfortranarray(VECTORS)
    if save is None:
        np.save(tmp_path / "v.npy", by_column)
        np.save(tmp_path / "ids.npy", np.array(IDS))
        assert same(tmp_path / "v.npy", ids=tmp_path / "ids.npy")
    else:
        save(tmp_path / "v.npz", embedding=by_column, id=np.array(IDS))
        assert same(tmp_path / "v.npz")


@pytest.mark.parametrize("kind", [None, "S4", h5py.string_dtype(), h5py.string_dtype("utf-8", 8), int, float])
def test_ids_of_hdf5_are_texts_of_any_kind_or_numbers(tmp_path, kind):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["embedding"] = VECTORS
        file.create_dataset(
            "id", data=IDS if kind in (None, "S4") or not isinstance(kind, type) else list(map(kind, IDS)), dtype=kind
        )
    assert same(tmp_path / "v.h5")


def test_long_texts_in_hdf5_are_no_ids(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["embedding"] = VECTORS
        file.create_dataset("id", data=["a" * 10_000, *IDS[1:]], dtype=h5py.string_dtype())
    with pytest.raises(ForeignFile, match=r"v.h5 .*'id' holds a text of more than \d+ bytes"):
        read(tmp_path / "v.h5")


def test_null_lists_are_absent_rows(tmp_path):
    lists = list(VECTORS)
    lists[0] = lists[7] = None
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), WIDTH)):
        values = [None if each is None else each.tolist() for each in lists]
        pq.write_table(pa.table({"id": IDS, "embedding": pa.array(values, kind)}), tmp_path / "v.parquet", row_group_size=13)
        assert same(tmp_path / "v.parquet", lost=(0, 7))
    for odd, what in (
        ([1.0], "is a list of 1 numbers, not 5"),
        ([], "is a list of 0"),
        ([1.0, None, 1, 1, 1], "an empty number"),
    ):
        pq.write_table(
            pa.table({"id": IDS, "embedding": [*map(list, VECTORS[:9]), odd, *map(list, VECTORS[10:])]}), tmp_path / "v.parquet"
        )
        with pytest.raises(ForeignFile, match=rf"v.parquet .*'embedding' .*{what}.* in row 9; .* or null for none"):
            read(tmp_path / "v.parquet")
    pq.write_table(pa.table({"id": IDS, "embedding": pa.nulls(COUNT, pa.list_(pa.float32()))}), tmp_path / "v.parquet")
    with pytest.raises(ForeignFile, match=r"'embedding' is empty \(null\) in every row"):
        read(tmp_path / "v.parquet")


def test_tensors_of_arrow_are_lists(tmp_path):
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(VECTORS)
    pq.write_table(pa.table({"id": IDS, "embedding": tensors}), tmp_path / "v.parquet")
    assert same(tmp_path / "v.parquet")


def test_a_column_per_dimension_is_named_and_taken_where_it_is_asked_for(tmp_path):
    path, lost = tmp_path / "v.parquet", VECTORS.copy()
    wide().to_parquet(path)
    advice = r"its 5 columns of numbers, emb_0, emb_1, emb_2, emb_3, emb_4, are a vector with --columns 'emb_\[0-9\]\*'"
    with pytest.raises(ForeignFile, match=advice):
        read(path)
    assert same(path, columns="emb_[0-9]*") and same(path, columns="emb_0,emb_1, emb_2,emb_3,emb_4")
    wide(order=[3, 0, 4, 2, 1]).to_parquet(path)
    assert same(path, columns="emb_*")
    lost[[3, 8]] = np.nan
    wide(vectors=lost).to_parquet(path)
    assert same(path, lost=(3, 8), columns="emb_*")
    lost[8, 0] = 1
    wide(vectors=lost).to_parquet(path)
    with pytest.raises(ForeignFile, match=r"'emb_1' is empty \(null\) in row 8, other columns are not"):
        read(path, columns="emb_*")
    for columns, told in (("vec_*", "no column is called 'vec_[*]'"), ("*", "'id', one of '[*]', holds .*, not numbers")):
        with pytest.raises(ForeignFile, match=told):
            read(path, columns=columns)


def test_ten_comes_after_two(tmp_path):
    many = np.random.default_rng(1).normal(size=(COUNT, 12)).astype(np.float32)
    names = sorted(f"d{number}" for number in range(12))
    pd.DataFrame({"id": IDS} | {name: many[:, int(name[1:])] for name in names}).to_parquet(tmp_path / "v.parquet")
    np.testing.assert_array_equal(read(tmp_path / "v.parquet", columns="d*")[0], many)


def test_the_column_of_the_ids_is_named_or_pandas_index(tmp_path):
    path = tmp_path / "v.parquet"
    frame(name="sku").to_parquet(path)
    with pytest.raises(UsageError, match=r"or --id-column with the name of a column beside the vectors .sku.$"):
        read(path)
    assert same(path, id_column="sku")
    with pytest.raises(UsageError, match=r"--id-column ean: .*v.parquet has no such column; it has sku, embedding"):
        read(path, id_column="ean")
    frame(name="sku").set_index("sku").to_parquet(path)
    assert same(path)
    frame(name="sku").set_index("sku").rename_axis(None).to_parquet(path)
    assert same(path)
    np.save(tmp_path / "v.npy", VECTORS)
    (tmp_path / "ids.csv").write_text("n,sku\n" + "\n".join(f"x{identity},{identity}" for identity in IDS))
    assert same(tmp_path / "v.npy", ids=tmp_path / "ids.csv", id_column="sku")
    with pytest.raises(UsageError, match=r"--id-column ean: .*ids.csv has the columns n, sku"):
        read(tmp_path / "v.npy", ids=tmp_path / "ids.csv", id_column="ean")


@pytest.mark.parametrize("kind", [str, int, float, bytes])
def test_ids_lie_in_arrays_and_in_parquet(tmp_path, kind):
    ids = [identity.encode() if kind is bytes else kind(identity) for identity in IDS]
    np.save(tmp_path / "v.npy", VECTORS)
    np.save(tmp_path / "ids.npy", np.array(ids))
    assert same(tmp_path / "v.npy", ids=tmp_path / "ids.npy")
    for name in ("id", "anything"):
        pq.write_table(pa.table({name: ids}), tmp_path / "ids.parquet")
        assert same(tmp_path / "v.npy", ids=tmp_path / "ids.parquet")
    pq.write_table(pa.table({"sku": ids, "ean": ids}), tmp_path / "ids.parquet")
    with pytest.raises(ForeignFile, match=r"which column holds the ids[?] pass --id-column with one of: sku, ean"):
        read(tmp_path / "v.npy", ids=tmp_path / "ids.parquet")
    assert same(tmp_path / "v.npy", ids=tmp_path / "ids.parquet", id_column="sku")


@pytest.mark.parametrize(
    ("ids", "error", "told"),
    [
        (np.array(IDS, object), ForeignFile, r"ids.npy cannot be imported: it holds Python objects.*array.astype\(str\)"),
        (np.array([*IDS[1:], IDS[1]]), DataError, "the id '1' of vector 59 occurs a second time"),
        (np.array(IDS[1:]), ForeignFile, "has 59 ids for 60 vectors"),
        (np.array([np.nan, *map(float, IDS[1:])]), ForeignFile, "the id in row 0 is empty, NaN"),
        (np.zeros((COUNT, 2)), ForeignFile, r"has the shape \(60, 2\)"),
    ],
)
def test_arrays_that_are_no_ids_are_refused(tmp_path, ids, error, told):
    np.save(tmp_path / "v.npy", VECTORS)
    np.save(tmp_path / "ids.npy", ids)
    with pytest.raises(error, match=told):
        read(tmp_path / "v.npy", ids=tmp_path / "ids.npy")


def test_whole_numbers_with_a_zero_meet_those_without_where_all_have_it(tmp_path):
    path = tmp_path / "v.parquet"
    frame(ids=list(map(float, IDS))).to_parquet(path)
    assert same(path)
    frame(ids=["0.5", *(f"{identity}.0" for identity in IDS[1:])]).to_parquet(path)
    with pytest.raises(DataError, match=r"none of the 60 ids is a product's; the first is '0.5', the first product is '0'"):
        read(path)
    (tmp_path / "labels.csv").write_text("id,label\n1.0,a\n2.0,b\n")
    assert read_labels(tmp_path / "labels.csv") == {"1": "a", "2": "b"}
    assert read_labels(tmp_path / "labels.csv", ["1.0"]) == {"1.0": "a", "2.0": "b"}


@pytest.mark.parametrize("kind", TORCH)
def test_tensors_of_any_float_type_are_read(tmp_path, kind):
    tensors = {"embedding": torch.tensor(VECTORS).to(TORCH[kind]), "id": torch.arange(COUNT)}
    save_file(tensors, tmp_path / "v.safetensors")
    assert same(tmp_path / "v.safetensors")


def test_every_code_of_eight_bits_is_what_torch_says(tmp_path):
    for kind in (torch.float8_e5m2, torch.float8_e4m3fn):
        codes = torch.arange(256, dtype=torch.uint8).view(kind)
        save_file({"v": codes.reshape(256, 1)}, tmp_path / "v.safetensors")
        found = np.concatenate(list(open_source(tmp_path / "v.safetensors").chunks()))[:, 0]
        np.testing.assert_array_equal(found.astype(np.float32), codes.float().numpy())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:4], "it is not a safetensors file"),
        (lambda data: (10**12).to_bytes(8, "little") + data[8:], "it is not a safetensors file"),
        (lambda data: data[:-1], "'embedding' is not as long as its header says"),
        (lambda data: data.replace(b'"F32"', b'"F99"'), "'embedding' is of the type F99; store it as float32"),
        (lambda data: data.replace(b'"F32"', b'"F64"'), "'embedding' is not as long as its header says"),
        (lambda data: data.replace(b"[60,5]", b"[-6,5]"), "'embedding' is not as long as its header says"),
        (lambda data: data.replace(b'{"emb', b'["emb'), "its header is damaged"),
    ],
)
def test_odd_safetensors_are_refused(tmp_path, change, told):
    save_file({"embedding": torch.tensor(VECTORS)}, tmp_path / "v.safetensors")
    (tmp_path / "v.safetensors").write_bytes(change((tmp_path / "v.safetensors").read_bytes()))
    with pytest.raises(ForeignFile, match=told):
        open_source(tmp_path / "v.safetensors")


def test_what_is_not_read_says_how_it_is_converted(tmp_path):
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_matrix(VECTORS))
    np.save(tmp_path / "o.npy", np.array([None, *VECTORS], object)[1:])
    np.save(tmp_path / "d.npy", VECTORS[:, None])
    told = {
        "s.npz": "a sparse matrix; .*TruncatedSVD",
        "o.npy": r"numpy.stack\(array\)",
        "d.npy": r"reshape\(len\(vectors\), -1\)",
    }
    told |= {"v.pt": "torch.load.*safetensors", "v.pkl": "numpy.save", "v.csv": r"to_parquet\('.*v.csv.parquet'\)"}
    for name, words in told.items():
        (tmp_path / name).touch()
        with pytest.raises(ForeignFile, match=rf"{name} cannot be imported: .*{words}") as refused:
            open_source(tmp_path / name)
        assert "\n" not in str(refused.value)


def test_the_line_that_converts_a_tensor_works_as_it_is_printed(tmp_path):
    torch.save(torch.tensor(VECTORS), tmp_path / "v.pt")
    with pytest.raises(ForeignFile) as refused:
        open_source(tmp_path / "v.pt")
    code = re.search(r'python -c "(.*)"', str(refused.value))[1]
    exec(code)
    np.testing.assert_array_equal(next(iter(open_source(tmp_path / "v.pt.safetensors").chunks())), VECTORS)


def test_vectors_in_a_group_of_hdf5_are_found_where_they_are_the_only_ones(tmp_path):
    (tmp_path / "ids.csv").write_text(
        "id\n" + "".join(f" {identity} \n" for identity in IDS)
    )  # and blanks around ids say nothing
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["model/layer/embedding"] = VECTORS
    assert same(tmp_path / "v.h5", ids=tmp_path / "ids.csv")
    with h5py.File(tmp_path / "v.h5", "a") as file:
        file["model/other"], file["model/text"] = VECTORS, np.arange(3)
    with pytest.raises(ForeignFile, match=r"--key with one of: model/layer/embedding, model/other$"):
        read(tmp_path / "v.h5", ids=tmp_path / "ids.csv")
    assert same(tmp_path / "v.h5", ids=tmp_path / "ids.csv", key="model/layer/embedding")


def test_where_no_array_is_a_matrix_the_arrays_are_named(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for identity in IDS:
            file[identity] = VECTORS[0]
    with pytest.raises(ForeignFile, match=rf"none of its arrays is a matrix of numbers .*: {min(IDS)}, "):
        read(tmp_path / "v.h5")
