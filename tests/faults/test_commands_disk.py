"""A full disk at a write of a command: exit 74, one line with the file, nothing left behind, and the command goes on later."""

import shutil
from collections.abc import Callable, Iterator
from unittest import mock

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


@pytest.fixture(scope="module", autouse=True)
def quick_report() -> Iterator[None]:
    """Pictures take seconds."""
    with (
        mock.patch("pipeline.report.writing.page", lambda *_: "whole"),
        mock.patch("pipeline.report.writing.cards", lambda _: None),
    ):
        yield


@pytest.fixture(scope="module")
def place(study: Small, tmp_path_factory: pytest.TempPathFactory) -> Small:
    return study.copy(tmp_path_factory.mktemp("disk"))


def prepare(study: Small, place: Small, name: str) -> tuple[object, ...]:
    study.copy(place.root)
    for part in UNMADE.get(name, ()):
        gone = place.workspace / part
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    return COMMANDS[name](place)


def fill(study: Small, place: Small, name: str, call: str, number: int, *, error: str = "ENOSPC") -> None:
    """The disk is full from the so-manieth call of this kind on."""
    words, at = prepare(study, place, name), (name, call, number)
    ended = with_fault(f"{call}:error={error}:when={number}+", *words)
    lines = ended.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert ended.code == 74, (*at, ended)
    assert errors == lines[-1:], (*at, ended.err)
    assert str(place.root) in errors[0] or "split" in errors[0], (*at, errors)
    # what SQLite needs to roll back stays until the file is opened again
    assert [name for name in left_behind(place.root) if not name.endswith("-journal")] == [], at
    again = fusecat(*words)
    assert again.code == 0, (*at, again.err)
    assert left_behind(place.root) == [], at


def points(study: Small, place: Small, name: str, most: int) -> list[tuple[str, int]]:
    """At most so many (call, number) of each kind of call that the command makes, spread evenly; the last is among them."""
    made = calls(place.root, *prepare(study, place, name))
    assert made["rename"] or name == "check"
    return sorted(
        {(call, numbers[-1 - step * (len(numbers) - 1) // most]) for call, numbers in made.items() for step in range(most)}
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "call"), [("export", "fsync"), ("fuse", "write"), ("tune", "pwrite64")])
def test_at_some_writes(study: Small, place: Small, name: str, call: str) -> None:
    numbers = calls(place.root, *prepare(study, place, name))[call]
    fill(study, place, name, call, numbers[len(numbers) // 2])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_at_many_writes(study: Small, place: Small, name: str) -> None:
    for call, number in points(study, place, name, 6):
        assert call in CALLS
        fill(study, place, name, call, number)
