"""Requests that come together are answered together: one thread owns the model, a bounded queue stands before it."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

Records = list[dict[str, Any]]
TOP = 100
"""Most codes of an answer."""


class Overloaded(Exception):
    """More work waits than was agreed."""


@dataclass(frozen=True)
class _Job:
    products: Sequence[Any]
    size: int
    reasons: bool
    answer: "Future[Records]" = field(default_factory=Future)


class Batcher:
    """Collects products of several requests and asks the model once.

    `ask`: products, reasons -> one record per product. `most`: products of one batch. `patience`: seconds that a first request
    waits for others. `places`, `room`: products and bytes that may wait; beyond them a request is turned away at once.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Any], bool], Records],
        *,
        most: int = 64,
        patience: float = 0.005,
        places: int = 1024,
        room: int = 256 * 1024**2,
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._ask, self._most, self._patience, self._told = ask, most, patience, told
        self._places, self._room, self._lock = places, room, threading.Lock()
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self.waiting, self._bytes = 0, 0
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, products: Sequence[Any], size: int, *, reasons: bool) -> "Future[Records]":
        """The promise of one record per product. `size`: bytes that they take. Raises Overloaded."""
        with self._lock:
            # one request may always wait, however large it is
            if self.waiting and (self.waiting + len(products) > self._places or self._bytes + size > self._room):
                raise Overloaded
            self.waiting += len(products)
            self._bytes += size
            job = _Job(products, size, reasons)
            self._jobs.put(job)
        return job.answer

    def close(self) -> None:
        """Answer what waits, then stop."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        job = self._jobs.get()
        while job is not None:
            jobs, job = self._together(job)
            with self._lock:
                self.waiting -= sum(len(each.products) for each in jobs)
                self._bytes -= sum(each.size for each in jobs)
            kept = [each for each in jobs if each.answer.set_running_or_notify_cancel()]
            if kept:
                self._told(sum(len(each.products) for each in kept))
                self._answer(kept)
            job = job or self._jobs.get()

    def _together(self, first: _Job) -> tuple[list[_Job], Any]:
        """Jobs of one batch, and the one that no longer fitted, if there was one; None ends it all."""
        jobs, count = [first], len(first.products)
        while count < self._most:
            try:
                more = self._jobs.get(timeout=self._patience)
            except queue.Empty:
                break
            if more is None:
                self._jobs.put(None)
                break
            if more.reasons != first.reasons or count + len(more.products) > self._most:
                return jobs, more
            jobs.append(more)
            count += len(more.products)
        return jobs, None

    def _answer(self, jobs: Sequence[_Job]) -> None:
        try:
            records = self._ask([product for each in jobs for product in each.products], jobs[0].reasons)
        except Exception as error:  # whatever it is, it belongs to who asked, and the next one is answered
            if len(jobs) > 1:
                for each in jobs:
                    self._answer([each])
            else:
                jobs[0].answer.set_exception(error)
            return
        start = 0
        for each in jobs:
            each.answer.set_result(records[start : start + len(each.products)])
            start += len(each.products)
