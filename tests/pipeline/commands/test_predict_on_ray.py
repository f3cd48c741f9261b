"""`fusecat predict --engine ray`: the answers of predict from two models at once, and none twice after a kill."""

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSelector, S3FileSystem

from fusecat.stages.catalogue.data_model import Catalogue, ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.prediction import Model, load_model, predict, save_model
from fusecat.stages.prediction.formats import Format, Layout, write
from tests.stages.prediction.test_addresses import of_store, server  # noqa: F401
from tests.stages.small_study import STRATEGIES, small_study

CLUSTER = """
import logging, os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def model(sample_cut: Path, tmp_path_factory) -> Path:
    place = small_study(sample_cut, tmp_path_factory.getbasetemp() / "small study")
    return save_model(Model.of_runs(place, STRATEGIES[0], (1, 2), class_names={}), tmp_path_factory.mktemp("model") / "m", "")


def call(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fusecat", "predict", "--engine", "ray", *map(str, words)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | {"FUSECAT_SILENCE": "600"} | environment,
    )


def test_what_the_engine_does_not_take_is_refused(model, tmp_path) -> None:
    for words, message in (
        ([], "--engine ray needs --input, --output and --model"),
        (["--format", "csv"], "--format is not for --engine ray"),
        (["--strategy", "late/mean"], "--strategy is not for --engine ray"),
        ([tmp_path], "catalogue is not for --engine ray"),
    ):
        done = call(*words)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Starts a Ray of four processors, with the environment of the moment, and tells its address."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # else a cluster that finds an old token in the home folder asks for it
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with ExitStack() as running:

        def start() -> str:
            # in a process of its own, because its libraries warn; it ends when its stdin does
            command = [sys.executable, "-c", CLUSTER]
            process = running.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            return process.stdout.readline().strip()

        yield start


def rows_of(catalogue: Catalogue, picture: Callable[[Path], object]) -> list[dict[str, object]]:
    return [
        {
            "id": product.id,
            "title": product.title,
            "description": product.description,
            "image": picture(product.images[0]) if product.images else None,
        }
        for product in catalogue.products
    ]


def same_as_predict(model: Path, catalogue: Catalogue, found: list[dict], folder: Path) -> None:
    loaded = load_model(model)
    path = write(folder / "p.parquet", Layout(Format.PARQUET), loaded, catalogue, predict(loaded, catalogue, folder / "store"))
    answers = {row["id"]: row for row in found}
    assert len(answers) == len(found) == len(catalogue.products)
    for row in pq.read_table(path).to_pylist():
        same = answers[row["id"]]
        assert (same["code"], same["missing"], same["flag"]) == (row["code"], row["missing"], row["flag"])
        assert same["probability"] == pytest.approx(row["probability"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_models_answer_as_predict_does_and_a_killed_job_answers_nothing_twice(model, sample_cut, tmp_path, cluster) -> None:
    catalogue = read_catalogue(sample_cut, ReadingOptions(labels=False))
    rows = rows_of(catalogue, lambda path: str(path.absolute()))
    block = 64  # of the model's networks: batches are those of `predict`
    (tmp_path / "in").mkdir()
    parts = [rows[start : start + block] for start in range(0, len(rows), block)]
    for number, part in enumerate(parts):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / "in" / f"{number:02d}.parquet")
    address = cluster()
    out = tmp_path / "out"
    words = ["--input", tmp_path / "in", "--output", out, "--model", model, "--workers", 2, "--json"]
    words += ["--image-folder", sample_cut]
    command = [sys.executable, "-m", "fusecat", "predict", "--engine", "ray", *map(str, words)]
    with subprocess.Popen(command, env=os.environ | {"RAY_ADDRESS": address}, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(out.glob("*.parquet")):
            time.sleep(0.05)
        process.kill()
    done = call(*words, RAY_ADDRESS=address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["products"] == len(rows)
    files = {path: path.read_bytes() for path in out.glob("*.parquet")}
    assert call(*words, RAY_ADDRESS=address).returncode == 0, "nothing is left to do"
    assert {path: path.read_bytes() for path in out.glob("*.parquet")} == files
    other = call(*words, "--top", 2, RAY_ADDRESS=address)
    assert other.returncode == 2 and "another top" in other.stderr
    late = [row | {"id": f"new {row['id']}"} for row in rows[:3]]
    pq.write_table(pa.Table.from_pylist(late), tmp_path / "in" / "later.parquet")
    assert json.loads(call(*words, RAY_ADDRESS=address).stdout)["products"] == len(rows) + 3
    bad = tmp_path / "bad"
    bad.mkdir()
    pq.write_table(pa.Table.from_pylist([rows[0] | {"image": "https://x.example/a.jpg"}]), bad / "a.parquet")
    refused = call("--input", bad, "--output", tmp_path / "bad out", "--model", model, RAY_ADDRESS=address)
    last = refused.stderr.splitlines()[-1]
    assert refused.returncode == 3 and last.startswith("error: product "), last
    assert "nothing is fetched from the web" in last
    found = [row for path in files for row in pq.read_table(path).to_pylist()]
    same_as_predict(model, catalogue, found, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_bucket_to_bucket(model, sample_cut, tmp_path, cluster, server, monkeypatch) -> None:  # noqa: F811
    of_store(monkeypatch, server)
    store = S3FileSystem(endpoint_override=server, allow_bucket_creation=True)
    for name in ("shop", "answers"):
        store.create_dir(name)

    def uploaded(path: Path) -> str:
        key = f"shop/photos/été 100% {path.name}"
        with store.open_output_stream(key) as file:
            file.write(path.read_bytes())
        return f"s3://{key}"

    catalogue = read_catalogue(sample_cut, ReadingOptions(labels=False))
    rows = rows_of(catalogue, uploaded)
    for start in range(0, len(rows), 64):
        pq.write_table(pa.Table.from_pylist(rows[start : start + 64]), f"shop/in 1/part é {start}.parquet", filesystem=store)
    words = ["--model", model, "--workers", 2, "--json", "--input"]
    for source, target, message in (
        ("s3://shup/in", "s3://answers/a", "--input s3://shup/in: there is no bucket shup"),
        ("s3://shop/in", "s3://answers/a", "--input s3://shop/in: there is no Parquet file"),
        ("s3://shop/in 1", "s3://answer/a", "s3://answer/a: "),
        ("s3://shop/in 1", "s3://shop/in 1/out", "lies in the input"),
    ):
        done = call(*words, source, "--output", target)
        assert done.returncode in (2, 3) and message in done.stderr.splitlines()[-1], done.stderr
        assert "Traceback" not in done.stderr
    address = cluster()
    words += ["s3://shop/in 1", "--output", "s3://answers/out 1"]
    command = [sys.executable, "-m", "fusecat", "predict", "--engine", "ray", *map(str, words)]

    def written() -> list[str]:
        found = store.get_file_info(FileSelector("answers/out 1", allow_not_found=True))
        return [each.path for each in found if each.path.endswith(".parquet")]

    with subprocess.Popen(command, env=os.environ | {"RAY_ADDRESS": address}, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not written():
            time.sleep(0.05)
        process.kill()
    done = call(*words, RAY_ADDRESS=address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["products"] == len(rows)
    found = [row for path in written() for row in pq.read_table(path, filesystem=store).to_pylist()]
    same_as_predict(model, catalogue, found, tmp_path)
    bad = rows[0] | {"image": "s3://shup/a.jpg"}
    pq.write_table(pa.Table.from_pylist([bad]), "shop/bad/a.parquet", filesystem=store)
    refused = call("--model", model, "--input", "s3://shop/bad", "--output", "s3://answers/bad", RAY_ADDRESS=address)
    assert refused.returncode == 3 and "there is no bucket shup" in refused.stderr.splitlines()[-1], refused.stderr
