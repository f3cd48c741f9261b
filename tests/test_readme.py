"""The README cannot rot: its tree is today's, its commands exist, and they run - on a cut of the sample."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import h5py
import numpy as np
import pytest

from fusecat.pipeline.cli import COMMANDS, cli
from tests.readme_tree import ROOT, pages

README = (ROOT / "README.md").read_text(encoding="utf-8")
PRESET = ROOT / "tests" / "small.toml"


def test_what_the_code_writes_of_docs_is_todays() -> None:
    written = pages()
    stale = [path.name for path, text in written.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert not stale, "run: python -m tests.readme_tree"
    there = {path for folder in ("files", "commands") for path in (ROOT / "docs" / folder).iterdir()}
    assert there == set(written), "a page of a command or folder that is gone: remove it"


def test_every_file_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_every_command_and_flag_that_the_readme_names_exists() -> None:
    assert {words[0] for words in commands_in(README)} >= {"check", "extract", "import", "cache"}


def commands_in(text: str) -> list[list[str]]:
    """The words of every `fusecat` command in a text; fails where a command or one of its flags does not exist."""
    lines = re.findall(r"(?:^|`|(?<!from)\s|/)fusecat ((?:[a-z]+)[^`\n]*)", text)
    named = [words for line in lines if (words := line.split()) and words[0] in COMMANDS]
    context = click.Context(cli)
    for words in named:
        command = cli.get_command(context, words[0])
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words
    return named


@pytest.fixture(scope="module")
def make(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory):
    """Run a `make` command of the README, on the cut of the sample, with the installed project of this interpreter."""
    workspace = tmp_path_factory.mktemp("readme") / "workspace é"

    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = command.replace("/data/rakuten", str(sample_cut)).replace("PRESET=modern", f"PRESET={PRESET}").split()[1:]
        tools = [f"FUSECAT={sys.executable} -m fusecat", f"BIN={Path(sys.executable).parent}", f"WORKSPACE={workspace}"]
        environment = os.environ | {"COLUMNS": "100"}
        return subprocess.run(
            ["make", "-o", ".venv/installed", *words, *tools],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            env=environment,
        )

    run.workspace = workspace
    return run


def test_the_rakuten_walk_through_runs_from_check_to_report(make) -> None:
    commands = [
        "make check CATALOG=/data/rakuten",
        *re.findall(r"`(make (?:extract|fuse|report)[^`]*)`", README)[:2],
        "make report",
    ]
    assert commands[1:3] == ["make extract CATALOG=/data/rakuten PRESET=modern", "make fuse FUSION=average"]
    for command in commands:
        done = make(f"{command} SEEDS=2" if "fuse" in command else command)
        assert done.returncode == 0, (command, done.stdout[-1500:], done.stderr[-1500:])
    report = json.loads((make.workspace / "report" / "report.json").read_text(encoding="utf-8"))
    names = {row["strategy"] for row in report["rows"]}
    assert {"baseline/average", "flat/average", "hierarchical/concatenation/average"} <= names
    assert report["chosen"] in names
    for name in ("index.html", "report.md", "report.csv", "report.tex"):
        assert (make.workspace / "report" / name).stat().st_size > 200


def test_what_the_walk_through_wrote_is_read_without_this_project(make) -> None:
    path = make.workspace / "features" / "camembert.title_description.h5"
    if not path.exists():
        pytest.skip("the walk-through did not run")
    with h5py.File(path) as file:
        rows = len(file["product_id"])
        assert file["embedding"].shape == (rows, 32)
        assert file["embedding"].dtype == np.float16
        assert file["label"].dtype == np.int32
        assert set(file["split"][:].tolist()) <= {0, 1, 2, 3, 255}
        assert file["product_id"].asstr()[0]
    for tool, *options in (["h5ls", "-r"], ["h5dump", "-H"]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: hdf5-tools)")
        done = subprocess.run([tool, *options, str(path)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0
        assert "embedding" in done.stdout


def test_make_help_lists_every_target_of_the_readme() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.MULTILINE)):
        assert f"make {target}" in done.stdout, target
