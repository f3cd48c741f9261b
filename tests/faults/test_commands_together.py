"""Two commands at once on one workspace: both end well, and what they leave is what one after the other leaves."""

import itertools
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.faults.apart import at_once, left_behind, needs_fork
from tests.faults.study import FUSE, STRATEGY, TUNE, Ended, Small, answer, fusecat

pytestmark = [needs_fork, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

Command = Callable[[Small], tuple[object, ...]]


def predict(small: Small, output: str, *words: object) -> tuple[object, ...]:
    return small.at("predict", small.new, *words, "--output", small.root / output, "--json")


COMMANDS: dict[str, Command] = {
    "check": lambda small: ("check", small.catalogue, "--json"),
    "extract": lambda small: small.extract("--fields", "image", "--json"),
    "import": lambda small: small.brought("--json"),
    "fuse": lambda small: small.at(*FUSE, "--fusion", "addition", "--json"),
    "tune": lambda small: small.at(*TUNE, "--json"),
    "report": lambda small: small.at("report", "--json"),
    "predict": lambda small: predict(small, "out.csv", "--strategy", STRATEGY),
    "predict refit": lambda small: predict(small, "refitted.csv", "--refit"),
    "predict model": lambda small: predict(small, "model.csv", "--model", small.model),
    "refit": lambda small: small.at("refit", "--strategy", STRATEGY, "--json"),
    "export": lambda small: small.at("export", small.model, "--strategy", STRATEGY, "--json"),
}
REMEMBERED = {"extract", "import", "fuse", "tune"}
"""Commands that study.json keeps."""
QUICK = [("predict", "predict"), ("predict", "export"), ("fuse", "import")]


@pytest.fixture(scope="module")
def after(study: Small, place: Small) -> Callable[..., Any]:
    """What the last of these commands answers when they run one after the other on a study with work to do."""

    @cache
    def found(*names: str) -> Any:
        fresh(study, place)
        for name in names:
            ended = fusecat(*COMMANDS[name](place))
            assert ended.code == 0, ended.err
        return answer(names[-1], ended)

    return found


def fresh(study: Small, place: Small) -> None:
    """The study, with something to do for each command."""
    study.copy(place.root)
    shutil.rmtree(place.workspace / "tuning")
    shutil.rmtree(place.workspace / "predictions")


def hold(study: Small, place: Small, after: Callable[..., Any], names: tuple[str, str]) -> None:
    """Both answer as they would alone or after the other, every file is whole, and nothing temporary is left."""
    fresh(study, place)
    ended = at_once(*(COMMANDS[name](place) for name in names))
    for name, other, each in zip(names, reversed(names), ended, strict=True):
        assert each.code == 0 or (each.code == 4 and busy(each)), (name, each)
        assert "Traceback" not in each.err
        if each.code == 0:
            told = answer(name, each)
            assert told == after(name) or told == after(other, name), name
    assert left_behind(place.root) == []
    whole(place)
    for name in set(names):
        again = fusecat(*COMMANDS[name](place))
        assert again.code == 0, again.err
    commands = json.loads(place.workspace.joinpath("study.json").read_text())["commands"]
    for name in REMEMBERED & set(names):
        words = " ".join(map(str, COMMANDS[name](place)))
        assert f"fusecat {words}" in commands, (name, commands)


def busy(ended: Ended) -> bool:
    return len(ended.err.strip().splitlines()) == 1 and "another" in ended.err


def whole(place: Small) -> None:
    """Everything that was written can be read."""
    for words in (("report", "--json"), ("cache", "verify", "--json"), ("predict", place.new, "--refit", "--json")):
        ended = fusecat(*place.at(*words))
        assert ended.code == 0, (words, ended.err)
    ended = fusecat(*place.at("predict", place.new, "--model", place.model, "--json"))
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("names", QUICK, ids="/".join)
def test_some_pairs(study: Small, place: Small, after: Callable[..., Any], names: tuple[str, str]) -> None:
    hold(study, place, after, names)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", list(itertools.combinations_with_replacement(COMMANDS, 2)), ids="/".join)
def test_all_pairs(study: Small, place: Small, after: Callable[..., Any], names: tuple[str, str]) -> None:
    hold(study, place, after, names)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_extractions_of_a_new_workspace(study: Small, place: Small) -> None:
    """Both teach nothing twice: the second waits for the first, feature by feature."""
    study.copy(place.root)
    shutil.rmtree(place.workspace)
    ended = at_once(place.extract("--json"), place.extract("--json"))
    assert [each.code for each in ended] == [0, 0], ended
    states = [json.loads(each.out)[name]["state"] for each in ended for name in json.loads(each.out)]
    assert sorted(states) == ["extracted", "extracted", "hit", "hit"]
    assert Path(place.workspace / "study.json").exists()
    assert left_behind(place.root) == []
