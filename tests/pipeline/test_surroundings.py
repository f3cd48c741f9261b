"""Where a command runs must not matter: streams that are closed or know no accents, narrow windows, folders that are gone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusecat.pipeline.console import quoted
from tests.names import HOSTILE
from tests.pipeline.report.studies import make_study

ROOT = Path(__file__).parents[2]
STRATEGIES = ("baseline/average", "flat/average", "probe/camembert.title", "unimodal/camembert.title")
NOWHERE = {"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "MPLBACKEND": "nonsense"}
POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = {"train": 60, "validation": 30, "test": 40}
    return make_study(tmp_path_factory.mktemp("study"), strategies=STRATEGIES, classes=4, products=parts, seeds=2)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A few French products without pictures."""
    rows = [f'{at},"Chêne n° {at} – été",{"Forêt" if at % 2 else "Jardin"}' for at in range(40)]
    path = tmp_path / "Produits d'été.csv"
    path.write_text("\n".join(["id,title,label", *rows]) + "\n", encoding="utf-8")
    return path


def fusecat(*words: object, shell: str = "", cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command with these variables, in a shell that does `shell` with it (`>&-`, `| head -1`)."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    inherited |= {"PYTHONPATH": str(ROOT), "COLUMNS": "100"} | environment
    line = f"set -o pipefail; {quoted(sys.executable, '-m', 'fusecat', *words)} {shell}"
    return subprocess.run(["bash", "-c", line], capture_output=True, timeout=200, check=False, cwd=cwd, env=inherited)


def check(catalogue: Path, *options: str, **more: object) -> "subprocess.CompletedProcess[bytes]":
    return fusecat("check", catalogue, "--columns", "id=id,title=title,label=label", *options, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", ["0", "20"])
def test_a_report_without_home_accents_or_room_is_whole(study: Path, columns: str) -> None:
    done = fusecat("report", "--workspace", study, **NOWHERE, PYTHONIOENCODING="ascii", COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, b"")
    told = done.stdout.decode("ascii")
    lines = [line for line in told.splitlines() if "|" in line and any(f" {name} " in line for name in STRATEGIES)]
    assert len(lines) == len(STRATEGIES) - 1 and "1 more single features are in the report" in told, told
    assert all(line.count(".") >= 2 and "..." not in line for line in lines), told
    assert (study / "report" / "index.html").exists()


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, POSIX])
def test_accents_are_spelt_where_a_stream_knows_none(catalogue: Path, environment: dict[str, str]) -> None:
    done = check(catalogue, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Ready" in done.stdout
    done = check(catalogue, "--json", **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    record = json.loads(done.stdout.decode(environment.get("PYTHONIOENCODING", "ascii")))
    assert set(record["class_balance"]) == {"Forêt", "Jardin"}


@pytest.mark.parametrize("shell", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(catalogue: Path, shell: str) -> None:
    done = check(catalogue, shell=shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"Ready" in done.stdout) == (">&-" not in shell.replace("2>&-", ""))


def test_the_number_of_a_closed_stream_is_given_to_no_file(tmp_path: Path) -> None:
    code = f"""
import os, sys
from fusecat.pipeline.console import open_streams
for number in (0, 1, 2): os.close(number)
sys.stdin = sys.stdout = sys.stderr = None
open_streams()
with open({str(tmp_path / "file")!r}, "w") as file:
    os.system("echo a library complains; echo louder >&2")
    print("said", file=sys.stdout)
    file.write(str(file.fileno() > 2))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "True"


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["check", "--columns", "id=id,title=title,label=label"]])
def test_a_reader_that_leaves_is_no_unexpected_error(catalogue: Path, words: list[str]) -> None:
    done = fusecat(*words, *([catalogue] if "--columns" in words else []), shell="| (exec <&-; sleep 3)")
    assert (done.returncode, done.stderr) == (74, b"")


def test_a_full_stdout_is_an_error_in_one_line(catalogue: Path) -> None:
    done = check(catalogue, shell="> /dev/full")
    assert done.returncode == 74
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"error: standard output: No space left on device")


def test_a_folder_that_is_gone_can_be_worked_in(sample_cut: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    words = [sys.executable, "-c", "import os; os.rmdir(os.getcwd()); from fusecat.pipeline.cli import main; main()"]
    words += ["check", str(sample_cut)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path / "gone", capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"Ready" in done.stdout
    assert done.stderr.startswith(b"warning: workspace/images.sqlite may not be written") and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("word", [*HOSTILE, "new\nline\ttab\x1b[31m", os.fsdecode(b"\xe9t\xe9 d'hiver"), "back\\slash\n", ""])
def test_a_command_that_is_shown_can_be_pasted(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("utf-8", "ascii"):
        monkeypatch.setattr(sys, "stdout", open(os.devnull, "w", encoding=encoding))  # noqa: PTH123, SIM115
        line = quoted("printf", "%s", word)
        assert line.isprintable()
        line.encode(encoding)
        sys.stdout.close()
        monkeypatch.undo()
        assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == os.fsencode(word)
