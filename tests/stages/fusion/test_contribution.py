"""Shapley's shares: they add up, equals get the same, who brings nothing gets nothing; twins share what they know."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fusecat.stages.fusion.contribution import games, groups, shapley
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, FitSettings
from fusecat.stages.metrics import ACCURACY
from tests.stages.fusion.synthetic import table


def test_by_hand():
    """The glove game: a left glove and two right ones, a pair is worth 1 (Shapley values 4/6, 1/6, 1/6)."""
    names = ("left", "right", "other right")
    value = {
        frozenset(some): np.array(float("left" in some and len(some) > 1))
        for size in range(4)
        for some in combinations(names, size)
    }
    found = shapley(names, value)
    assert [float(found[name]) for name in names] == pytest.approx([4 / 6, 1 / 6, 1 / 6])


def test_shares_add_up_element_by_element():
    random, names = np.random.default_rng(0), "abcd"
    value = {frozenset(some): random.normal(size=7) for size in range(5) for some in combinations(names, size)}
    found = shapley(names, value)
    np.testing.assert_allclose(sum(found.values()), value[frozenset(names)] - value[frozenset()])


def test_fields_and_networks_are_the_players():
    found = groups(["a.title", "a.description", "b.title", "b.description", "c.image"])
    assert found["fields"]["title"] == ("a.title", "b.title")
    assert list(found["networks"]) == ["a", "b", "c"]
    assert groups(["words", "pixels"]) == {"fields": {"pixels": ("pixels",), "words": ("words",)}}
    assert groups(["a.title"]) == {} and groups([f"n{at}.title" for at in range(6)]) == {}


def test_a_network_of_noise_brings_nothing_and_the_others_share_the_gain():
    made = table({"a.title": 6, "b.title": 6, "c.image": 6}, products=600, signal=0.9)
    noise = np.random.default_rng(1).normal(size=made.features["c.image"].embedding.shape).astype(np.float16)
    made = replace(made, features=made.features | {"c.image": replace(made.features["c.image"], embedding=noise)})
    names = list(made.features)
    data = gather(made, names, ("train",), standardise=DEFAULT.standardise)
    found = games(data, names, "average", FitSettings(epochs=8, steps=0), ACCURACY, ("validation", "test"), seeds=1)
    (fields, networks) = found["test"]
    assert (fields.kind, networks.kind) == ("fields", "networks") and len(networks.said) == 8
    value = {some: np.array([float(ACCURACY.of(each)) for each in said]) for some, said in networks.said.items()}
    shares = shapley(networks.players, value)
    assert abs(float(shares["c"][0])) < 0.06 < float(shares["a"][0])
    assert float(sum(shares.values())[0]) == pytest.approx(float(value[frozenset("abc")][0] - value[frozenset()][0]))
