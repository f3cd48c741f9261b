"""From a catalogue to a prediction with networks of each source: taught, kept, exported, and read without their checkpoints."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fusecat.pipeline.cli import cli
from fusecat.stages.extraction.settings import Library
from tests.stages.extraction.families import TEXT_FAMILIES, write_text
from tests.stages.extraction.image_families import IMAGE_FAMILIES, write_image

TEXTS = {family.name: family for family in TEXT_FAMILIES}
IMAGES = {family.name: family for family in IMAGE_FAMILIES}
PAIRS = [
    ("t5", "timm/convnext", {}),
    ("gpt2", "vit", {"freeze": True}),
    ("clip", "clip", {}),
    ("siglip2", "siglip", {"freeze": True}),
    ("sentence-transformers", "bninception", {"freeze": True}),
    ("sentence-transformers", "timm/vit", {"lora": 2}),
    ("bart", "dinov2", {"lora": 2, "gradient_checkpointing": True}),
]


def run(*words: Any) -> str:
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("text", "image", "training"), PAIRS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_source_goes_all_the_way(
    text: str, image: str, training: dict[str, Any], sample_cut: Path, tmp_path: Path
) -> None:
    write_text(TEXTS[text], tmp_path / "text")
    _, weights = write_image(IMAGES[image], tmp_path / "image")
    family = IMAGES[image]
    entries = [
        {"library": Library.TRANSFORMERS, "model": text, "weights": str(tmp_path / "text"), "fields": ["title"], "length": 24}
        | dict(TEXTS[text].settings),
        {"library": family.library, "model": family.model, "weights": weights, "fields": ["image"], "shape": dict(family.shape)}
        | dict(family.settings),
    ]
    lines = []
    for name, entry in zip(("words", "picture"), entries, strict=True):
        lines += [f"[networks.{name}]", *(f"{key} = {toml(value)}" for key, value in entry.items())]
        lines += [f"[networks.{name}.training]", "epochs = 1", *(f"{key} = {toml(value)}" for key, value in training.items())]
    (tmp_path / "preset.toml").write_text("\n".join(lines))
    place = ("--workspace", tmp_path / "w")
    run("extract", sample_cut, *place, "--preset", tmp_path / "preset.toml")
    plans = json.loads(run("extract", sample_cut, *place, "--preset", tmp_path / "preset.toml", "--explain", "--json"))
    assert [plan["verdict"]["state"] for plan in plans] == ["hit", "hit"]
    run("fuse", *place, "--fusion", "average", "--seeds", 1, "--settings", "thesis")
    run("export", tmp_path / "model", *place)
    for folder in ("text", "image"):
        shutil.rmtree(tmp_path / folder)
    run("predict", sample_cut, *place, "--output", tmp_path / "cached.csv")
    run("predict", sample_cut, "--model", tmp_path / "model", "--output", tmp_path / "live.csv")
    assert len((tmp_path / "live.csv").read_text().splitlines()) > 100


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
