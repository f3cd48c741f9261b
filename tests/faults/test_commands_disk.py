"""A full disk at a write of a command: exit 74, one line with the file, nothing left behind, and the command goes on later."""

import shutil
from collections.abc import Callable

import pytest

from tests.faults.apart import CALLS, calls, left_behind, needs_fork, needs_strace, with_fault
from tests.faults.study import FUSE, STRATEGY, TUNE, Small, fusecat

pytestmark = [needs_fork, needs_strace, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

COMMANDS: dict[str, Callable[[Small], tuple[object, ...]]] = {
    "check": lambda small: ("check", small.catalogue),
    "extract": lambda small: small.extract(),
    "import": lambda small: small.brought(),
    "fuse": lambda small: small.at(*FUSE),
    "tune": lambda small: small.at(*TUNE),
    "report": lambda small: small.at("report", "--json"),
    "predict": lambda small: small.at("predict", small.new, "--strategy", STRATEGY),
    "predict parquet": lambda small: small.at("predict", small.new, "--strategy", STRATEGY, "--format", "parquet"),
    "refit": lambda small: small.at("refit", "--strategy", STRATEGY),
    "export": lambda small: small.at("export", small.root / "exported", "--strategy", STRATEGY),
}
UNMADE = {
    "extract": ("encoders", "features", "images.sqlite", "split.json", "study.json"),
    "fuse": ("runs",),
    "tune": ("tuning",),
    "report": ("report",),
    "predict": ("predictions",),
    "predict parquet": ("predictions",),
    "refit": ("refit",),
}
"""What is not there yet, so that the command has it to write."""


def prepare(study: Small, place: Small, name: str) -> tuple[object, ...]:
    study.copy(place.root)
    for part in UNMADE.get(name, ()):
        gone = place.workspace / part
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    return COMMANDS[name](place)


def fill(study: Small, place: Small, name: str, call: str, when: str) -> None:
    """The disk is full at such a call."""
    words, at = prepare(study, place, name), (name, call, when)
    ended = with_fault(f"{call}:error=ENOSPC:when={when}", *words)
    lines = ended.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert ended.code == 74, (*at, ended)
    assert errors == lines[-1:], (*at, ended.err)
    assert str(place.root) in errors[0], (*at, errors)
    # what SQLite needs to roll back stays until the file is opened again
    assert [name for name in left_behind(place.root) if not name.endswith("-journal")] == [], at
    again = fusecat(*words)
    assert again.code == 0, (*at, again.err)
    assert left_behind(place.root) == [], at


def points(study: Small, place: Small, name: str, most: int) -> list[tuple[str, str]]:
    """At most so many (call, when) of each kind of call that the command makes, spread evenly; the last is among them."""
    made = calls(place.root, *prepare(study, place, name))
    assert made.get("rename") or name == "check"
    return sorted({(call, times[-1 - step * (len(times) - 1) // most]) for call, times in made.items() for step in range(most)})


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "call"), [("export", "fsync"), ("fuse", "write"), ("tune", "pwrite64")])
def test_at_some_writes(study: Small, place: Small, name: str, call: str) -> None:
    times = calls(place.root, *prepare(study, place, name))[call]
    fill(study, place, name, call, times[len(times) // 2])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_at_many_writes(study: Small, place: Small, name: str) -> None:
    for call, when in points(study, place, name, 6):
        assert call in CALLS
        fill(study, place, name, call, when)
