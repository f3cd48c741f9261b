"""Every worked example of docs/extending.md, run as it stands there."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click import Context
from PIL import Image
from transformers import BertConfig, BertModel, BertTokenizerFast

from fusecat import compare, open_features
from fusecat.pipeline.cli import COMMANDS, cli
from fusecat.stages import metrics
from fusecat.stages.catalogue import read
from fusecat.stages.catalogue.data_model import ImageUse, ReadingOptions
from tests.readme_tree import DOCS

TEXT = (DOCS / "extending.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r'^```\w+ title="([\w./]+)[^"]*"\n(.*?)^```', TEXT, flags=re.DOTALL | re.MULTILINE))


def test_no_example_is_long() -> None:
    assert len(EXAMPLES) >= 3
    for name, text in EXAMPLES.items():
        assert len(text.splitlines()) <= 30, name


def test_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(EXAMPLES["mine.py"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 240)
    views = {
        name: (np.eye(3)[labels] @ random.normal(size=(3, 8)) + random.normal(size=(240, 8))) for name in ("text", "image")
    }
    found = compare(views, labels, fusion="mine:Residual", seeds=1, splits=1, processes=1)
    assert {line["strategy"]: line["test"] for line in found.table}["baseline/mine:Residual"] > 0.6


def test_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    scope = dict(vars(metrics))
    exec(EXAMPLES["worst.py"], scope)
    for name in COMMANDS:  # each lists the metrics when it is imported, which must not happen here for the first time
        cli.get_command(Context(cli), name)
    monkeypatch.setitem(metrics.METRICS, "worst-f1", scope["WORST"])
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 150)
    found = compare({"text": random.normal(size=(150, 4)) + labels[:, None]}, labels, seeds=2, splits=2, metric="worst-f1")
    assert "worst F1" in found.verdict
    assert found.table[0]["validation"] == max(line["validation"] for line in found.table)


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a preset of the page, with one epoch."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, **replaced: str) -> str:
        text = re.sub(r"epochs = \d+", "epochs = 1", EXAMPLES[name])
        for old, new in replaced.items():
            text = text.replace(old, new)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def features(catalogue: Path, preset: str, network: str, *more: str) -> dict[str, tuple[int, int]]:
    """Extract one network of a preset, and return the shapes of its vectors."""
    options = ["--preset", preset, "--networks", network, *more]
    cli.main(["extract", str(catalogue), *options], standalone_mode=False)
    return {name: feature.embedding.shape for name, feature in open_features().features.items()}


def test_a_catalogue_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, Any] = {}
    exec(EXAMPLES["folders.py"], scope)
    monkeypatch.setattr(read, "LAYOUTS", [scope["read"], *read.LAYOUTS])
    for code, name in (("chairs", "1"), ("tables", "2")):
        (tmp_path / code).mkdir()
        (tmp_path / code / f"{name}.txt").write_text(f"No. {name}\nof <b>wood</b>", encoding="utf-8")
    Image.new("RGB", (8, 8)).save(tmp_path / "chairs" / "1.jpg")
    first, second = read.read_catalogue(tmp_path).products
    assert (first.id, first.title, first.description, first.code) == ("1", "No. 1", "of wood", "chairs")
    assert (len(first.images), len(second.images)) == (1, 0)


def test_a_further_text(preset, tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text(EXAMPLES["catalogue.toml"], encoding="utf-8")
    rows = [f"{at},Objet {at},{('Nord', '', 'Sud')[at % 3]},pliable,en bois,{'AB'[at % 2]}" for at in range(60)]
    text = "\n".join(["sku,name,marque,feature_1,feature_2,category", *rows])
    (tmp_path / "products.csv").write_text(text, encoding="utf-8")
    first, second, *_ = read.read_catalogue(tmp_path, ReadingOptions(images=ImageUse.NONE)).products
    assert first.further == (("brand", "Nord"), ("bullets", "pliable en bois"))
    assert second.further == (("bullets", "pliable en bois"),)
    found = features(tmp_path, preset("with_brand.toml"), "camembert", "--images", "none")
    assert set(found) == {f"camembert.{field}" for field in ("title", "brand", "bullets", "title+brand+bullets")}
    present = {name: int(feature.present.sum()) for name, feature in open_features().features.items()}
    assert present == dict.fromkeys(found, 60) | {"camembert.brand": 40}


def test_a_further_text_as_vectors_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(3)
    labels = np.arange(120) % 3
    (tmp_path / "ids.csv").write_text("id\n" + "\n".join(f"p{at}" for at in range(120)), encoding="utf-8")
    rows = [f"p{at},{label}" for at, label in enumerate(labels)]
    (tmp_path / "labels.csv").write_text("id,label\n" + "\n".join(rows), encoding="utf-8")
    match = re.search(r"^fusecat (import --name words --field brand.*)$", TEXT, flags=re.MULTILINE)
    assert match is not None
    for name in ("title", "brand"):
        np.save(f"{name}.npy", random.normal(size=(120, 4)) + labels[:, None])
        cli.main([*match[1].replace("brand", name).split(), "--labels", "labels.csv"], standalone_mode=False)
    cli.main(["fuse", "--fusion", "average", "--seeds", "1", "--processes", "1"], standalone_mode=False)
    names = {row["strategy"] for row in json.loads((tmp_path / "workspace/report/report.json").read_text())["rows"]}
    assert names >= {"baseline/average", "probe/words.brand"}


def test_a_text_network(preset, sample_cut: Path, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "aeiounrst")]
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained(tmp_path / "bert")
    BertTokenizerFast(vocab={word: number for number, word in enumerate(words)}).save_pretrained(tmp_path / "bert")
    name = preset("with_bert.toml", **{"/models/my-bert": str(tmp_path / "bert")})
    found = features(sample_cut, name, "bert")
    assert found == dict.fromkeys(("bert.title", "bert.description", "bert.title_description"), (180, 16))


def test_an_image_network(preset, sample_cut: Path) -> None:
    pytest.importorskip("timm")
    found = features(sample_cut, preset("with_resnet.toml"), "resnet")
    assert list(found) == ["resnet.image"]
    assert found["resnet.image"][0] == 180
