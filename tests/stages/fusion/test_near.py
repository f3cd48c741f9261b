"""Copies on both sides of the split are counted, and nothing else is."""

import numpy as np
import pytest

from fusecat.stages.external.arrays import table_of
from fusecat.stages.fusion.near import straddling


@pytest.mark.parametrize("width", [4, 300])
@pytest.mark.parametrize("rounded", [np.float32, np.float16])
def test_copies_across_parts_are_counted_and_random_rows_are_not(width, rounded):
    random = np.random.default_rng(0)
    noise, labels = random.normal(size=(500, width)).astype(np.float32), np.arange(500) % 2
    assert straddling(table_of({"words": noise, "pixels": 5 + 100 * noise[:, ::-1]}, labels)[0]) is None
    twice = np.r_[noise, noise.astype(rounded)]
    table = table_of({"words": twice, "pixels": 5 + 100 * twice[:, ::-1]}, np.r_[labels, labels])[0]
    scored = table.rows("validation", "test")
    fitted = set((table.rows("train") % 500).tolist())
    expected = sum(row % 500 in fitted for row in scored.tolist())
    found = straddling(table)
    assert (found.count, found.scored) == (expected, len(scored)) and expected > 100
    assert int(found.first[0]) % 500 == int(found.first[1]) % 500
    together = table_of({"words": twice, "pixels": twice}, np.r_[labels, labels], groups=np.r_[:500, :500])[0]
    assert straddling(together) is None


def test_a_field_that_one_of_two_lacks_makes_them_two():
    noise = np.random.default_rng(0).normal(size=(200, 6))
    present = np.r_[np.ones(200, bool), np.zeros(200, bool)]
    twice = np.r_[noise, noise]
    features = {"words": twice, "pixels": np.random.default_rng(1).normal(size=(400, 6))}
    assert straddling(table_of(features | {"pixels": twice}, np.arange(400) % 200 % 2)[0]) is not None
    assert straddling(table_of(features, np.arange(400) % 200 % 2, present={"pixels": present})[0]) is None
