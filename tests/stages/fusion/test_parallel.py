"""Workers: Ctrl-C disturbs neither them nor their start, and a cluster's give the same bytes."""

import os
import signal
import subprocess
import sys

import joblib
import pytest

from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.parallel import _uninterrupted
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from tests.stages.fusion.synthetic import table

BLOCKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows blocks no signals")


def test_an_interrupt_waits_for_the_end_and_is_not_lost():
    reached = False
    with pytest.raises(KeyboardInterrupt), _uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_starts_meanwhile_never_sees_one():
    with _uninterrupted():
        started = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    assert started.stdout.strip() == "True"
    later = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    assert later.stdout.strip() == "False"


@pytest.mark.slow
def test_the_workers_of_a_cluster_give_the_same_bytes(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("fusecat.stages.fusion.parallel.WORTH_SPREADING", 0.0)
    strategies, settings = [Strategy.parse(name) for name in ("baseline/average", "flat/gated")], FitSettings(epochs=5)
    here, there = Runs(tmp_path / "here"), Runs(tmp_path / "there")
    fuse(table(), strategies, here, settings, seeds=2, processes=1)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        fuse(table(), strategies, there, settings, seeds=2, processes=2)
    for run in here:
        where = [runs.path(run.strategy, run.seed) for runs in (here, there)]
        for file in ("head.safetensors", "predictions.npz"):
            assert len({(folder / file).read_bytes() for folder in where}) == 1
