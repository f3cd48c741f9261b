"""A workspace that may not be written, another user's or on a read-only mount, can be looked at and used all the same."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import read_table
from tests.stages.small_study import small_study
from tests.unprivileged import close, fusecat, reopen


@pytest.fixture(scope="module")
def workspace(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study with features, runs and networks in which nothing may be written."""
    known = small_study(sample_cut, tmp_path_factory.getbasetemp() / "small study").root
    folder = tmp_path_factory.mktemp("closed") / "it's closed"
    shutil.copytree(known, folder, ignore=shutil.ignore_patterns("report", "predictions", "images.sqlite"))
    yield close(folder)
    reopen(folder)


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_check_remembers_nothing_and_says_so(workspace: Path, sample_cut: Path, tmp_path: Path) -> None:
    before = files(workspace)
    done = fusecat("check", sample_cut, "--json", "--workspace", workspace, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["products"] == 180
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: {workspace}/images.sqlite may not be written: ") and line.endswith("not remembered")
    assert files(workspace) == before


def test_check_works_in_a_folder_that_may_not_be_written(sample_cut: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = fusecat("check", sample_cut, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Ready" in done.stdout
    assert len(done.stderr.splitlines()) == 1
    quiet = fusecat("check", sample_cut, "--images", "none", cwd=tmp_path)  # nothing could have been remembered
    assert (quiet.returncode, quiet.stderr) == (0, "")
    tmp_path.chmod(0o700)


def test_check_makes_no_workspace_where_there_is_nothing_to_remember(sample_cut: Path, tmp_path: Path) -> None:
    done = fusecat("check", sample_cut, "--images", "none", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_check_knows_what_was_remembered_before(workspace: Path, sample_cut: Path, tmp_path: Path) -> None:
    assert fusecat("check", sample_cut, "--workspace", tmp_path / "open", cwd=tmp_path).returncode == 0
    close(tmp_path / "open")
    done = fusecat("check", sample_cut, "--workspace", tmp_path / "open", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")  # no picture had to be looked at again
    reopen(tmp_path / "open")


def test_a_plan_needs_no_workspace_that_may_be_written(workspace: Path, sample_cut: Path, tmp_path: Path) -> None:
    before = files(workspace)
    done = fusecat("extract", sample_cut, "--dry-run", "--workspace", workspace, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert files(workspace) == before


@pytest.mark.parametrize("options", [["--shareable"], ["--json"]])
def test_report_prints_all_and_says_how_to_get_the_page(workspace: Path, tmp_path: Path, options: list[str]) -> None:
    before = files(workspace)
    done = fusecat("report", "--workspace", workspace, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "hierarchical/concatenation/average" in done.stdout
    assert "verdict" in json.loads(done.stdout) if "--json" in options else "is chosen on validation" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: {workspace}/report") and "may not be written" in line
    shareable = " --shareable" if "--shareable" in options else ""
    quoted = str(workspace).replace("'", "'\"'\"'")
    assert line.endswith(f"fusecat report --workspace '{quoted}'{shareable} --output DIR")
    assert files(workspace) == before


@pytest.mark.parametrize(("options", "wanted"), [([], "report.tex"), (["--shareable"], "report-bundle.zip")])
def test_the_report_can_be_written_elsewhere(workspace: Path, tmp_path: Path, options: list[str], wanted: str) -> None:
    done = fusecat("report", "--workspace", workspace, *options, "--output", "here", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("report: here/index.html\n")
    assert {"index.html", wanted} <= {path.name for path in (tmp_path / "here").iterdir()}


def test_a_pool_too(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace / "runs", tmp_path / "other" / "runs")
    shutil.copy(workspace / "study.json", tmp_path / "other")
    words = ("report", "--pool", workspace, "other")
    done = fusecat(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "may not be written" in done.stderr and "--output DIR" in done.stderr
    done = fusecat(*words, "--output", "here", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["workspaces"] == [str(workspace), "other"]
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"pool.html", "pool.json", "pool.md"}
    reopen(tmp_path / "other")


def test_predict_keeps_nothing_and_needs_an_output(workspace: Path, sample_cut: Path, tmp_path: Path) -> None:
    before = files(workspace)
    done = fusecat("predict", sample_cut, "--workspace", workspace, cwd=tmp_path)
    assert done.returncode == 74
    assert "catalogue.csv" in done.stderr and "--output FILE" in done.stderr
    done = fusecat("predict", sample_cut, "--workspace", workspace, "--output", "here.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"warning: {workspace}/predictions may not be written: the vectors of these products are not kept\n"
    assert len(read_table(tmp_path / "here.csv", ",")) == 180
    assert files(workspace) == before


def test_predict_knows_the_vectors_that_are_there(workspace: Path, sample_cut: Path, tmp_path: Path) -> None:
    own = shutil.copytree(workspace, tmp_path / "own")
    reopen(own)
    words = ("predict", sample_cut, "--json", "--output", "here.csv", "--workspace", "own")
    first = fusecat(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert sum(json.loads(first.stdout)["encoded"].values()) > 0
    close(own)
    before = files(own)
    again = fusecat(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert sum(json.loads(again.stdout)["encoded"].values()) == 0
    assert files(own) == before
    reopen(own)


def test_a_model_is_exported_and_used_without_a_folder_to_keep_vectors_in(
    workspace: Path, sample_cut: Path, tmp_path: Path
) -> None:
    done = fusecat("export", "model", "--workspace", workspace, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    modes = {path.stat().st_mode & 0o200 for path in (tmp_path / "model").rglob("*")}
    assert modes == {0o200}, "a copy is its owner's, whatever the source was"
    (tmp_path / "out").mkdir()
    tmp_path.chmod(0o500)
    done = fusecat("predict", sample_cut, "--model", "model", "--output", "out/here.csv", cwd=tmp_path)
    tmp_path.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert len(read_table(tmp_path / "out/here.csv", ",")) == 180


def test_what_is_cached_can_be_listed_verified_and_exported(workspace: Path, tmp_path: Path) -> None:
    for words in (["ls"], ["verify"], ["export", "camembert.title", "--to", "here.npz"]):
        done = fusecat("cache", *words, "--workspace", workspace, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), words


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fuse", "tune", "refit"])
def test_what_has_to_write_names_the_place(command: str, workspace: Path, tmp_path: Path) -> None:
    done = fusecat(command, "--workspace", workspace, cwd=tmp_path)
    assert done.returncode == 74
    assert len(done.stderr.splitlines()) == 1
    assert str(workspace) in done.stderr


def test_another_page_is_not_replaced_and_no_device_either(workspace: Path, sample_cut: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    done = fusecat("report", "--workspace", workspace, "--output", ".", cwd=tmp_path)
    assert done.returncode == 2 and "no report" in done.stderr
    assert (tmp_path / "index.html").read_text() == "mine"
    os.mkfifo(tmp_path / "pipe")
    done = fusecat("predict", sample_cut, "--workspace", workspace, "--output", "pipe", cwd=tmp_path)
    assert done.returncode == 2 and "name a file" in done.stderr
    assert (tmp_path / "pipe").is_fifo()
