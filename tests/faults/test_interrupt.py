"""Ctrl-C at any moment of any command: exit 130 within five seconds, nothing lost, and the same command then ends well."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.faults.apart import left_behind
from tests.faults.harness import ENVIRONMENT, ROOT
from tests.faults.study import STRATEGY, TUNE, Small

FUSE = ("fuse", "--fusion", "all", "--settings", "thesis", "--seeds", 2, "--processes", 2)
COMMANDS: dict[str, Callable[[Small], tuple[object, ...]]] = {
    "extract": lambda small: small.extract(),
    "fuse": lambda small: small.at(*FUSE),
    "report": lambda small: small.at("report"),
    "predict": lambda small: small.at("predict", small.new, "--strategy", STRATEGY),
    "tune": lambda small: small.at(*TUNE),
    "export": lambda small: small.at("export", small.model, "--strategy", STRATEGY),
    "refit": lambda small: small.at("refit", "--strategy", STRATEGY),
}
MADE = {
    "extract": ("features", "encoders"),
    "fuse": ("runs",),
    "report": ("report",),
    "predict": ("predictions",),
    "tune": ("tuning",),
}
"""What is not there when the command begins."""
LIMIT = 5.0


def begun(words: tuple[object, ...]) -> subprocess.Popen[str]:
    # a session of its own: the signal goes to workers too, as a terminal sends it
    return subprocess.Popen(
        [sys.executable, "-m", "fusecat", *map(str, words)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupted(name: str, study: Small, place: Small, moments: list[float]) -> None:
    words = COMMANDS[name](place)

    def fresh() -> None:
        study.copy(place.root)
        for made in MADE.get(name, ()):
            shutil.rmtree(place.workspace / made, ignore_errors=True)

    fresh()
    start = time.monotonic()
    with begun(words) as command:
        _, said = command.communicate(timeout=600)
    assert command.returncode == 0, said
    whole = time.monotonic() - start
    fresh()
    for moment in moments:
        with begun(words) as command:
            time.sleep(moment * whole)
            if command.poll() is None:
                os.killpg(command.pid, signal.SIGINT)
            since = time.monotonic()
            _, said = command.communicate(timeout=60)
        seconds = time.monotonic() - since
        assert command.returncode in (0, 130), (name, moment, said)
        assert seconds < LIMIT, (name, moment, seconds)
        assert command.returncode == 0 or "error: interrupted" in said, said
    with begun(words) as command:
        _, said = command.communicate(timeout=600)
    assert command.returncode == 0, said
    assert left_behind(place.root) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["report"])
def test_interrupted_a_few_times(study: Small, place: Small, name: str) -> None:
    interrupted(name, study, place, [0.3, 0.7])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", COMMANDS)
def test_interrupted_often(study: Small, place: Small, name: str) -> None:
    dice = random.Random(7)
    interrupted(name, study, place, [0.06, *(dice.random() for _ in range(6))])
