"""A full disk, a broken one, a limit on file sizes: one line, exit 74, and the earlier cache is as it was. Never a crash."""

import resource
import subprocess

import pytest

from fusecat.cache.store import FeatureCache
from tests.faults.harness import command, count_points, needs_strace, picture, run, strace
from tests.faults.writer import FEATURE, made_up

INPUT_OUTPUT = 74
CALLS = ("write", "fsync", "rename", "fallocate", "ftruncate")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run of recipe 1 over recipe 0 leaves."""
    folder = tmp_path_factory.mktemp("whole")
    for recipe in (0, 1):
        assert run(command(folder, "--recipe", recipe)).returncode == 0
    return picture(folder)


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    assert run(command(folder / "features", "--recipe", 0)).returncode == 0
    counts = count_points(folder, command(folder / "features", "--recipe", 1))
    return [(call, number) for call in CALLS for number in range(1, counts[call] + 1)]


def old_or_new(folder):
    """The feature that is there reads as recipe 0 or as recipe 1 made it, and as nothing in between."""
    cache = FeatureCache(folder)
    seed = cache.recipe(FEATURE)["seed"]
    table = cache.table()
    vectors, _, present = made_up(range(40), seed)
    vectors[~present] = 0
    assert (table.features[FEATURE].embedding == vectors.astype("f2")).all()
    return seed


def assert_one_line(done, words=""):
    assert done.returncode == INPUT_OUTPUT, (done.returncode, done.stderr)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr


def fail_and_go_on(folder, point, error, whole):
    call, number = point
    assert run(command(folder, "--recipe", 0)).returncode == 0
    words = {"ENOSPC": "No space left on device (free some space", "EIO": "Input/output error"}[error]
    assert_one_line(strace(f"{call}:error={error}:when={number}", command(folder, "--recipe", 1)), words)
    old_or_new(folder)
    again = run(command(folder, "--recipe", 1))
    assert again.returncode == 0, (point, again.stderr)
    assert old_or_new(folder) == 1
    assert picture(folder) == whole, point


@needs_strace
@pytest.mark.parametrize(
    ("error", "calls"),
    [("ENOSPC", {"fallocate": 1, "write": 0.5, "rename": 0.5}), ("EIO", {"fsync": 0.5, "write": 1, "ftruncate": 1})],
)
def test_failing_at_some_points(whole, points, tmp_path, error, calls):
    """A block in the middle, the reservation, the last write; `-m slow` tries every point."""
    names = [call for call, _ in points]
    for call, share in calls.items():
        fail_and_go_on(tmp_path / call, (call, max(1, int(share * names.count(call)))), error, whole)


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_failing_at_every_point(whole, points, tmp_path, error):
    for number, point in enumerate(points):
        fail_and_go_on(tmp_path / str(number), point, error, whole)


@needs_strace
def test_a_disk_that_cannot_reserve_is_written_all_the_same(whole, tmp_path):
    """Without fallocate the C library writes zeros; what it is told here is that not even the system call exists."""
    for recipe in (0, 1):
        done = strace("fallocate:error=EOPNOTSUPP", command(tmp_path, "--recipe", recipe))
        assert done.returncode == 0, done.stderr
    assert picture(tmp_path) == whole


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))


def test_a_limit_on_file_sizes_is_told_in_one_line(tmp_path):
    """60,000 rows of 8 numbers: each block is small, the feature file is larger than 1 MiB."""
    assert run(command(tmp_path, "--rows", 40)).returncode == 0
    done = run(command(tmp_path, "--rows", 60_000, "--block", 8192, "--recipe", 1), preexec_fn=limit)
    assert_one_line(done, "File too large")
    assert old_or_new(tmp_path) == 0
    assert not list(tmp_path.glob("*.part"))


def test_a_full_disk_is_told_in_one_line(tmp_path):
    """A real one: a memory file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("mounting a memory file system needs root")
    try:
        assert run(command(disk / "features", "--recipe", 0)).returncode == 0
        done = run(command(disk / "features", "--rows", 30_000, "--block", 8192, "--recipe", 1))
        assert_one_line(done, "No space left on device (free some space")
        assert old_or_new(disk / "features") == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_no_permission_is_told_in_one_line(tmp_path):
    (tmp_path / "features").write_text("a file where a folder should be")
    assert_one_line(run(command(tmp_path / "features")))
