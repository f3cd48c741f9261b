"""SIGKILL at random moments: the old result or the new one stands, whole, and the same command then ends well."""

import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.apart import Apart, left_behind, needs_fork
from tests.faults.study import FUSE, STRATEGY, Small, fusecat

pytestmark = [needs_fork, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

COMMANDS: dict[str, Callable[[Small], tuple[object, ...]]] = {
    "import": lambda small: small.brought(),
    "fuse": lambda small: small.at(*FUSE, "--fusion", "addition"),
    "predict": lambda small: small.at("predict", small.new, "--strategy", STRATEGY, "--output", small.root / "out.csv"),
    "refit": lambda small: small.at("refit", "--strategy", "probe/camembert.title_description"),
    "export": lambda small: small.at("export", small.model, "--strategy", "probe/camembert.title_description"),
}
RESULT = {
    "import": ("workspace/features/mine.title.h5",),
    "fuse": (),
    "predict": ("out.csv",),
    "refit": ("workspace/refit",),
    "export": ("model",),
}
"""What stands as it was or as it will be. The commands that replace something replace the study's own by another strategy's."""
READ = {
    "import": lambda small: small.at("cache", "verify"),
    "fuse": lambda small: small.at("report", "--json"),
    "predict": lambda small: small.at("report", "--json"),
    "refit": lambda small: small.at("predict", small.new, "--refit"),
    "export": lambda small: small.at("predict", small.new, "--model", small.model),
}


def fresh(study: Small, place: Small) -> None:
    study.copy(place.root)
    (place.root / "out.csv").write_text("old", encoding="utf-8")


def state(place: Small, name: str) -> list[tuple[str, str]]:
    """Name and digest of every file of the result."""
    files = [path for part in RESULT[name] for path in tree(place.root / part)]
    return [(path.relative_to(place.root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def tree(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path] if path.exists() else []


def kill(study: Small, place: Small, name: str, kills: int, seed: int) -> None:
    dice = random.Random(seed)
    fresh(study, place)
    old, begin = state(place, name), time.monotonic()
    assert Apart(*COMMANDS[name](place)).go().end().code == 0
    seconds, new = time.monotonic() - begin, state(place, name)
    fresh(study, place)
    for number in range(kills):
        if number % 4 == 0:
            fresh(study, place)
        command = Apart(*COMMANDS[name](place)).go()
        # half of the kills towards the end, where results are put in their place
        time.sleep(seconds * dice.choice((dice.random(), 0.8 + 0.3 * dice.random())))
        command.kill()
        command.end()
        assert state(place, name) in (old, new), (name, number)
        if name in ("refit", "export"):
            ended = fusecat(*READ[name](place))
            assert ended.code == 0, (name, number, ended.err)
    ended = fusecat(*COMMANDS[name](place))
    assert ended.code == 0, (name, ended.err)
    assert state(place, name) == new
    assert left_behind(place.root) == []
    ended = fusecat(*READ[name](place))
    assert ended.code == 0, (name, ended.err)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["import", "export"])
def test_killed_a_few_times(study: Small, place: Small, name: str) -> None:
    kill(study, place, name, 3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_often(study: Small, place: Small, name: str) -> None:
    kill(study, place, name, 12, seed=2)


def test_what_is_exported_may_be_read_by_others(study: Small, tmp_path: Path) -> None:
    """Weights get the modes of all other new files."""
    umask = os.umask(0o022)
    try:
        place = study.copy(tmp_path)
        shutil.rmtree(place.model)
        for words in (("refit", "--strategy", STRATEGY), ("export", place.model, "--strategy", STRATEGY)):
            assert fusecat(*place.at(*words)).code == 0
    finally:
        os.umask(umask)
    modes = {
        path.name: path.stat().st_mode & 0o777 for folder in (place.model, place.workspace / "refit") for path in tree(folder)
    }
    assert set(modes.values()) == {0o644}, modes
