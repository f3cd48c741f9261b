"""`fusecat extract` as a user starts, interrupts and starts it again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRESET = ROOT / "tests" / "small.toml"
FEATURE = "flaubert.title"


def words(catalogue: Path, workspace: Path, *more: object) -> list[str]:
    options = ["--preset", PRESET, "--networks", "flaubert", "--fields", "title", "--device", "cpu", "--workspace", workspace]
    return [str(word) for word in (sys.executable, "-m", "pipeline", "extract", catalogue, *options, *more)]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def interrupted(command: list[str], workspace: Path, number: int) -> tuple[int, str]:
    """Exit code and errors of a run that gets a signal once an epoch of fine-tuning is safe."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 150
    while not list((workspace / "encoders" / FEATURE).glob("checkpoints/checkpoint-*/complete")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupted_fine_tuning_goes_on_and_ends_with_the_same_file(
    number: int, code: int, sample_cut: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    more = ("--epochs", 12)
    returned, errors = interrupted(words(sample_cut, cut, *more), cut, number)
    assert returned == code
    if number == signal.SIGINT:
        assert len(errors.strip().splitlines()) == 1
        assert errors.strip().startswith("error: interrupted")
    again = run(words(sample_cut, cut, *more))
    assert again.returncode == 0, again.stderr
    assert f"{FEATURE}: going on from the checkpoint of epoch" in again.stdout
    assert run(words(sample_cut, whole, *more)).returncode == 0
    path = Path("features") / f"{FEATURE}.h5"
    assert (cut / path).read_bytes() == (whole / path).read_bytes()


def test_network_seeds_are_workspaces_of_one_split(sample_cut: Path, tmp_path: Path) -> None:
    done = run(words(sample_cut, tmp_path / "study", "--network-seeds", 2, "--epochs", 1, "--max-image-pixels", 10**6))
    assert done.returncode == 0, done.stderr
    places = [tmp_path / "study", tmp_path / "study-network-seed-2"]
    seeds, weights, splits = [], [], []
    for place in places:
        study = json.loads((place / "study.json").read_text(encoding="utf-8"))
        assert study["reading"]["max_image_pixels"] == 10**6
        record = study["features"][FEATURE]
        seeds.append(record["settings"]["training"]["seed"])
        weights.append(record["weights"])
        splits.append((place / "split.json").read_bytes())
    assert seeds[1] == seeds[0] + 1
    assert weights[0] != weights[1]
    assert splits[0] == splits[1]
    assert f"then: fusecat report --pool {places[0]} {places[1]}" in done.stdout
    again = run(words(sample_cut, tmp_path / "study", "--epochs", 1))
    assert "already there, reused" in again.stdout
