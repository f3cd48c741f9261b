"""Ways of doing the same work, in turns, by the clock and by processor time."""

import hashlib
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Seconds = dict[str, tuple[float, float]]
"""Way -> seconds by the clock, and of processor time, that of ended children included: on a busy machine trust the second."""

BYTES = bytes(1 << 26)


def processor() -> float:
    """Seconds of processor time of this process and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> Seconds:
    """Median seconds of each way."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start, spent = time.perf_counter(), processor()
            way()
            found[name].append((time.perf_counter() - start, processor() - spent))
    return medians(found)


def medians(found: dict[str, list[tuple[float, float]]]) -> Seconds:
    return {name: tuple(map(statistics.median, zip(*values, strict=True))) for name, values in found.items()}  # type: ignore[misc]


def show(seconds: Seconds, count: int, ours: str, unit: str) -> None:
    for name, (clock, spent) in seconds.items():
        by_clock, by_processor = clock / seconds[ours][0], spent / seconds[ours][1]
        print(f"{name:40} {count / clock:8.2f} {unit}/s, ours {by_clock:.2f}x (clock) {by_processor:.2f}x (processor)")


def free_cores() -> dict[str, Callable[[], object]]:
    """Two ways of the same pure arithmetic: what a second thread gives on this machine at this moment, whatever the work."""

    def spin(threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: hashlib.sha256(BYTES).digest(), range(16)))

    return {"hashing, one": lambda: spin(1), "hashing, two": lambda: spin(2)}


def show_gain(seconds: Seconds, one: str, two: str) -> None:
    """How much faster two workers are than one, beside the bounds that the machine's load and their own processor time set."""
    gain, machine = (seconds[first][0] / seconds[second][0] for first, second in ((one, two), ("hashing, one", "hashing, two")))
    work = seconds[two][1] / seconds[one][1]
    print(f"{two}: {gain:.2f}x {one} by the clock, while hashing on two threads gained {machine:.2f}x;")
    print(f"  processor time {work:.2f}x, so {2 / work:.2f}x at most on two free cores")
