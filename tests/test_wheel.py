"""What users get: a wheel in a clean environment, used in a folder whose own files have the names of our folders."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from fusecat import __version__
from tests.readme_tree import ROOT

HIJACKED = "raise SystemExit('a file of the user was imported in place of ours')\n"
COMPARE = """
import numpy, fusecat
from fusecat import FusionClassifier, MergeModule, classify, compare, load_model, open_features

labels = numpy.arange(60) % 3
views = {name: numpy.random.default_rng(1).normal(size=(60, 4)) + labels[:, None] for name in ("text", "image")}
if __name__ == "__main__":
    from fusecat.stages.fusion import parallel

    parallel.WORTH_SPREADING = 0.0  # worker processes are started at once
    print(fusecat.__file__, len(compare(views, labels, fusion="average", seeds=2, splits=1, processes=2).rows))
"""


def build(kind: str, source: Path, folder: Path) -> Path:
    """`wheel` or `sdist` of a source tree, by setuptools as it is installed here: nothing is downloaded."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / done.stdout.split()[-1]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from, links as links: building leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("fusecat", "pipeline", "stages", "cache"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build("wheel", source, source.parent)


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and nothing else of this project; the libraries are those of the tests."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert {path.name for path in site.iterdir()} == {"fusecat", f"fusecat-{__version__}.dist-info"}
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cache").mkdir()
    for name in ("pipeline.py", "stages.py", "cache/__init__.py"):
        (tmp_path / name).write_text(HIJACKED)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*command: object) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_door_and_worker_processes(clean: Path, hostile: Path) -> None:
    (hostile / "mine.py").write_text(COMPARE)
    where, rows = run(clean / "python", "mine.py").split()
    assert Path(where).is_relative_to(clean.parent)
    assert int(rows) > 1


@pytest.mark.parametrize("command", [["fusecat"], ["python", "-m", "fusecat"]])
def test_the_command_line(command: list[str], clean: Path, hostile: Path, sample_cut: Path) -> None:
    """Pictures are decoded in processes of their own, which find the package too."""
    program = [clean / command[0], *command[1:]]
    assert run(*program, "--version") == f"fusecat, version {__version__}\n"
    found = json.loads(run(*program, "check", sample_cut, "--workspace", hostile / "workspace", "--json"))
    assert (found["products"], found["unreadable_images"]) == (180, 0)


def test_a_source_distribution_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", source, tmp_path)
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert names(build("wheel", unpacked, tmp_path)) == names(wheel)
    assert {"fusecat/py.typed", "fusecat/cache/FORMAT.md", "fusecat/pipeline/presets/tiny.toml"} <= names(wheel)
