"""Memory: how an optimiser step is made to fit into it, and how much of it work took."""

import dataclasses
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from fusecat.cache.records import damaged, read_record
from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.networks import ImageNetwork, TextNetwork
from fusecat.stages.extraction.progress import Progress

Result = TypeVar("Result")


@dataclass(frozen=True)
class MemoryPlan:
    """What is given up for memory: first time, then the size of batches. The optimiser step stays the same."""

    gradient_checkpointing: bool = False
    """Activations are computed again in the backward pass instead of kept (Chen et al. 2016), where the network can."""
    batches_per_step: int = 1
    """Into how many batches a step is cut."""

    def reduced(self, *, recomputes: bool, batch: int) -> "MemoryPlan | None":
        """The next thing to give up; None where nothing is left. `recomputes`: whether the network can do so."""
        if recomputes and not self.gradient_checkpointing:
            return dataclasses.replace(self, gradient_checkpointing=True)
        if self.batches_per_step * 2 <= batch:
            return dataclasses.replace(self, batches_per_step=self.batches_per_step * 2)
        return None

    def __str__(self) -> str:
        means = ["gradient checkpointing"] if self.gradient_checkpointing else []
        means += [f"{self.batches_per_step} smaller batches per step"] if self.batches_per_step > 1 else []
        return " and ".join(means)


def read_memory_plan(path: Path, first: MemoryPlan) -> MemoryPlan:
    """What an earlier run had to give up, else `first`."""
    if not path.exists():
        return first
    way_out = f"remove {path.parent}, then run 'fusecat extract' again"
    try:
        return MemoryPlan(**read_record(path, way_out))
    except TypeError as error:
        raise damaged(path, str(error), way_out) from error


def retry_on_oom(
    build: Callable[[], TextNetwork | ImageNetwork],
    attempt: Callable[[TextNetwork | ImageNetwork, MemoryPlan], Result],
    memory_plan: MemoryPlan,
    batch: int,
    on_retry: Callable[[MemoryPlan], None],
) -> tuple[TextNetwork | ImageNetwork, Result, MemoryPlan]:
    """Attempt it with a network fresh from `build`, and again with a reduced memory plan each time a device's memory runs out.

    `batch`: products per step. `on_retry` is told before each new attempt.

    Raises: torch.OutOfMemoryError where nothing is left to give up, and with several processes.
    """
    while True:
        network = build()
        try:
            return network, attempt(network, memory_plan), memory_plan
        except torch.OutOfMemoryError:
            reduced = memory_plan.reduced(recomputes=network.recompute(), batch=batch)
            # The other processes wait in the middle of a step: nothing but a new start helps them.
            if reduced is None or processes().num_processes > 1:
                raise
        del network
        memory_plan = reduced
        on_retry(memory_plan)
        gc.collect()
        torch.cuda.empty_cache()


class Peak:
    """Passes progress on and looks at the memory of this process (and its device) at each step: bytes, the largest so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._process = psutil.Process()
        self._most = 0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._look()

    def __call__(self, feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        """See `stages.extraction.progress`."""
        self._look()
        self._progress(feature, phase, done, total, note)

    def _look(self) -> None:
        self._most = max(self._most, self._process.memory_info().rss)

    @property
    def process(self) -> int:
        """Resident bytes of this process: worker processes are others."""
        self._look()
        return self._most

    @property
    def device(self) -> int:
        """Bytes of tensors on the GPU; 0 without one."""
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
