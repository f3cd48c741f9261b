"""The README cannot rot: it is short, its commands exist, and they run - on a cut of the sample."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pytest

from benchmarks.demo import rewritten
from fusecat.pipeline.cli import COMMANDS, cli
from tests.conftest import read_table, write_table
from tests.readme_tree import ROOT, pages

README = (ROOT / "README.md").read_text(encoding="utf-8")
PRESET = ROOT / "tests" / "small.toml"
LONGEST = 1100  # words


def test_it_is_short() -> None:
    assert len(README.split()) <= LONGEST


def test_what_the_code_writes_of_docs_is_todays() -> None:
    written = pages()
    stale = [path.name for path, text in written.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert not stale, "run: python -m tests.readme_tree"
    there = {path for folder in ("files", "commands") for path in (ROOT / "docs" / folder).iterdir()}
    assert there == set(written), "a page of a command or folder that is gone: remove it"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_links_exists(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_every_command_and_flag_that_the_readme_names_exists() -> None:
    assert {words[0] for words in commands_in(README)} >= {"check", "extract", "fuse", "predict", "export"}


def commands_in(text: str) -> list[list[str]]:
    """The words of every `fusecat` command in a text; fails where a command or one of its flags does not exist."""
    lines = re.findall(r"(?:^|`|(?<!from)\s|/)fusecat ((?:[a-z]+)[^`\n]*)", text)
    named = [words for line in lines if (words := line.split()) and words[0] in COMMANDS]
    context = click.Context(cli)
    for words in named:
        command = cli.get_command(context, words[0])
        assert command is not None
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.get_command(context, words[1])
            assert command is not None, words
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, words
    return named


def section(title: str, language: str = "") -> list[str]:
    """The lines of the first piece of code below a heading of the README."""
    match = re.search(rf"^## {title}.*?^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[1].splitlines()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme") / "workspace é"


@pytest.fixture(scope="module")
def run(sample_cut: Path, workspace: Path):
    """Run a command of the README, `make` or `fusecat`, on the cut of the sample, with the project of this interpreter."""

    def command(line: str, *more: str, folder: Path = ROOT) -> None:
        words = line.replace("/data/rakuten", str(sample_cut)).replace("/data/new", str(sample_cut))
        words = words.replace("PRESET=modern", f"PRESET={PRESET}").replace("--preset tiny", f"--preset {PRESET}")
        program, *rest = shlex.split(words)
        if program == "make":
            tools = [f"FUSECAT={sys.executable} -m fusecat", f"BIN={Path(sys.executable).parent}", f"WORKSPACE={workspace}"]
            rest = ["make", "-o", ".venv/installed", *rest, *tools]
        else:
            rest = [sys.executable, "-m", "fusecat", *rest]
        environment = os.environ | {"COLUMNS": "100"}
        done = subprocess.run(
            [*rest, *more], cwd=folder, capture_output=True, text=True, timeout=280, check=False, env=environment
        )
        assert done.returncode == 0, (line, done.stdout[-1500:], done.stderr[-1500:])

    return command


def test_the_rakuten_walk_through_runs_from_check_to_report(run, workspace: Path) -> None:
    commands = section("Rakuten, in four commands")
    assert [line.split()[1] for line in commands] == ["check", "extract", "fuse", "report"]
    for line in commands:
        run(line, *(["SEEDS=2"] if "fuse" in line else []))
    report = json.loads((workspace / "report" / "report.json").read_text(encoding="utf-8"))
    names = {row["strategy"] for row in report["rows"]}
    assert {"baseline/average", "flat/average", "hierarchical/concatenation/average"} <= names
    assert report["chosen"] in names
    assert f"**{report['chosen']}**" in rewritten(README, report)
    for name in ("index.html", "report.md", "report.csv", "report.tex"):
        assert (workspace / "report" / name).stat().st_size > 200


def test_new_products_are_classified_as_the_readme_says(run, workspace: Path, tmp_path: Path) -> None:
    if not (workspace / "report").exists():
        pytest.skip("the walk-through did not run")
    predict, export = section("New products")
    run(predict, "--workspace", str(workspace), "--output", str(tmp_path / "new.csv"))
    with (tmp_path / "new.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 181
    run(export, "--workspace", str(workspace), folder=tmp_path)
    assert (tmp_path / "model" / "README.md").exists()


def test_the_exported_model_answers_from_python_as_the_docs_say(
    run, workspace: Path, sample_cut: Path, tmp_path: Path, monkeypatch
):
    if not (workspace / "report").exists():
        pytest.skip("the walk-through did not run")
    run("fusecat export model", "--workspace", str(workspace), folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    shutil.copy(min((sample_cut / "image_training").iterdir()), "chaise.jpg")
    page = (ROOT / "docs" / "prediction.md").read_text(encoding="utf-8")
    catalogue, products = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    exec(catalogue.replace("/data/new", str(sample_cut)), {})
    scope: dict[str, Any] = {}
    exec(products, scope)
    assert len(scope["answers"].codes) == 1
    assert 0 < scope["answers"].probability[0] <= 1
    assert scope["model"].texts


def test_a_catalogue_of_ones_own_goes_the_same_way(run, sample_cut: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my_folder"
    shutil.copytree(sample_cut / "image_training", folder)
    codes = {row["Integer_id"]: row["Prdtypecode"] for row in read_table(sample_cut / "Y_train.tsv")}
    rows = [
        {
            "sku": row["Integer_id"],
            "name": row["Title"],
            "category": codes[row["Integer_id"]],
            "photo": f"image_{row['Image_id']}_product_{row['Product_id']}.jpg",
        }
        for row in read_table(sample_cut / "X_train.tsv")
    ]
    write_table(folder / "products.csv", rows, ",")
    check, extract, fuse = section("Your own catalogue, in three")
    with pytest.raises(AssertionError, match="--columns"):  # the mapping to paste, and exit code 3
        run(check, folder=tmp_path)
    run(extract, "--networks", "flaubert,se_resnext50", folder=tmp_path)
    run(fuse, "--seeds", "1", folder=tmp_path)


def test_the_notebook_in_five_lines_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    labels = np.arange(120) % 3
    np.save("labels.npy", labels)
    for name in ("text", "image"):
        np.save(f"{name}.npy", random.normal(size=(120, 4)) + labels[:, None])
    lines = section("A notebook, in five lines", "python")
    assert len([line for line in lines if line]) <= 5
    scope: dict[str, object] = {}
    code = "\n".join(lines)
    whole = 'np.load("labels.npy"))'
    assert code.count(whole) == 1
    exec(code.replace(whole, f"{whole[:-1]}, splits=2, seeds=1, fusion='average')"), scope)
    assert scope["comparison"]


def test_what_the_walk_through_wrote_is_read_without_this_project(workspace: Path) -> None:
    path = workspace / "features" / "camembert.title_description.h5"
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
