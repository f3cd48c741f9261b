"""Laws of the store: what was put comes back, nothing else does, and nobody is told that something fits when it does not."""

import hashlib
import threading

import h5py
import numpy as np
import pytest

from fusecat.cache.errors import BusyFeature, CacheError, MismatchedFeatures, MissingFeature, UnusableVectors
from fusecat.cache.store import FeatureCache
from tests.cache.study import study_rows, study_vectors, write_feature


def test_what_was_put_comes_back(cache, rows):
    embedding, logits, present = study_vectors(700)
    write_feature(cache, "camembert.title", rows)
    table = cache.table()
    feature = table.features["camembert.title"]
    assert list(table.ids) == list(rows.ids)
    assert np.array_equal(table.labels, rows.labels) and np.array_equal(table.split, rows.split)
    assert (table.classes, table.parts) == (rows.classes, rows.parts)
    assert np.array_equal(feature.embedding, np.where(present[:, None], embedding, 0).astype(np.float16))
    assert np.array_equal(feature.logits, np.where(present[:, None], logits, 0))
    assert np.array_equal(feature.present, present)
    assert feature.fitted_on == ("train",)
    assert not feature.embedding.flags.writeable


def test_the_bytes_depend_on_the_rows_alone(cache, rows, tmp_path):
    one = write_feature(cache, "a.title", rows, block=256).read_bytes()
    two = write_feature(FeatureCache(tmp_path / "other"), "a.title", rows, block=100).read_bytes()
    assert one == two


def test_a_second_process_finds_the_blocks_of_the_first(cache, rows):
    embedding, logits, present = study_vectors(700)
    recipe = {"network": "a"}
    writer = cache.writer("a.title", recipe, rows, block=100)
    assert [number for number, _ in writer.missing()] == list(range(7))
    for number, of in list(writer.missing())[::2]:
        writer.put(number, embedding[of], logits[of], present[of])
    again = FeatureCache(cache.folder).writer("a.title", recipe, rows, block=100)
    assert [number for number, _ in again.missing()] == [1, 3, 5]
    with pytest.raises(ValueError, match="3 of 7 blocks are missing"):
        again.seal(weights="", fitted_on=(), versions={})


@pytest.mark.parametrize("change", ["recipe", "rows", "block", "weights"])
def test_blocks_made_from_something_else_are_not_found(cache, rows, change):
    arguments = {"recipe": {"seed": 1}, "rows": rows, "block": 100, "weights": "w"}
    writer = cache.writer("a.title", **arguments)
    embedding, logits, present = study_vectors(700)
    writer.put(0, embedding[:100], logits[:100], present[:100])
    other = {"recipe": {"seed": 2}, "rows": study_rows(700, classes=("10", "1140", "jeux")), "block": 101, "weights": "v"}
    assert len(list(cache.writer("a.title", **arguments).missing())) == 6
    assert len(list(cache.writer("a.title", **(arguments | {change: other[change]})).missing())) == 7


def test_nothing_is_left_over_after_sealing(cache, rows):
    path = write_feature(cache, "a.title", rows)
    visible = sorted(file.name for file in cache.folder.iterdir() if not file.name.startswith("."))
    assert visible == ["a.title.h5", "a.title.h5.sha256"]
    stated, name = (cache.folder / "a.title.h5.sha256").read_text().split()
    assert (stated, name) == (hashlib.sha256(path.read_bytes()).hexdigest(), "a.title.h5")


def test_the_verdict_names_what_changed(cache, rows):
    recipe = {"network": "camembert", "settings": {"max_length": 128, "seed": 1}, "texts": "abc"}
    assert cache.explain("a.title", recipe).state == "missing"
    write_feature(cache, "a.title", rows, recipe)
    assert cache.explain("a.title", recipe).state == "hit" and cache.holds("a.title", recipe)
    other = {"network": "camembert", "settings": {"max_length": 256, "seed": 1}, "pooling": "mean"}
    verdict = cache.explain("a.title", other)
    assert (verdict.state, verdict.changed) == ("stale", ("pooling", "settings.max_length", "texts"))
    assert not cache.holds("a.title", other)
    assert cache.recipe("a.title") == recipe


def test_a_value_beyond_float16_makes_the_file_float32(cache, rows):
    embedding, logits, present = study_vectors(700)
    embedding[699, 3], present[699] = 70000, True
    write_feature(cache, "a.title", rows, vectors=(embedding, logits, present))
    stored = cache.table().features["a.title"].embedding
    assert stored.dtype == np.float32
    assert np.array_equal(stored, np.where(present[:, None], embedding, 0))


def test_float32_is_kept_by_choice(cache, rows):
    write_feature(cache, "a.title", rows, dtype="float32")
    embedding, _, present = study_vectors(700)
    assert np.array_equal(cache.table().features["a.title"].embedding, np.where(present[:, None], embedding, 0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_network_that_diverged_is_not_stored(cache, rows, value):
    embedding, logits, present = study_vectors(700)
    embedding[5, 0], present[5] = value, True
    with pytest.raises(UnusableVectors, match="product 'é5' holds NaN or infinity"):
        write_feature(cache, "a.title", rows, vectors=(embedding, logits, present))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"ids": [f"é{number}" for number in range(699)] + ["x"]},
            "the product id of row 699 is 'é699' in one and 'x' in the other",
        ),
        ({"labels": np.zeros(700, int)}, "the label of row"),
        ({"split": np.zeros(700, int)}, "the part of the split of row"),
        ({"classes": ("10", "1140", "jeux")}, "their classes differ .3 and 3; not in both: jeux, jeux vidéo"),
    ],
)
def test_features_of_different_products_are_refused_naming_both(cache, rows, change, words):
    write_feature(cache, "a.title", rows)
    write_feature(cache, "b.image", study_rows(700, **change))
    with pytest.raises(MismatchedFeatures, match=f"a.title and b.image cannot be fused: {words}"):
        cache.table()
    assert set(cache.table(["b.image"]).features) == {"b.image"}


def test_a_missing_feature_is_named_with_those_that_are_there(cache, rows):
    with pytest.raises(MissingFeature, match="holds no features"):
        cache.table()
    write_feature(cache, "a.title", rows)
    with pytest.raises(MissingFeature, match=r"b.image.h5 does not exist \(features there: a.title\)"):
        cache.table(["a.title", "b.image"])


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".a", "a\nb", "a b"])
def test_a_name_that_is_no_file_name_is_refused(cache, name):
    with pytest.raises(CacheError, match="cannot be the name of a feature"):
        cache.path(name)


def test_one_writer_at_a_time(cache):
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with cache.lock("a.title"):
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(10)
    with pytest.raises(BusyFeature, match="being written by another process"), cache.lock("a.title", wait=False):
        pass
    with cache.lock("b.title", wait=False):
        leave.set()
    with cache.lock("a.title"), cache.lock("a.title"):  # the same thread may nest it
        holder.join()


def test_a_file_that_is_open_elsewhere_can_be_read(cache, rows):
    path = write_feature(cache, "a.title", rows)
    with h5py.File(path) as ordinary:
        assert len(cache.table().ids) == len(ordinary["product_id"])
