"""What all tests share: quiet libraries, no network, one thread, and a small cut of the shipped sample."""

import os

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_WAIT_POLICY="passive")
os.environ.setdefault("FUSECAT_SILENCE", "600")  # what is told after some seconds would depend on the machine
os.environ["OMP_NUM_THREADS"] = "1"  # bytes are equal for the same number of threads, and a fork of several would wait for ever

import csv
import gc
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusecat.pipeline.console import default_catalogue

# A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that; tests that interrupt need it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """What a file of tests left open shows in it, not wherever the collector happens to run next."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def sample_cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The products of the six largest classes of the sample, at most 30 of each, in SIGIR layout."""
    return cut_sample(tmp_path_factory.mktemp("cut") / "catalogue", classes=6, each=30)


def cut_sample(folder: Path, *, classes: int, each: int) -> Path:
    """Copy the first `each` products of the `classes` largest classes of the sample, files and all."""
    sample = default_catalogue()
    labels = read_table(sample / "Y_train.tsv")
    codes = [row["Prdtypecode"] for row in labels]
    largest = sorted(set(codes), key=lambda code: (-codes.count(code), code))[:classes]
    kept = {row["Integer_id"] for code in largest for row in [row for row in labels if row["Prdtypecode"] == code][:each]}
    (folder / "image_training").mkdir(parents=True)
    for name in ("X_train.tsv", "Y_train.tsv"):
        rows = [row for row in read_table(sample / name) if row["Integer_id"] in kept]
        write_table(folder / name, rows)
    shutil.copy(sample / "catalog_english_taxonomy.tsv", folder)
    for row in read_table(folder / "X_train.tsv"):
        name = f"image_{row['Image_id']}_product_{row['Product_id']}.jpg"
        shutil.copy(sample / "image_training" / name, folder / "image_training" / name)
    return folder


def read_table(path: Path, separator: str = "\t") -> list[dict[str, str]]:
    """The rows of a table with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def write_table(path: Path, rows: list[dict[str, str]], separator: str = "\t") -> None:
    """Write rows under the keys of the first."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
