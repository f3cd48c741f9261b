"""`fusecat extract` as a user starts, interrupts and starts it again."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusecat.pipeline.commands._progress import Ticker
from fusecat.pipeline.commands.extract import command
from fusecat.pipeline.console import console
from fusecat.stages import progress
from fusecat.stages.errors import UsageError

ROOT = Path(__file__).parents[3]
PRESET = ROOT / "tests" / "small.toml"
FEATURE = "flaubert.title"


def words(catalogue: Path, workspace: Path, *more: object) -> list[str]:
    options = ["--preset", PRESET, "--networks", "flaubert", "--fields", "title", "--device", "cpu", "--workspace", workspace]
    return [str(word) for word in (sys.executable, "-m", "fusecat", "extract", catalogue, *options, *more)]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def interrupted(command: list[str], workspace: Path, number: int) -> tuple[int, str]:
    """Exit code and errors of a run that gets a signal once an epoch of fine-tuning is safe."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 150
    while not list((workspace / "encoders" / FEATURE).glob("checkpoints/checkpoint-*/complete")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors


EPOCHS = ("--epochs", 8)


@pytest.fixture(scope="module")
def whole(sample_cut: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The feature of a run that nobody disturbed."""
    workspace = tmp_path_factory.mktemp("whole")
    assert run(words(sample_cut, workspace, *EPOCHS)).returncode == 0
    return (workspace / "features" / f"{FEATURE}.h5").read_bytes()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_an_interrupted_fine_tuning_goes_on_and_ends_with_the_same_file(
    number: int, code: int, sample_cut: Path, whole: bytes, tmp_path: Path
) -> None:
    returned, errors = interrupted(words(sample_cut, tmp_path, *EPOCHS), tmp_path, number)
    assert returned == code
    if number == signal.SIGINT:
        assert len(errors.strip().splitlines()) == 1
        assert errors.strip() == "error: interrupted; the same command goes on from here"
    again = run(words(sample_cut, tmp_path, *EPOCHS))
    assert again.returncode == 0, again.stderr
    assert f"{FEATURE}: going on from the checkpoint of epoch" in again.stdout
    assert (tmp_path / "features" / f"{FEATURE}.h5").read_bytes() == whole


def test_network_seeds_are_workspaces_of_one_split(sample_cut: Path, tmp_path: Path) -> None:
    done = run(words(sample_cut, tmp_path / "study", "--network-seeds", 2, "--epochs", 1, "--max-image-pixels", 10**6))
    assert done.returncode == 0, done.stderr
    places = [tmp_path / "study", tmp_path / "study-network-seed-2"]
    seeds, weights, splits = [], [], []
    for place in places:
        study = json.loads((place / "study.json").read_text(encoding="utf-8"))
        assert study["reading"]["max_image_pixels"] == 10**6
        record = study["features"][FEATURE]
        seeds.append(record["settings"]["training"]["seed"])
        weights.append(record["weights"])
        splits.append((place / "split.json").read_bytes())
    assert seeds[1] == seeds[0] + 1
    assert weights[0] != weights[1]
    assert splits[0] == splits[1]
    assert f"then: fusecat report --pool {places[0]} {places[1]}" in done.stdout
    again = run(words(sample_cut, tmp_path / "study", "--epochs", 1))
    assert "already there, reused" in again.stdout


@pytest.mark.parametrize("more", [[], ["--freeze"]], ids=["fine-tuned", "frozen"])
def test_a_probe_times_every_network_and_writes_nothing(more: list[str], sample_cut: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    both = words(
        sample_cut, workspace, "--networks", "se_resnext50", "--fields", "image", "--dry-run", "--probe", "--json", *more
    )
    done = run(both)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    text, image = told["probe"]
    assert [each["timing"]["feature"] for each in (text, image)] == [FEATURE, "se_resnext50.image"]
    for each in (text, image):
        timing = each["timing"]
        assert timing["steps"] == 20
        assert min(timing["step"], timing["product"], timing["memory"], each["fine_tuning"], each["extraction"]) > 0
    assert text["timing"]["tokenising"] > 0 == image["timing"]["tokenising"]
    assert [each["steps"] for each in told["probe"]] == [plan["steps"] for plan in told["plans"]]
    assert not workspace.exists()


def test_a_probe_without_a_dry_run_is_refused_in_one_line(sample_cut: Path, tmp_path: Path) -> None:
    done = run(words(sample_cut, tmp_path / "workspace", "--probe"))
    assert (done.returncode, done.stderr) == (2, "error: --probe: goes with --dry-run only; add --dry-run\n")


def test_logs_and_the_summary_of_an_extraction(sample_cut: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    workspace = tmp_path / "workspace"
    done = run(words(sample_cut, workspace, "--tensorboard", "--json"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)[FEATURE]
    kept = json.loads((workspace / "study.json").read_text(encoding="utf-8"))["features"][FEATURE]
    assert (told["epochs"], told["best_epoch"]) == (kept["epochs"], kept["best_epoch"])
    assert told["validation"] == kept["scores"]["validation"]
    assert told["memory"] == kept["memory"] > 1e7
    assert (told["device_memory"], kept["device_memory"]) == (0, 0), "there is no GPU here"
    scores = [epoch["macro_f1"] for epoch in kept["curve"]]
    assert logged(workspace / "tensorboard" / FEATURE, "eval/macro_f1") == pytest.approx(scores)
    again = run(words(sample_cut, workspace))
    assert "already there, reused" in again.stdout, "logs are no part of the recipe"
    assert " hit " in again.stdout, "the summary shows what was there"
    assert json.loads((workspace / "study.json").read_text(encoding="utf-8"))["features"][FEATURE] == kept


def logged(folder: Path, name: str) -> list[float]:
    """The values of one curve as TensorBoard reads them."""
    code = (
        "import json, sys\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "events = EventAccumulator(sys.argv[1]); events.Reload()\n"
        "print(json.dumps([event.value for event in events.Scalars(sys.argv[2])]))"
    )  # elsewhere, because its libraries warn
    done = subprocess.run([sys.executable, "-c", code, str(folder), name], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_without_tensorboard_its_flag_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else found(name, *rest))
    with pytest.raises(UsageError, match=r"--tracker tensorboard: .*pip install fusecat\[tensorboard\]"):
        command.main([str(PRESET.parent), "--tensorboard"], standalone_mode=False)


def test_no_step_is_told_twice(monkeypatch, capsys):
    monkeypatch.delenv("FUSECAT_SILENCE", raising=False)
    monkeypatch.setattr(progress, "EVERY", 0.3)
    with progress.heartbeat(), Ticker(console()) as ticker:
        for done in range(1, 4):
            ticker(FEATURE, "extraction", done, 3, "5 products/s")
            time.sleep(0.9)  # slower than told: the clock tells each step, and so did the next call
    out, err = capsys.readouterr()
    assert out == ""
    steps = [line.split(", ")[:2] for line in err.splitlines()]
    assert [f"{FEATURE}: extraction 3/3", "5 products/s"] in steps
