"""SIGKILL anywhere: the next run completes, leaves what an uninterrupted run leaves, and computes at most one block again."""

import random
import signal
import subprocess
import sys

import pytest

from tests.faults.harness import ROOT, command, count_points, needs_strace, picture, run, strace

BLOCKS = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(command(folder)).stdout == f"{BLOCKS}\n"
    assert set(picture(folder)) == {"camembert.title.h5", "camembert.title.h5.sha256"}
    return picture(folder)


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """(system call, how many-eth) of every change on disk."""
    folder = tmp_path_factory.mktemp("points")
    counts = count_points(folder, command(folder / "features"))
    assert counts["rename"] == BLOCKS + 3  # seal, feature, blocks out of sight
    return [(call, number) for call in sorted(counts) for number in range(1, counts[call] + 1)]


def kill_and_go_on(folder, point, whole):
    call, number = point
    killed = strace(f"{call}:signal=KILL:when={number}", command(folder))
    assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (point, killed.stderr)
    sealed = (folder / "camembert.title.h5").exists()
    done = BLOCKS if sealed else len(list(folder.glob("*.blocks/*/*.npz")))
    again = run(command(folder))
    assert again.returncode == 0, (point, again.stderr)
    assert int(again.stdout) <= max(0, BLOCKS - done), point
    assert picture(folder) == whole, point


@needs_strace
def test_killed_at_some_points(whole, points, tmp_path):
    """One block in the middle, the sealing, and the moment before the feature appears; `-m slow` tries them all."""
    calls = [call for call, _ in points]
    chosen = [(call, calls.count(call) // 2) for call in ("write", "fsync", "rename")]
    chosen += [("write", calls.count("write")), ("rename", calls.count("rename") - 1), ("unlinkat", 2)]
    for number, point in enumerate(chosen):
        kill_and_go_on(tmp_path / str(number), point, whole)


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_every_point(whole, points, tmp_path):
    for number, point in enumerate(points):
        kill_and_go_on(tmp_path / str(number), point, whole)


def killed_at_random(folder, kills, seed):
    """Start the writer again and again, let it live for a random moment, then let it end. Returns what it computed in all."""
    dice, rows, options = random.Random(seed), 400, ("--pause", 0.02)
    blocks, seen = -(-rows // 16), set()
    for _ in range(kills):
        words = command(folder, "--rows", rows, *options)
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(0.25 + dice.random() * 0.6)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        found = {path.name for path in folder.glob("*.blocks/*/*.npz")}
        sealed = (folder / "camembert.title.h5").exists()
        assert sealed or seen <= found, "a block that was durable is gone"
        seen = found
    last = run(command(folder, "--rows", rows))
    assert last.returncode == 0, last.stderr
    assert int(last.stdout) <= max(0, blocks - len(seen))
    return picture(folder)


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_killed_at_random_moments(tmp_path, kills):
    reference = tmp_path / "whole"
    assert run(command(reference, "--rows", 400)).returncode == 0
    # Every few kills a fresh folder, so that all stages of the work are hit.
    for number in range(0, kills, 5):
        assert killed_at_random(tmp_path / str(number), 5, number) == picture(reference)


@pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")
def test_interrupted_by_the_user(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, "--rows", 4000, "--pause", 0.01), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("*.blocks/*/*.npz")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=5)
    assert process.returncode == 130
    assert told.strip().startswith("error: interrupted") and told.strip().count("\n") == 0
