"""Laws of the stream: each row once, with its own label, whatever the window; the order a pure function of the seed."""

import os
import sys
import threading

import numpy as np
import pytest

from fusecat.cache.errors import DamagedFeature, MismatchedFeatures
from fusecat.cache.stream import FeatureStream, _windows
from tests.cache.study import study_rows, study_vectors, write_feature

COUNT = 3000
WIDTHS = {"a.title": 24, "b.image": 5}


@pytest.fixture
def features(cache):
    rows = study_rows(COUNT)
    for number, (name, width) in enumerate(WIDTHS.items()):
        embedding, logits, present = study_vectors(COUNT, width, seed=number)
        embedding[:, 0] = np.arange(COUNT) / 4  # the row's number, exact in float32
        present[:] = True
        present[number::10] = False
        write_feature(cache, name, rows, vectors=(embedding, logits, present), dtype="float32")
    return cache


def numbers(batches):
    return np.concatenate([(vectors["a.title"][:, 0] * 4).round().astype(int) for _, vectors, _ in batches])


@pytest.mark.parametrize("window", [1, 256 * 29 * 4 * 3, 2**28])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("size", [1000, 64, 1])
def test_every_row_comes_once_with_what_belongs_to_it(features, window, seed, size):
    table = features.table()
    wanted = table.rows("train", "validation")
    with features.stream() as stream:
        assert np.array_equal(stream.table().rows("train", "validation"), wanted)
        batches = list(stream.batches(wanted, size, seed=seed, window=window))
    assert [len(labels) for labels, _, _ in batches[:-1]] == [size] * (len(batches) - 1)
    found = {name: np.concatenate([vectors[name] for _, vectors, _ in batches]) for name in WIDTHS}
    present = {name: np.concatenate([present[name] for _, _, present in batches]) for name in WIDTHS}
    labels = np.concatenate([labels for labels, _, _ in batches])
    # The row's number stands in column 0 of whichever feature the product has.
    order = np.where(present["a.title"], found["a.title"][:, 0], found["b.image"][:, 0])
    order = (order * 4).round().astype(int)
    assert np.array_equal(np.sort(order), wanted)
    assert (np.array_equal(order, wanted)) == (seed is None)
    assert np.array_equal(labels, table.labels[order])
    for name in WIDTHS:
        assert np.array_equal(found[name], table.features[name].embedding[order])
        assert np.array_equal(present[name], table.features[name].present[order])


def test_the_order_is_a_function_of_the_seed(features):
    with features.stream(["a.title"]) as stream:
        rows = np.arange(COUNT)
        one, again, other = (numbers(stream.batches(rows, 100, seed=seed, window=60_000)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_two_readings_at_once_do_not_disturb_each_other(features):
    """An epoch may pause for a look at validation."""
    with features.stream() as stream:
        rows = np.arange(COUNT)
        alone = [numbers([batch]) for batch in stream.batches(rows, 100, seed=1, window=100_000)]
        together = []
        for batch in stream.batches(rows, 100, seed=1, window=100_000):
            list(stream.batches(rows[:500], 64, window=50_000))
            together.append(numbers([batch]))
    assert all(np.array_equal(one, two) for one, two in zip(alone, together, strict=True))


@pytest.mark.parametrize(("count", "held"), [(1, 1), (10, 3), (100, 7), (7, 100), (12, 4), (5, 1)])
def test_windows_part_the_pieces_and_take_from_everywhere(count, held):
    windows = _windows(count, held, np.random.default_rng(0))
    assert sorted(np.concatenate(windows).tolist()) == list(range(count))
    assert all(0 < len(window) <= held and (np.diff(window) > 0).all() for window in windows)
    stretch = -(-count // held)
    for window in windows:  # never two of one stretch
        assert len(set((window // stretch).tolist())) == len(window)
    again, other = (_windows(count, held, np.random.default_rng(seed)) for seed in (0, 1))
    assert [window.tolist() for window in again] == [window.tolist() for window in windows]
    assert len(windows) < 3 or [window.tolist() for window in other] != [window.tolist() for window in windows]
    assert np.array_equal(np.concatenate(_windows(count, held, None)), np.arange(count))


def test_a_window_mixes_pieces_from_everywhere(features):
    """Rows in class order must not arrive in class order: the first batch holds rows of many pieces."""
    with features.stream(["b.image"]) as stream:
        _, vectors, _ = next(iter(stream.batches(np.arange(COUNT), 100, seed=0, window=256 * 5 * 4 * 6)))
    assert len(set((vectors["b.image"][:, 0] * 4 // 256).astype(int))) >= 5


def test_a_piece_that_was_changed_is_met_before_it_is_used(features):
    path = features.path("b.image")
    data = bytearray(path.read_bytes())
    value = np.float32(2000 / 4).tobytes()  # row 2000 lies in piece 7
    data[data.index(value) + 2] ^= 1
    path.write_bytes(data)
    with features.stream() as stream:
        next(iter(stream.batches(np.arange(256), 256, window=1)))
        with pytest.raises(DamagedFeature, match=r"b.image.h5 is damaged"):
            list(stream.batches(np.arange(COUNT), 256, window=1))


def rooms(stream):
    return {id(space) for room in stream._spare for space in room.values()}


def test_room_of_features_that_are_read_one_after_the_other_does_not_add_up(features):
    """Alone, a feature gets the whole window: probes of seven features must not hold seven of them."""
    with features.stream() as stream:
        for names in (["a.title"], ["b.image"], list(WIDTHS), ["b.image"]):
            list(stream.batches(np.arange(COUNT), 100, features=names, window=60_000))
            assert [list(room) for room in stream._spare] == [names, names]
            held = sum(space.nbytes for room in stream._spare for space in room.values())
            assert held <= 2 * (60_000 + 256 * 29 * 4)


def test_room_is_used_again_by_the_next_pass_and_holds_nothing_of_the_last(features):
    rows = np.arange(COUNT)
    with features.stream() as stream:
        made = [numbers(stream.batches(rows, 100, seed=seed, window=100_000)) for seed in (1, 2)]
        kept = rooms(stream)
        made += [numbers(stream.batches(rows[::7], 100, seed=seed, window=100_000)) for seed in (1, 2)]
        assert rooms(stream) == kept
        assert len(kept) == 2 * len(WIDTHS)
    with features.stream() as stream:
        fresh = numbers(stream.batches(rows[::7], 100, seed=2, window=100_000))
    assert np.array_equal(made[-1], fresh)


def test_a_stream_that_is_left_in_the_middle_reads_on_properly(features):
    rows = np.arange(COUNT)
    with features.stream() as stream:
        whole = numbers(stream.batches(rows, 100, seed=1, window=100_000))
        for _ in range(5):
            next(stream.batches(rows, 100, seed=3, window=100_000))
        assert np.array_equal(numbers(stream.batches(rows, 100, seed=1, window=100_000)), whole)


def test_a_stream_refuses_what_a_table_refuses(features):
    write_feature(features, "c.title", study_rows(COUNT, labels=np.zeros(COUNT, int)))
    with pytest.raises(MismatchedFeatures, match=r"a.title and c.title"):
        features.stream()
    with pytest.raises(ValueError, match="at least one"):
        FeatureStream({})


@pytest.mark.parametrize("rows", [np.array([2999, 0, 7, 7, 256]), np.arange(COUNT) % 5 == 0, slice(250, 300), np.empty(0, int)])
def test_logits_of_a_stream_are_read_when_rows_of_them_are_asked_for(features, rows):
    expected = features.table().features["a.title"].logits
    with features.stream() as stream:
        logits = stream.table().features["a.title"].logits
        assert not isinstance(logits, np.ndarray)
        assert np.array_equal(logits[rows], expected[rows])
        assert np.array_equal(np.asarray(logits), expected)


def test_logits_that_were_changed_are_met_when_they_are_read(features):
    path = features.path("a.title")
    data = bytearray(path.read_bytes())
    feature = features.table().features["a.title"]
    row = np.flatnonzero(feature.present)[2000]  # the logits of absent products are zero, and so is much else in a file
    data[data.index(feature.logits[row].tobytes()) + 2] ^= 1
    path.write_bytes(data)
    with features.stream() as stream, pytest.raises(DamagedFeature, match=r"a.title.h5 is damaged"):
        stream.table().features["a.title"].logits[np.arange(3)]


def test_after_the_first_reading_of_logits_only_the_pieces_of_the_rows_are_read(features):
    with features.stream() as stream:
        logits = stream.table().features["a.title"].logits
        expected = np.asarray(logits)
        read = []
        raw = logits._file.raw
        logits._file.raw = lambda name, rows: read.append(rows.start) or raw(name, rows)
        rows = np.array([700, 3, 701, 2])
        assert np.array_equal(logits[rows], expected[rows])
        assert read == [0, 512]
        logits._file.raw = lambda name, rows: raw(name, rows) + 1
        with pytest.raises(DamagedFeature, match="'logits' from row 512 on"):
            logits[rows[:1]]


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of single threads are Linux's")
def test_readers_give_way_to_whoever_computes(features):
    with features.stream() as stream:
        list(stream.batches(np.arange(COUNT), 100))
        nice = stream._readers.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
        assert nice == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)


def test_a_piece_that_changes_between_two_epochs_is_met(features):
    """The second reading does not trust the first."""
    path = features.path("b.image")
    with features.stream(["b.image"]) as stream:
        assert len(list(stream.batches(np.arange(COUNT), COUNT))) == 1
        data = bytearray(path.read_bytes())
        data[data.index(np.float32(2000 / 4).tobytes()) + 2] ^= 1
        with path.open("r+b") as file:
            file.write(data)
        with pytest.raises(DamagedFeature, match=r"from row 1792 on is not what was sealed"):
            list(stream.batches(np.arange(COUNT), 256))


def test_the_next_window_is_announced_where_its_bytes_lie(features, monkeypatch):
    told = []
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, offset, size, advice: told.append((offset, size, advice)))
    data = features.path("b.image").read_bytes()
    expected = features.table(["b.image"]).features["b.image"].embedding
    with features.stream(["b.image"]) as stream:
        list(stream.batches(np.arange(COUNT), 256, window=1))
    assert len(told) == COUNT // 256 + 1
    for number, (offset, size, advice) in enumerate(told):
        piece = expected[number * 256 : number * 256 + 256].tobytes()
        assert data[offset : offset + len(piece)] == piece and size == 256 * 5 * 4 + 4
        assert advice == os.POSIX_FADV_WILLNEED
