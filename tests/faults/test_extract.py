"""The real stage one, small, killed: it goes on where it was and ends with the bytes of an uninterrupted run."""

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusecat.cache.verify import verify
from tests.faults.harness import ENVIRONMENT, ROOT, needs_strace, picture, run, strace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def extract(workspace: Path) -> list[str]:
    options = ["--networks", "camembert", "--limit", "150", "--epochs", "2", "--device", "cpu", "--workspace", str(workspace)]
    return [sys.executable, "-m", "fusecat", "extract", *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The features of an uninterrupted run, and how many seconds it took."""
    folder, begin = tmp_path_factory.mktemp("whole"), time.monotonic()
    done = run(extract(folder))
    assert done.returncode == 0, done.stderr
    assert len(picture(folder / "features")) == 6
    return picture(folder / "features"), time.monotonic() - begin


def test_killed_at_random_moments(whole, tmp_path):
    features, seconds = whole
    dice, killed = random.Random(2020), 0
    for number in range(12):
        workspace = tmp_path / str(number)
        for _ in range(3):
            begin = time.monotonic()
            process = subprocess.Popen(
                extract(workspace), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                process.wait(seconds * (0.3 + 0.7 * dice.random()))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += process.wait() == -signal.SIGKILL
            else:
                seconds = min(seconds, time.monotonic() - begin)  # the machine was busier when the whole was timed
                break
        again = run(extract(workspace))
        assert again.returncode == 0, again.stderr
        assert picture(workspace / "features") == features
        assert list(verify(workspace / "features")) == []
        if number > 2 and killed > 3:
            break
    assert killed > 3


@needs_strace
@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_killed_at_points_of_the_work(whole, tmp_path, call):
    features, _ = whole
    log = tmp_path / "strace.log"
    done = run(["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(log), "-e", f"trace={call}", *extract(tmp_path / "counted")])
    assert done.returncode == 0, done.stderr
    processes = re.findall(rf"^(\d+) +{call}\(", log.read_text(), re.MULTILINE)
    count = processes.count(max(processes, key=processes.count))
    for point in range(1, count + 1, max(1, count // 5)):
        workspace = tmp_path / str(point)
        killed = strace(f"{call}:signal=KILL:when={point}", extract(workspace))
        assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (point, killed.stderr)
        again = run(extract(workspace))
        assert again.returncode == 0, again.stderr
        assert picture(workspace / "features") == features, point


@needs_strace
@pytest.mark.parametrize("fault", ["fallocate:error=ENOSPC", "fsync:error=EIO"])
def test_a_failing_disk_is_told_in_one_line(whole, tmp_path, fault):
    done = strace(fault, extract(tmp_path))
    assert done.returncode == 74, (done.returncode, done.stderr)
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    again = run(extract(tmp_path))
    assert again.returncode == 0, again.stderr
    assert picture(tmp_path / "features") == whole[0]
