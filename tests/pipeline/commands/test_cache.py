"""`fusecat cache`: what it prints, in words and as JSON, and how it ends."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from fusecat.cache import verify as module
from fusecat.cache.errors import DamagedFeature, MissingFeature
from fusecat.cache.store import FeatureCache
from fusecat.pipeline.cli import cli
from fusecat.stages.errors import UsageError
from tests.cache.study import study_rows, write_feature


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0)
    monkeypatch.setenv("COLUMNS", "200")
    write_feature(FeatureCache(tmp_path / "features"), "camembert.title", study_rows(300))
    return tmp_path


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=True)


def test_ls_shows_every_feature(workspace):
    done = run("cache", "ls", "--workspace", workspace)
    assert done.exit_code == 0
    line = next(line for line in done.output.splitlines() if line.startswith("camembert"))
    assert line.split()[:5] == ["camembert", "title", "300", line.split()[3], "24"] and line.rstrip().endswith("sealed")
    (entry,) = json.loads(run("cache", "ls", "--json", "--workspace", workspace).output)
    assert (entry["feature"], entry["rows"], entry["fitted_on"]) == ("camembert.title", 300, ["train"])


def test_the_name_of_a_file_is_neither_markup_nor_a_picture(workspace):
    (workspace / "features" / "a[red]:fire:.image.h5").write_bytes(b"no HDF5")
    told = run("cache", "ls", "--workspace", workspace).output
    assert "a[red]:fire:" in told
    assert (
        ":fire:" in run("cache", "ls", "--workspace", shutil.copytree(workspace, workspace / ":fire:")).output.splitlines()[-1]
    )


def test_verify_says_that_all_is_well_or_what_is_not(workspace):
    assert "every byte is as it was written" in run("cache", "verify", "--workspace", workspace).output
    path = workspace / "features" / "camembert.title.h5"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    done = run("cache", "verify", "--workspace", workspace, "--json")
    assert isinstance(done.exception, DamagedFeature) and done.exception.exit_code == 4
    (damage,) = json.loads(done.output)["damaged"]
    assert damage["file"] == str(path)


def test_verify_misses_what_the_study_speaks_of(workspace):
    (workspace / "study.json").write_text(json.dumps({"features": {"camembert.title": {}, "se_resnext50.image": {}}}))
    done = run("cache", "verify", "--workspace", workspace)
    assert isinstance(done.exception, DamagedFeature)
    assert "se_resnext50.image.h5: is gone" in done.output


def test_export_writes_what_the_ending_says(workspace, tmp_path):
    done = run("cache", "export", "camembert.title", "--to", tmp_path / "out.npz", "--workspace", workspace)
    assert done.exit_code == 0 and "300 products" in done.output
    with np.load(tmp_path / "out.npz") as file:
        assert file["embedding"].shape == (300, 24)


def test_what_is_not_there_is_told(workspace, tmp_path):
    done = run("cache", "ls", "--workspace", tmp_path / "nowhere")
    assert isinstance(done.exception, UsageError)
    done = run("cache", "export", "x.title", "--to", tmp_path / "out.npz", "--workspace", workspace)
    assert isinstance(done.exception, MissingFeature) and "features there: camembert.title" in str(done.exception)
