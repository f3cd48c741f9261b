"""One damaged file of a workspace or model: the same answers, or one line that names the file and a way out that works."""

import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.damages import SEALED, UNSEALED, victims
from tests.faults.study import FUSE, STRATEGY, TUNE, Ended, Small, answer, fusecat

UNREAD = ("report/", "predictions/new.csv", "README.md")
"""What no command reads."""
WAY_OUT = re.compile(r"again|remove|run '|pass |leave |name a new|use another|is damaged")

Command = Callable[[Small], tuple[object, ...]]
COMMANDS: dict[str, Command] = {
    "cache ls": lambda small: small.at("cache", "ls", "--json"),
    "cache verify": lambda small: small.at("cache", "verify", "--json"),
    "report": lambda small: small.at("report", "--json"),
    "predict new": lambda small: small.at("predict", small.new, "--strategy", STRATEGY, "--json"),
    "predict known": lambda small: small.at("predict", small.catalogue, "--json"),
    "predict refit": lambda small: small.at("predict", small.new, "--refit", "--json"),
    "predict model": lambda small: (*small.at("predict", small.new, "--model", small.model), "--json"),
    "export": lambda small: small.at("export", small.root / "exported", "--strategy", STRATEGY, "--json"),
    "explain": lambda small: small.extract("--explain", "--json"),
    "refit": lambda small: small.at("refit", "--strategy", STRATEGY, "--json"),
    "tune": lambda small: small.at(*TUNE, "--json"),
    "fuse tuned": lambda small: small.at(*FUSE, "--tuned", "--json"),
    "fuse": lambda small: small.at(*FUSE, "--json"),
    "extract": lambda small: small.extract("--json"),
}
READERS = {
    "model/": ("predict model",),
    "workspace/contents.json": ("predict new", "predict known", "extract"),
    "workspace/encoders/": ("predict new", "export", "extract"),
    "workspace/features/": ("cache ls", "cache verify", "predict new", "explain", "refit", "fuse", "tune", "extract"),
    "workspace/images.sqlite": ("explain", "extract"),
    "workspace/predictions/": ("predict new",),
    "workspace/questions.json": ("report",),
    "workspace/refit/": ("predict refit", "export", "refit"),
    "workspace/runs/": ("report", "predict new", "predict known", "predict refit", "export", "refit", "fuse"),
    "workspace/split.json": ("explain", "extract", "fuse", "report"),
    "workspace/study.json": (
        "cache verify",
        "report",
        "predict known",
        "export",
        "refit",
        "tune",
        "fuse",
        "explain",
        "extract",
    ),
    "workspace/tuning/": ("tune", "fuse tuned"),
}
"""Where a file lies -> the commands that may read it, those that change something last."""


@pytest.fixture(scope="module")
def sound(study: Small, place: Small) -> dict[str, Any]:
    """What each command says of the undamaged study."""
    found = {}
    for name in COMMANDS:
        study.copy(place.root)
        ended = fusecat(*COMMANDS[name](place))
        assert ended.code == 0, ended.err
        found[name] = answer(name, ended)
    return found


def faults(study: Small, place: Small, sound: dict[str, Any], victim: Path, content: bytes, *, sealed: bool) -> Iterator[str]:
    """What is wrong with how the commands take it that this file holds something else."""
    name = victim.relative_to(study.root).as_posix()
    for command in next(commands for folder, commands in READERS.items() if name.startswith(folder)):
        damage(study, place, name, content)
        try:
            ended = fusecat(*COMMANDS[command](place))
        except BaseException as error:
            yield f"{command}: escaped {type(error).__name__}: {error}"
            continue
        for complaint in judge(place, command, ended, sound[command] if sealed else None, place.root / name):
            yield f"{command}: {complaint}"


def damage(study: Small, place: Small, name: str, content: bytes) -> None:
    """A fresh copy of the study in which one file holds something else."""
    study.copy(place.root)
    if "/encoders/" in name:
        shutil.rmtree(place.workspace / "predictions")  # else nothing is encoded, and no network read
    (place.root / name).unlink()  # it may be another name of the study's own
    (place.root / name).write_bytes(content)


def judge(place: Small, command: str, ended: Ended, expected: Any, victim: Path) -> Iterator[str]:
    lines = ended.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if "Traceback" in ended.err or any("unexpected" in line or "interrupted" in line for line in errors):
        yield f"exit {ended.code}: {ended.err[-600:]}"
    elif "evil" in sys.modules:
        yield "code was imported"
    elif any(len(line) > 1000 for line in lines) or "\x1b" in ended.err + ended.out:
        yield f"unreadable: {ended.err[:200]!r}"
    elif ended.code == 0:
        told = command in ("explain", "cache ls") and "damaged" in ended.out  # this is their very answer
        if expected is not None and not told and answer(command, ended) != expected:
            yield f"exit 0 with other answers; it said {ended.err!r}"
    elif ended.code not in (2, 3, 4, 74):
        yield f"exit {ended.code}: {ended.err[-300:]}"
    elif len(errors) != 1 or lines[-1] != errors[0]:
        yield f"not one line: {ended.err!r}"
    elif victim.name not in errors[0] and str(victim.parent) not in errors[0]:
        yield f"the file is not named: {errors[0]}"
    elif not WAY_OUT.search(errors[0]):
        yield f"no way out: {errors[0]}"


def damaged(study: Small, count: int, seed: int) -> Iterator[tuple[Path, str, bytes, bool]]:
    """(file, kind of damage, new content, whether a digest may tell) of so many damages; each file has its turn."""
    dice = random.Random(seed)
    files = victims(study.workspace, UNREAD) + victims(study.model, UNREAD)
    contents = {path: path.read_bytes() for path in files}
    names = [path for path in files if path.suffix == ".json"]
    kinds = {**SEALED, **UNSEALED}
    done = 0
    while done < count:
        victim = dice.choice(files) if dice.random() < 0.6 else dice.choice(names)
        kind = dice.choice(list(kinds))
        near = [path for path in files if path != victim and path.name == victim.name]
        others = [contents[path] for path in (near if near and dice.random() < 0.6 else files) if path != victim]
        content = kinds[kind](dice, contents[victim], others)
        if content is None or content == contents[victim]:
            continue
        done += 1
        yield victim, kind, content, kind in SEALED


def run_through(study: Small, place: Small, sound: dict[str, Any], count: int, seed: int) -> list[str]:
    return [
        f"{victim.relative_to(study.root)} {kind}: {fault}"
        for victim, kind, content, sealed in damaged(study, count, seed)
        for fault in faults(study, place, sound, victim, content, sealed=sealed)
    ]


@pytest.mark.timeout(600)
def test_some_damages(study: Small, place: Small, sound: dict[str, Any]) -> None:
    assert run_through(study, place, sound, 40, seed=1) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(10))
def test_many_damages(study: Small, place: Small, sound: dict[str, Any], seed: int) -> None:
    assert run_through(study, place, sound, 50, seed=1000 + seed) == []


def removed(place: Small, advice: str) -> None:
    """What the advice of a damaged network says: remove its folder and the file of its feature."""
    folder = Path(re.search(r"remove (\S+) and the file of the feature (\S+)", advice)[1])
    shutil.rmtree(folder)
    for path in (place.workspace / "features").glob(f"{folder.name}.h5*"):
        path.unlink()


WAYS_OUT = {
    "workspace/runs/baseline/average/seed-1/run.json": ("predict known", ["fuse"]),
    "workspace/runs/baseline/average/seed-2/predictions.npz": ("report", ["fuse"]),
    "workspace/runs/probe/se_resnext50.image/seed-1/head.safetensors": ("report", ["fuse"]),
    "workspace/runs/products.npz": ("export", ["fuse"]),
    "workspace/tuning/baseline/average.json": ("fuse tuned", ["tune"]),
    "workspace/tuning/trials.sqlite": ("tune", []),
    "workspace/refit/refit.json": ("predict refit", ["refit"]),
    "workspace/refit/seed-1/head.json": ("predict refit", ["refit"]),
    "workspace/study.json": ("report", ["extract"]),
    "workspace/split.json": ("explain", ["extract"]),
    "workspace/images.sqlite": ("explain", []),
    "workspace/predictions/images.sqlite": ("predict new", []),
    "workspace/features/camembert.title_description.h5": ("refit", ["extract"]),
    "workspace/encoders/camembert.title_description/tokenizer.json": ("export", [removed, "extract"]),
    "workspace/encoders/camembert.title_description/learning.json": ("predict new", [removed, "extract"]),
    "workspace/encoders/se_resnext50.image/network.safetensors": ("export", [removed, "extract"]),
    "model/model.json": ("predict model", ["export over"]),
    "model/heads/seed-1/head.json": ("predict model", ["export over"]),
    "model/encoders/se_resnext50.image/network.safetensors": ("predict model", ["export over"]),
}
"""File -> the command that stumbles over it (or makes it anew by itself), and what its advice says to do."""


@pytest.mark.timeout(900)
def test_the_way_out_works(study: Small, place: Small, sound: dict[str, Any]) -> None:
    commands = COMMANDS | {"export over": lambda small: small.at("export", small.model, "--strategy", STRATEGY)}
    for name, (reader, steps) in WAYS_OUT.items():
        damage(study, place, name, b"")
        ended = fusecat(*COMMANDS[reader](place))
        assert ended.code in ((4,) if steps and reader != "explain" else (0, 4)), (name, ended)
        for step in steps:
            if callable(step):
                step(place, ended.err)
                continue
            assert re.search(f"{step.split()[0]}|the command that made it", ended.err) or reader == "explain", (name, ended.err)
            done = fusecat(*commands[step](place))
            assert done.code == 0, (name, done.err)
        ended = fusecat(*COMMANDS[reader](place))
        assert ended.code == 0, (name, ended.err)
        found, expected = answer(reader, ended), sound[reader]
        if reader == "report":  # the catalogue has another path here
            found["catalogue"] = expected["catalogue"]
        assert found == expected, name
