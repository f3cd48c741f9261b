"""A streamed head is the head in memory: same statistics, same predictions, same skill."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusecat.cache.store import FeatureCache
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.fit_settings import FitSettings, Scaling
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.in_memory import prepare, statistics
from fusecat.stages.fusion.restore import load
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.streamed import StreamedVectors, streamed_statistics
from tests.stages.fusion.synthetic import table
from tests.stages.fusion.workspace import seal

STRATEGY = Strategy.parse("hierarchical/concatenation/average")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    made = table(signal=0.7, products=900)
    return made, FeatureCache(seal(made, tmp_path_factory.mktemp("study")) / "features")


@pytest.mark.parametrize("kind", list(Scaling), ids=str)
def test_statistics_of_a_stream_are_those_in_memory(sealed, kind):
    made, cache = sealed
    names = sorted(made.features)
    with cache.stream() as stream:
        found = streamed_statistics(stream, names, made.rows("train"), kind)
    for name, (mean, scale) in statistics(made, names, made.rows("train"), kind).items():
        np.testing.assert_allclose(found[name][0], mean, atol=1e-5)
        np.testing.assert_allclose(found[name][1], scale, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_of_a_stream_are_standardised_as_in_memory(tmp_path, dtype):
    cache = FeatureCache(seal(table(signal=2, products=900), tmp_path, dtype) / "features")
    made = cache.table()
    scaling = statistics(made, names := sorted(made.features), made.rows("train"), Scaling.COLUMN)
    rows = made.rows("validation")
    with cache.stream() as stream:
        views, present = next(StreamedVectors(stream, scaling).blocks(torch.from_numpy(rows), len(rows)))
    for name in names:
        feature = made.features[name]
        assert feature.embedding.dtype == dtype
        expected = prepare(feature.embedding.astype(np.float32), feature.present, *scaling[name])[rows]
        assert views[name].dtype == torch.float32
        torch.testing.assert_close(views[name], expected, atol=1e-5, rtol=1e-5)
        assert not views[name][~present[name]].any()
        assert present[name].tolist() == feature.present[rows].tolist()
    assert not all(present[name].all() for name in names)


SETTINGS = FitSettings(epochs=8, learning_rate=1e-2, narrow=1, modality_dropout=0, auxiliary=0)
"""With the weak signal of `sealed`, one feature less is felt: nothing is right everywhere."""


def run(table, folder, processes=1, settings=SETTINGS, strategies=(STRATEGY,), seeds=1):
    return fuse(table, strategies, Runs(folder), settings, seeds=seeds, processes=processes)


def test_a_streamed_head_learns_and_predicts_as_in_memory(sealed, tmp_path):
    made, cache = sealed
    with cache.stream() as stream:
        (streamed,) = run(stream.table(), tmp_path / "disk")
    (held,) = run(cache.table(), tmp_path / "memory")
    labels = made.labels[made.rows("test")]
    for found in (streamed, held):
        assert (found.probabilities["test"].argmax(1) == labels).mean() > 0.8
        assert found.controls["without image"]["test"]["macro_f1"] < found.scores["test"]["macro_f1"]
        assert found.controls["shuffled image"]["test"]["macro_f1"] < found.scores["test"]["macro_f1"]
    assert streamed.key != held.key
    assert streamed.scores["fit"]["macro_f1"] == pytest.approx(held.scores["fit"]["macro_f1"], abs=0.05)


def test_the_head_that_was_streamed_predicts_what_it_stored(sealed, tmp_path):
    made, cache = sealed
    with cache.stream() as stream:
        (found,) = run(stream.table(), tmp_path)
    head = load(Runs(tmp_path).path(STRATEGY.name, 1))
    np.testing.assert_allclose(head.probabilities(made.features)[made.rows("test")], found.probabilities["test"], atol=1e-3)


def test_features_that_were_not_asked_for_are_not_read(sealed):
    made, cache = sealed
    name = sorted(made.features)[0]
    with cache.stream() as stream:
        labels, vectors, present = next(stream.batches(made.rows("train"), 50, features=[name]))
    assert set(vectors) == set(present) == {name}
    np.testing.assert_array_equal(vectors[name], made.features[name].embedding[made.rows("train")[:50]].astype(np.float32))
    np.testing.assert_array_equal(labels, made.labels[made.rows("train")[:50]])


def test_a_streamed_tables_embeddings_are_nothing_that_could_be_mistaken_for_vectors(sealed):
    made, cache = sealed
    with cache.stream() as stream:
        table = stream.table()
        for name, feature in made.features.items():
            assert table.features[name].embedding.shape == feature.embedding.shape
            assert np.isnan(table.features[name].embedding).all()
            np.testing.assert_array_equal(table.features[name].logits, feature.logits)


def test_workers_stream_for_themselves(sealed, tmp_path, monkeypatch):
    _, cache = sealed
    monkeypatch.setattr("fusecat.stages.fusion.parallel.WORTH_SPREADING", 0.0)
    strategies = [Strategy.parse("baseline/addition"), STRATEGY]
    found = []
    for processes in (1, 2):
        with cache.stream() as stream:
            settings = replace(SETTINGS, epochs=2)
            found.append(run(stream.table(), tmp_path / str(processes), processes, settings, strategies, seeds=2))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one.probabilities["test"], two.probabilities["test"])


def test_what_needs_single_rows_is_refused(sealed, tmp_path):
    _, cache = sealed
    with cache.stream() as stream, pytest.raises(UsageError, match="class weights instead"):
        run(stream.table(), tmp_path, settings=FitSettings(balanced_batches=True))
