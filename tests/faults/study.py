"""A small study made once, copies of it, and a way to run commands on them within this process."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from fusecat.pipeline.cli import main
from tests.conftest import cut_sample, read_table, write_table

PRESET = """
base = "tiny"
[networks.camembert]
vocabulary = 300
fields = ["title_description"]
shape = { hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2, intermediate_size = 32 }
[networks.camembert.training]
epochs = 1
[networks.se_resnext50]
shape = { groups = 2, inplanes = 8 }
size = 32
resize = 32
[networks.se_resnext50.training]
epochs = 1
[networks.tfidf]
fields = ["title"]
vocabulary = 300
width = 8
"""
STRATEGY = "baseline/average"
FUSE = ("fuse", "--architecture", "baseline", "--settings", "thesis", "--seeds", 2, "--processes", 1)
TIMES = {"fit_seconds", "predict_seconds", "seconds", "encoded", "bytes", "size", "memory", "device_memory", "state"}
TUNE = ("tune", "--architecture", "baseline", "--settings", "thesis", "--trials", 2)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def fusecat(*arguments: object) -> Ended:
    """Run one command in this process, as `fusecat ARGUMENTS` would."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["fusecat", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Small:
    """A catalogue, new products, vectors for an import, and what became of them in `root`."""

    root: Path

    @property
    def catalogue(self) -> Path:
        return self.root / "catalogue"

    @property
    def new(self) -> Path:
        """A few products that no network has seen."""
        return self.root / "new"

    @property
    def preset(self) -> Path:
        return self.root / "preset.toml"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def model(self) -> Path:
        return self.root / "model"

    def extract(self, *more: object) -> tuple[object, ...]:
        networks = ("--preset", self.preset, "--networks", "camembert,se_resnext50", "--device", "cpu")
        return ("extract", self.catalogue, *networks, "--workspace", self.workspace, *more)

    def brought(self, *more: object) -> tuple[object, ...]:
        files = ("--vectors", self.root / "vectors.npy", "--ids", self.root / "ids.txt", "--fitted-on", "none")
        return ("import", "--name", "mine.title", *files, "--workspace", self.workspace, *more)

    def at(self, *words: object) -> tuple[object, ...]:
        """A command with this workspace."""
        return (*words, "--workspace", self.workspace)

    def copy(self, root: Path) -> "Small":
        """Workspace and model anew, the same bytes, and nothing else that a command wrote; the catalogue is the same one."""
        for path in root.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
        for name in ("workspace", "model"):
            if (self.root / name).exists():
                shutil.copytree(self.root / name, root / name, copy_function=_copied)
        for name in ("catalogue", "new", "preset.toml", "vectors.npy", "ids.txt"):
            if not (root / name).is_symlink():
                (root / name).symlink_to(self.root / name)
        return Small(root)


def _copied(source: str, target: str) -> None:
    """Weights are large and only ever replaced, so another name for them is a copy."""
    if source.endswith(".safetensors"):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


def done(small: Small, *words: object) -> str:
    ended = fusecat(*small.at(*words))
    assert ended.code == 0, ended.err
    return ended.out


def answer(name: str, ended: Ended) -> Any:
    """What a command said (as JSON) and wrote, times left out."""
    told = _plain(json.loads(ended.out))
    if name.startswith("predict"):
        return told, hashlib.sha256(Path(told["output"]).read_bytes()).hexdigest()
    if name in ("export", "refit"):
        folder = Path(told["folder"])
        return told, {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if name not in TIMES}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def make_catalogues(root: Path) -> Small:
    """What a study begins with."""
    small = Small(root)
    cut_sample(small.catalogue, classes=4, each=16)
    small.new.mkdir()
    rows = read_table(small.catalogue / "X_train.tsv")[::7]
    write_table(small.new / "X_test.tsv", [row | {"Title": row["Title"][::-1]} for row in rows])
    (small.new / "image_test").mkdir()
    for row in rows:
        name = f"image_{row['Image_id']}_product_{row['Product_id']}.jpg"
        shutil.copy(small.catalogue / "image_training" / name, small.new / "image_test")
    ids = [row["Integer_id"] for row in read_table(small.catalogue / "X_train.tsv")]
    (root / "ids.txt").write_text("\n".join(["id", *ids]) + "\n", encoding="utf-8")
    np.save(root / "vectors.npy", np.random.default_rng(3).standard_normal((len(ids), 12)).astype(np.float32))
    small.preset.write_text(PRESET, encoding="utf-8")
    return small


def make_study(root: Path) -> Small:
    """Extracted, fused, tuned, refitted, predicted, exported."""
    root.mkdir(parents=True, exist_ok=True)
    small = make_catalogues(root)
    ended = fusecat(*small.extract())
    assert ended.code == 0, ended.err
    done(small, *FUSE)
    done(small, *TUNE)
    done(small, "refit", "--strategy", STRATEGY)
    done(small, "predict", small.new, "--strategy", STRATEGY)
    done(small, "export", small.model, "--strategy", STRATEGY)
    return small


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    make_study(Path(sys.argv[1]))
