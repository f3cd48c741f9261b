"""Bits flip, files end too early: `verify` finds all of it, and no reader ever hands on a value that was not written."""

import random

import numpy as np
import pytest

from fusecat.cache import verify as module
from fusecat.cache.errors import CacheError
from fusecat.cache.store import FeatureCache
from fusecat.cache.verify import verify
from tests.faults.writer import FEATURE, write

ROWS = 300


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0)
    write(tmp_path, ROWS, seed=0)
    cache = FeatureCache(tmp_path)
    return cache, cache.path(FEATURE).read_bytes(), cache.table()


def same(table, whole) -> bool:
    feature, other = table.features[FEATURE], whole.features[FEATURE]
    pairs = [(getattr(table, name), getattr(whole, name)) for name in ("ids", "labels", "split")]
    pairs += [(getattr(feature, name), getattr(other, name)) for name in ("embedding", "logits", "present")]
    facts = (table.classes, table.parts, feature.fitted_on, table.fingerprint)
    return facts == (whole.classes, whole.parts, other.fitted_on, whole.fingerprint) and all(
        one.dtype == two.dtype and np.array_equal(one, two) for one, two in pairs
    )


def read_everything(cache, whole) -> None:
    """Whatever can be read must be what was written; damage must be told as damage."""
    try:
        assert same(cache.table(), whole)
    except CacheError as error:
        assert str(cache.folder) in str(error) and "\n" not in str(error)
    try:
        with cache.stream() as stream:
            (batch,) = stream.batches(np.arange(ROWS), ROWS)
        assert np.array_equal(batch[1][FEATURE], whole.features[FEATURE].embedding.astype("f4"))
        assert np.array_equal(batch[0], whole.labels)
    except CacheError as error:
        assert str(cache.folder) in str(error)
    try:
        assert cache.recipe(FEATURE) == {"seed": 0, "rows": ROWS}
    except CacheError as error:
        assert str(cache.folder) in str(error)


@pytest.mark.parametrize("flips", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_single_bit_flips(sealed, flips):
    cache, data, whole = sealed
    dice = random.Random(2020)
    for _ in range(flips):
        place, bit = dice.randrange(len(data)), dice.randrange(8)
        changed = bytearray(data)
        changed[place] ^= 1 << bit
        cache.path(FEATURE).write_bytes(changed)
        assert list(verify(cache.folder)), (place, bit)
        read_everything(cache, whole)


@pytest.mark.parametrize("cuts", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_truncations(sealed, cuts):
    cache, data, whole = sealed
    dice = random.Random(2020)
    for _ in range(cuts):
        length = dice.randrange(len(data))
        cache.path(FEATURE).write_bytes(data[:length])
        assert list(verify(cache.folder)), length
        read_everything(cache, whole)


@pytest.mark.parametrize("runs", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_blocks_of_other_bytes(sealed, runs):
    """What a disk does rather than flip a bit: 512 bytes of zeros, or of another file."""
    cache, data, whole = sealed
    dice = random.Random(2020)
    for number in range(runs):
        place = dice.randrange(0, len(data) - 512, 512)
        changed = bytearray(data)
        changed[place : place + 512] = bytes(512) if number % 2 else dice.randbytes(512)
        cache.path(FEATURE).write_bytes(changed)
        assert changed == data or list(verify(cache.folder)), place
        read_everything(cache, whole)
