"""Two processes under torchrun: the work is shared, rank 0 seals, and the cache is that of one process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fusecat.cache.store import FeatureCache

SCRIPT = Path(__file__).with_name("distributed.py")
ROOT = Path(__file__).parents[3]


def launch(processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(SCRIPT)]
    return subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
def test_two_processes_write_the_cache_of_one_with_the_same_weights(sample_cut: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    done = launch(1, sample_cut, one)
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.copytree(one / "encoders", two / "encoders")  # the same weights: only extraction is shared
    done = launch(2, sample_cut, two)
    assert done.returncode == 0, done.stderr[-2000:]
    name = "flaubert.title_description"
    assert FeatureCache(one / "features").path(name).read_bytes() == FeatureCache(two / "features").path(name).read_bytes()


@pytest.mark.slow
def test_two_processes_fine_tune_together_also_when_one_was_killed_before(sample_cut: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    done = launch(2, sample_cut, workspace, "--kill", 1)
    assert done.returncode != 0
    assert not FeatureCache(workspace / "features").names()
    done = launch(2, sample_cut, workspace)
    assert done.returncode == 0, done.stderr[-2000:]
    table = FeatureCache(workspace / "features").table()
    assert table.features["flaubert.title_description"].embedding.any(axis=1).all()


@pytest.mark.slow
def test_two_processes_share_the_folds_and_one_finds_them_done(sample_cut: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    done = launch(2, sample_cut, workspace, "--folds", 2)
    assert done.returncode == 0, done.stderr[-2000:]
    path = FeatureCache(workspace / "features").path("flaubert.title_description")
    table = FeatureCache(workspace / "features").table()
    feature, train = table.features["flaubert.title_description"], table.rows("train")
    assert feature.logits_oof[train].any(axis=1).all()
    assert (feature.logits_oof[train] != feature.logits[train]).any(axis=1).all()
    others = np.setdiff1d(np.arange(len(table.ids)), train)
    assert np.array_equal(feature.logits_oof[others], feature.logits[others])
    before = path.stat().st_mtime_ns
    assert launch(1, sample_cut, workspace, "--folds", 2).returncode == 0
    assert path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_two_processes_share_what_the_classifier_of_a_frozen_network_learns_from(sample_cut: Path, tmp_path: Path) -> None:
    tables = []
    for count in (1, 2):
        done = launch(count, sample_cut, tmp_path / str(count), "--freeze")
        assert done.returncode == 0, done.stderr[-2000:]
        tables.append(FeatureCache(tmp_path / str(count) / "features").table())
    one, two = (table.features["flaubert.title_description"] for table in tables)
    assert np.array_equal(one.embedding, two.embedding)
    # Two devices draw other dropout, and fill up the last batch; what they share is compared to the bit in test_embed.py.
    assert np.allclose(one.logits, two.logits, atol=0.05)


@pytest.mark.slow
def test_two_processes_write_the_file_of_one_of_a_frozen_network_also_when_one_was_killed(
    sample_cut: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert launch(1, sample_cut, one, "--freeze").returncode == 0
    shutil.copytree(one / "encoders", two / "encoders")  # its classifier too has learnt
    assert launch(2, sample_cut, two, "--freeze", "--kill", 1).returncode != 0
    assert not FeatureCache(two / "features").names()
    done = launch(2, sample_cut, two, "--freeze")
    assert done.returncode == 0, done.stderr[-2000:]
    name = "flaubert.title_description"
    assert FeatureCache(one / "features").path(name).read_bytes() == FeatureCache(two / "features").path(name).read_bytes()
