"""Many processes at one workspace: one computes, the others wait or reuse; a reader sees the old file or the new one."""

import multiprocessing
import threading
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from fusecat.cache.errors import BusyFeature
from fusecat.cache.store import FeatureCache
from fusecat.cache.verify import verify
from tests.faults.writer import FEATURE, made_up, study, write

FORK = multiprocessing.get_context("spawn")
ROWS = 100


def rounds(folder: Path, count: int, barrier: Barrier, computed: "multiprocessing.Queue[int]") -> None:
    for number in range(count):
        barrier.wait()
        computed.put(write(folder, ROWS, seed=number))
        table = FeatureCache(folder).table()
        vectors, _, present = made_up(range(ROWS), number)
        assert np.array_equal(table.features[FEATURE].embedding, np.where(present[:, None], vectors, 0).astype("f2"))
        barrier.wait()


@pytest.mark.parametrize(("processes", "count"), [(3, 4), pytest.param(8, 20, marks=pytest.mark.slow)])
def test_one_computes_and_the_others_reuse(tmp_path, processes, count):
    barrier, computed = FORK.Barrier(processes), FORK.Queue()
    crowd = [FORK.Process(target=rounds, args=(tmp_path, count, barrier, computed)) for _ in range(processes)]
    for process in crowd:
        process.start()
    found = [computed.get(timeout=120) for _ in range(processes * count)]
    for process in crowd:
        process.join(60)
        assert process.exitcode == 0
    blocks = -(-ROWS // 16)
    assert sorted(found) == [0] * (processes - 1) * count + [blocks] * count
    assert list(verify(tmp_path)) == []


def hold(folder: Path, held: "multiprocessing.Queue[bool]") -> None:
    with FeatureCache(folder).lock(FEATURE):
        held.put(True)
        time.sleep(600)


def test_who_does_not_want_to_wait_is_told_and_a_dead_writer_gives_way(tmp_path):
    held, waited = FORK.Queue(), threading.Event()
    holder = FORK.Process(target=hold, args=(tmp_path, held))
    holder.start()
    held.get(timeout=60)
    cache = FeatureCache(tmp_path)
    with pytest.raises(BusyFeature, match="is being written by another process"), cache.lock(FEATURE, wait=False):
        pass
    threading.Thread(target=lambda: (waited.wait(60), holder.kill())).start()
    with cache.lock(FEATURE, waiting=waited.set):
        assert waited.is_set()
    holder.join()


def publish(folder: Path, count: int) -> None:
    for number in range(count):
        cache, recipe = FeatureCache(folder), {"seed": number % 2}
        writer = cache.writer(FEATURE, recipe, study(ROWS), block=ROWS)
        writer.put(0, *made_up(range(ROWS), number % 2))
        writer.seal(weights="", fitted_on=[], versions={})


@pytest.mark.parametrize("count", [25, pytest.param(500, marks=pytest.mark.slow)])
def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path, count):
    publish(tmp_path, 1)
    expected = []
    for seed in (0, 1):
        vectors, _, present = made_up(range(ROWS), seed)
        expected.append(np.where(present[:, None], vectors, 0).astype("f2"))
    publisher, seen = FORK.Process(target=publish, args=(tmp_path, count)), set()
    publisher.start()
    cache, reads = FeatureCache(tmp_path), 0
    while publisher.is_alive() or not reads:
        found = cache.table().features[FEATURE].embedding
        seen |= {seed for seed in (0, 1) if np.array_equal(found, expected[seed])} or {"neither"}
        with cache.stream() as stream:
            _, vectors, _ = next(stream.batches(np.arange(ROWS), ROWS))
        assert any(np.array_equal(vectors[FEATURE], expected[seed].astype("f4")) for seed in (0, 1))
        reads += 1
    publisher.join()
    assert publisher.exitcode == 0
    assert seen == {0, 1} and reads > 1
    assert list(verify(tmp_path)) == []
