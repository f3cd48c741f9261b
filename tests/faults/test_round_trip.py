"""Rows of any shape, type and text come back exactly, and sealed twice they give the same bytes."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fusecat.cache.store import FeatureCache, Rows

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
LARGE = 65_504.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # nothing here is about disks, and fsync is slow


@st.composite
def studies(draw):
    count = draw(st.integers(1, 40))
    ids = draw(st.lists(TEXTS, min_size=count, max_size=count, unique=True))
    classes = tuple(draw(st.lists(TEXTS, max_size=4, unique=True)))
    labels = draw(st.lists(st.integers(-1, len(classes) - 1), min_size=count, max_size=count))
    split = draw(st.lists(st.sampled_from([0, 1, 2, 3, 255]), min_size=count, max_size=count))
    rows = Rows(ids, np.array(labels), np.array(split), classes, ("train", "head", "validation", "test"))
    width = draw(st.integers(1, 9))
    largest = draw(st.sampled_from([1.0, LARGE, 2.0**100]))
    values = st.floats(-largest, largest, width=32)
    embedding = draw(arrays(np.float32, (count, width), elements=values))
    logits = None
    if classes and draw(st.booleans()):
        logits = draw(arrays(np.float32, (count, len(classes)), elements=values))
    present = draw(arrays(bool, count))
    options = {
        "block": draw(st.integers(-(-count // 5), 50)),
        "dtype": draw(st.sampled_from(["float16", "float32"])),
        "recipe": draw(st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans(), st.none()), max_size=3)),
        "fitted_on": draw(st.one_of(st.none(), st.lists(st.sampled_from(["train", "head"]), unique=True))),
    }
    return rows, (embedding, logits, present), options


def round_trip(study) -> None:
    rows, (embedding, logits, present), options = study
    images = []
    for block in (options["block"], 256):
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            cache = FeatureCache(Path(folder))
            writer = cache.writer("a.title", options["recipe"], rows, block=block)
            for number, of in reversed(list(writer.missing())):
                cut = slice(of.start, of.stop)
                writer.put(number, embedding[cut], None if logits is None else logits[cut], present[cut])
            path = writer.seal(weights="w", fitted_on=options["fitted_on"], versions={"a": "1"}, dtype=options["dtype"])
            images.append(path.read_bytes())
            table, recipe = cache.table(), cache.recipe("a.title")
            assert cache.holds("a.title", options["recipe"])
    assert images[0] == images[1]
    feature = table.features["a.title"]
    masked = np.where(present[:, None], embedding, np.float32(0))
    half = options["dtype"] == "float16" and np.abs(masked).max() <= LARGE
    assert feature.embedding.dtype == (np.float16 if half else np.float32)
    assert np.array_equal(feature.embedding, masked.astype(feature.embedding.dtype))
    assert (feature.logits is None) == (logits is None)
    assert logits is None or np.array_equal(feature.logits, np.where(present[:, None], logits, 0))
    assert list(table.ids) == list(rows.ids)
    assert np.array_equal(table.labels, rows.labels) and np.array_equal(table.split, rows.split)
    assert np.array_equal(feature.present, present)
    assert table.classes == rows.classes and recipe == options["recipe"]
    assert feature.fitted_on == (None if options["fitted_on"] is None else tuple(options["fitted_on"]))


@given(studies())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_goes_in_comes_out(study):
    round_trip(study)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(studies())
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_goes_in_comes_out_2000_times(study):
    round_trip(study)
