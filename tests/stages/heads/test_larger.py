"""A streamed head is the head in memory: same statistics, same predictions, same skill."""

import numpy as np
import pytest

from cache.store import FeatureCache
from stages.errors import UsageError
from stages.heads.data import statistics
from stages.heads.larger import learn
from stages.heads.settings import FitSettings
from stages.heads.streaming import streamed_statistics
from stages.strategy import Strategy
from tests.stages.heads.synthetic import table
from tests.stages.heads.workspace import seal

STRATEGY = Strategy.parse("hierarchical/concatenation/average")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    made = table(signal=2, products=900)
    return made, FeatureCache(seal(made, tmp_path_factory.mktemp("study")) / "features")


def test_statistics_of_a_stream_are_those_in_memory(sealed):
    made, cache = sealed
    names = sorted(made.features)
    with cache.stream() as stream:
        found = streamed_statistics(stream, names, made.rows("train"))
    for name, (mean, scale) in statistics(made, names, made.rows("train")).items():
        np.testing.assert_allclose(found[name][0], mean, atol=1e-5)
        np.testing.assert_allclose(found[name][1], scale, rtol=1e-4)


def test_a_streamed_head_learns_and_predicts_the_same_in_memory(sealed):
    made, cache = sealed
    with cache.stream() as stream:
        head, found = learn(stream, STRATEGY, FitSettings(epochs=8, learning_rate=1e-2))
    rows = made.rows("test")
    assert (found["test"].argmax(1) == made.labels[rows]).mean() > 0.8
    np.testing.assert_allclose(head.probabilities(made.features)[rows], found["test"], atol=1e-3)


def test_the_same_seed_streams_the_same_head(sealed):
    _, cache = sealed
    results = []
    for seed in (1, 1, 2):
        with cache.stream() as stream:
            results.append(learn(stream, STRATEGY, FitSettings(epochs=2), seed=seed)[1]["test"])
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_what_needs_single_rows_is_refused(sealed):
    _, cache = sealed
    with cache.stream() as stream, pytest.raises(UsageError, match="class weights instead"):
        learn(stream, STRATEGY, FitSettings(balanced_batches=True))
