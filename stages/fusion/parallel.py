"""Many independent runs over the processes of one machine: the same bytes however many there are.

Each run is computed by one thread and writes its own folder, so it does not depend on its neighbours. joblib's workers map
the vectors from plain .npy files; under `joblib.parallel_config(backend="dask")` those are a cluster's.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import cast

import torch
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from fusecat.cache.space import forecast
from fusecat.stages.errors import ModelError
from fusecat.stages.fusion.batched import fit_seeds
from fusecat.stages.fusion.fit import Fitted
from fusecat.stages.fusion.fit_data import FitData
from fusecat.stages.fusion.in_memory import Vectors
from fusecat.stages.fusion.run_strategy import run_strategy
from fusecat.stages.fusion.runs import Job, Run, Runs
from fusecat.stages.progress import end_soon, phase, scratch

WORTH_SPREADING = 8.0
"""Seconds of work left over which starting workers (about 4 s for torch) pays."""


def do(job: Job, fit_data: FitData, runs: Runs, fitted: Fitted | None = None) -> Run:
    """Do one run and store it, what it has learnt first."""
    run, learnt = run_strategy(job, fit_data, fitted)
    run = replace(run, settings={**run.settings, "vectors": job.vectors})
    folder = runs.path(run.strategy, run.seed)
    (folder / "run.json").unlink(missing_ok=True)
    learnt.save(folder)
    runs.write(run)
    return run


def run_jobs(jobs: Sequence[Job], fit_data: FitData, runs: Runs, *, processes: int) -> Iterator[tuple[Job, Run]]:
    """Do all jobs and yield each as it is finished; what is yielded is stored already.

    Where there is a GPU, all seeds of a strategy are fitted there at once. Otherwise the first jobs are done here; once their
    pace says that workers pay, the rest goes to `processes` of them.
    """
    if torch.cuda.is_available() and isinstance(fit_data.vectors, Vectors):
        yield from by_seed(jobs, fit_data, runs, torch.device("cuda"))
        return
    start = time.perf_counter()
    for done, job in enumerate(jobs):
        pace = (time.perf_counter() - start) / done if done else 0.0
        if processes > 1 and pace * (len(jobs) - done) > WORTH_SPREADING:
            yield from _spread(jobs[done:], fit_data, runs, min(processes, len(jobs) - done))
            return
        with phase(f"{job.strategy.name}, seed {job.seed}: fitting, run {done + 1} of {len(jobs)}"):
            run = do(job, fit_data, runs)
        yield job, run


def by_seed(jobs: Sequence[Job], fit_data: FitData, runs: Runs, device: torch.device) -> Iterator[tuple[Job, Run]]:
    """Fit all waiting seeds of a strategy at once on `device`, then score and store each."""
    for (strategy, settings), group in groupby(jobs, key=lambda job: (job.strategy, job.settings)):
        several = list(group)
        fitted: list[Fitted | None] = [None] * len(several)
        if strategy.learned:
            build, vectors = fit_data.head_of(strategy, settings)
            with phase(f"{strategy.name}: fitting {len(several)} seeds"):
                fitted[:] = fit_seeds(
                    build,
                    cast("Vectors", vectors),
                    fit_data.labels,
                    fit_data.rows["fit"],
                    fit_data.rows["validation"],
                    settings,
                    metric=several[0].metric,
                    seeds=[job.seed for job in several],
                    device=device,
                )
        for job, head in zip(several, fitted, strict=True):
            with phase(f"{strategy.name}, seed {job.seed}: predicting"):
                run = do(job, fit_data, runs, head)
            yield job, run


def _spread(jobs: Sequence[Job], fit_data: FitData, runs: Runs, processes: int) -> Iterator[tuple[Job, Run]]:
    with phase(f"fitting {len(jobs)} runs in {processes} processes") as now, scratch() as folder:
        forecast(folder, fit_data.nbytes)
        fit_data.save(folder)
        where = str(folder.absolute()), str(runs.folder.absolute())
        # one job at a time, and whoever is ready first: what is yielded is shown as progress
        pool = Parallel(processes, return_as="generator_unordered", batch_size=1, pre_dispatch=2 * processes)
        try:
            with _uninterrupted():  # this starts the workers
                finished = pool(delayed(_do)(number, job, *where) for number, job in enumerate(jobs))
            for done, number in enumerate(finished, 1):
                job = jobs[number]
                now.text = f"fitting {len(jobs)} runs in {processes} processes, {done} done"
                run = runs.read(job.strategy.name, job.seed)
                if run is None:
                    raise ModelError(
                        f"the run {job.strategy.name}, seed {job.seed}, vanished from {runs.folder}; run 'fusecat fuse' again"
                    )
                yield job, run
        except BrokenProcessPool as error:
            raise ModelError(
                "a worker process died, most likely for want of memory; run 'fusecat fuse --processes 1' to go on"
            ) from error
        finally:
            get_reusable_executor().shutdown(kill_workers=True)  # kept ones know neither a changed merge nor a changed sys.path


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until this is over, and what is started here never sees it: children inherit which signals are blocked."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    caught: list[int] = []

    def later(number: int, _frame: FrameType | None) -> None:  # another thread may be told of it
        caught.append(number)
        end_soon()

    handler = signal.signal(signal.SIGINT, later)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if caught and callable(handler):
            handler(signal.SIGINT, None)


@lru_cache(maxsize=1)
def _shared(folder: str) -> FitData:
    return FitData.load(Path(folder))


def _do(number: int, job: Job, folder: str, runs: str) -> int:
    torch.set_num_threads(1)
    do(job, _shared(folder), Runs(Path(runs)))
    return number
