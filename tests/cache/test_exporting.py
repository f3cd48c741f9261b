"""What leaves the cache is what is in it."""

import builtins

import numpy as np
import pytest

from fusecat.cache.errors import CacheError, DamagedFeature
from fusecat.cache.exporting import export
from tests.cache.study import write_feature


@pytest.fixture
def table(cache, rows):
    write_feature(cache, "a.title", rows)
    return cache.table()


def test_npz_holds_the_feature(cache, table, tmp_path):
    with cache.open("a.title") as file:
        export(file, tmp_path / "out.npz")
    feature = table.features["a.title"]
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert np.array_equal(found["product_id"], table.ids)
        assert np.array_equal(found["embedding"], feature.embedding) and found["embedding"].dtype == np.float16
        assert np.array_equal(found["logits"], feature.logits) and np.array_equal(found["present"], feature.present)
        assert np.array_equal(found["label"], table.labels) and np.array_equal(found["split"], table.split)
        assert tuple(found["classes"]) == table.classes and tuple(found["parts"]) == table.parts


def test_parquet_holds_the_feature(cache, table, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    with cache.open("a.title") as file:
        export(file, tmp_path / "out.parquet")
    found = parquet.read_table(tmp_path / "out.parquet").to_pydict()
    feature = table.features["a.title"]
    assert found["product_id"] == list(table.ids)
    assert found["label"] == [table.classes[label] if label >= 0 else None for label in table.labels]
    assert found["part"] == [table.parts[code] if code < 4 else None for code in table.split]
    assert np.array_equal(np.array(found["embedding"], np.float32), feature.embedding.astype(np.float32))
    assert np.array_equal(np.array(found["logits"], np.float32), feature.logits)


def test_nothing_damaged_is_exported(cache, table, tmp_path):
    path = cache.path("a.title")
    data = bytearray(path.read_bytes())
    place = data.index(table.features["a.title"].logits[-50].tobytes())
    data[place] ^= 1
    path.write_bytes(data)
    with cache.open("a.title") as file, pytest.raises(DamagedFeature):
        export(file, tmp_path / "out.npz")
    assert list(tmp_path.glob("out*")) == []


def test_a_missing_pyarrow_is_named_with_its_remedy(cache, table, tmp_path, monkeypatch):
    honest = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return honest(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with cache.open("a.title") as file, pytest.raises(CacheError, match="pip install pyarrow"):
        export(file, tmp_path / "out.parquet")


def test_an_unknown_ending_is_refused(cache, table, tmp_path):
    with cache.open("a.title") as file, pytest.raises(CacheError, match=r"use one of .npz, .parquet"):
        export(file, tmp_path / "out.csv")
