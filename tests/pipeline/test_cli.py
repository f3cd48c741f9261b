"""The command line as a user meets it: instant help, one line per error, the promised exit codes, light imports."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fusecat.pipeline.cli import COMMANDS, cli
from fusecat.pipeline.console import choice, safe
from fusecat.stages.vocabulary import SplitProtocol

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("help.txt")


def fusecat(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fusecat", *map(str, words)]
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd, env=environment)


def loaded(statement: str) -> set[str]:
    """All modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_help_is_the_golden_one() -> None:
    """`python -m fusecat --help > tests/pipeline/help.txt` after a wanted change."""
    assert fusecat("--help").stdout == GOLDEN.read_text(encoding="utf-8")


def test_every_listed_command_has_a_help() -> None:
    for name in COMMANDS:
        done = CliRunner().invoke(cli, [name, "--help"])
        assert done.exit_code == 0, (name, done.output)
        assert "--workspace" in done.output or name in ("cache", "serve"), name


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("from fusecat.pipeline.cli import cli", {"torch", "numpy", "rich", "transformers", "h5py"}),
        ("import fusecat.stages.fusion.fuse", {"torch", "fusecat.pipeline"}),
        ("import fusecat.stages.fusion.parallel", {"transformers", "torchvision", "cv2", "fusecat.pipeline"}),
        ("import fusecat.cache.store", {"torch", "fusecat.stages", "fusecat.pipeline", "filelock"}),
        ("import fusecat.stages.catalogue.validate", {"torch", "transformers", "fusecat.pipeline"}),
        ("import fusecat.stages.extraction.settings", {"torch", "numpy", "fusecat.pipeline"}),
        ("import fusecat.stages.extraction.extract", {"fusecat.stages.fusion", "fusecat.pipeline"}),
        ("import fusecat.pipeline.report.comparison", {"torch"}),
    ],
)
def test_imports_stay_light_and_run_one_way(statement: str, forbidden: set[str]) -> None:
    assert not loaded(statement) & forbidden


@pytest.mark.parametrize("command", ["--help", "extract --help", "fuse --help"])
def test_help_needs_no_heavy_library(command: str) -> None:
    code = (
        "import sys; sys.argv = ['fusecat', *%r.split()]\n"
        "from fusecat.pipeline.cli import main\ntry: main()\nexcept SystemExit: pass"
    )
    assert not loaded(code % command) & {"torch", "numpy", "transformers"}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["check", "/no/such/folder"], 2, "/no/such/folder"),
        (["extract", "/no/such/folder"], 2, "/no/such/folder"),
        (["fuse", "--fusion", "averag"], 2, "averag"),
        (["fuse", "--seeds", "0"], 2, "--seeds"),
        (["extract", "--preset", "tinny"], 2, "did you mean 'tiny'"),
        (["extract", "--weights", "camembert"], 2, "NETWORK=PATH"),
        (["nonesuch"], 2, "nonesuch"),
        (["check", "--nonesuch"], 2, "--nonesuch"),
    ],
)
def test_wrong_usage_is_one_line(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    done = fusecat(*words, *(["--workspace", tmp_path / "workspace"] if words[0] in COMMANDS else []))
    assert done.returncode == code
    assert len(done.stderr.strip().splitlines()) == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_fuse_before_extract_says_what_to_do(tmp_path: Path) -> None:
    done = fusecat("fuse", "--workspace", tmp_path / "workspace")
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1
    assert "fusecat extract" in done.stderr


def test_report_before_fuse_says_what_to_do(tmp_path: Path) -> None:
    done = fusecat("report", "--workspace", tmp_path)
    assert done.returncode == 4
    assert len(done.stderr.strip().splitlines()) == 1
    assert "fusecat fuse" in done.stderr


def test_a_missing_column_names_file_and_column(tmp_path: Path, sample_cut: Path) -> None:
    for name in ("X_train.tsv", "Y_train.tsv"):
        (tmp_path / name).write_bytes((sample_cut / name).read_bytes().replace(b"Title", b"Titel", 1))
    done = fusecat("extract", tmp_path, "--workspace", tmp_path / "workspace")
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert "X_train.tsv" in done.stderr
    assert "Title" in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_a_workspace_that_cannot_be_written_is_an_input_output_error(tmp_path: Path, sample_cut: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = fusecat("extract", sample_cut, "--workspace", tmp_path / "file" / "workspace", "--networks", "flaubert")
    assert done.returncode == 74
    assert len(done.stderr.strip().splitlines()) == 1


def test_nothing_in_a_catalogue_can_drive_the_terminal() -> None:
    assert safe("a\x1b[2Jb\x07\u202ec\nd") == "a[2Jbc d"
    assert safe("👩\u200d🏫 été") == "👩\u200d🏫 été"


def test_choices_are_the_words_of_the_vocabulary_and_arrive_as_members() -> None:
    for name in ("check", "extract"):
        told = CliRunner().invoke(cli, [name, "--help"]).output
        assert "80-20" in told, name
        assert "TEST_20" not in told, name
    values = choice(SplitProtocol)
    assert values.convert("90-10", None, None) is SplitProtocol.NO_TEST
    with pytest.raises(click.BadParameter):
        values.convert("NO_TEST", None, None)
