"""What cannot work of any network is said before the first one learns, and by a dry run too."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.validate import validate
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.extract import encoders, extract
from fusecat.stages.extraction.settings import Library, Network, Training
from fusecat.stages.extraction.trial import try_out
from fusecat.stages.fields import Field
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.families import TEXT_FAMILIES, text_network, write_text
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, SE_RESNEXT50, open_study

TEXT: dict[str, Any] = {"library": Library.TRANSFORMERS, "fields": (Field.TITLE,)}
IMAGE: dict[str, Any] = {"model": "se_resnext50_32x4d", "fields": (Field.IMAGE,)}
NAMED, TIMM = Library.PRETRAINEDMODELS, Library.TIMM
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "family": ({**TEXT, "model": "bert"}, "a new tokenizer can be learnt for camembert and flaubert, not for 'bert'"),
    "heads": ({**TEXT, "model": "camembert", "shape": {"hidden_size": 15, "num_attention_heads": 4}}, "of this shape"),
    "key": ({**TEXT, "model": "camembert", "shape": {"hidden_sise": 16}}, "did you mean 'hidden_size'?"),
    "type": ({**TEXT, "model": "camembert", "shape": {"hidden_size": "big"}}, "of this shape"),
    "folder": ({**TEXT, "model": "camembert", "weights": "/nowhere/camembert"}, "no file or folder /nowhere/camembert"),
    "windows": ({**TEXT, "model": "camembert", "weights": r"C:\nets\camembert"}, "no file or folder C:"),
    "file": ({**TEXT, "model": "camembert", "weights": "camembert.safetensors"}, "no file or folder camembert.safetensors"),
    "image folder": ({**IMAGE, "library": NAMED, "weights": "./nets/se"}, "no file or folder"),
    "timm": ({**IMAGE, "library": TIMM, "model": "resnet10x"}, "timm knows no model 'resnet10x'"),
    "timm of a hub": ({**IMAGE, "library": TIMM, "model": "resnet10x", "weights": "timm/resnet10x"}, "timm knows no model"),
    "timm's shape": ({**IMAGE, "library": TIMM, "model": "vit_tiny_patch16_224", "shape": {"depths": 3}}, "of this shape"),
    "size": ({**IMAGE, "library": TIMM, "model": "vit_tiny_patch16_224", "size": 100}, "cannot take images of size = 100"),
    "pretrainedmodels": ({**IMAGE, "library": NAMED, "model": "resnet10x"}, "pretrainedmodels knows no model 'resnet10x'"),
    "its shape": ({**IMAGE, "library": NAMED, "shape": {"layer": [1, 1, 1, 1]}}, "of this shape"),
    "ImageNet": ({**IMAGE, "library": NAMED, "model": "resnet18", "weights": "imagenet"}, "no checked ImageNet weights"),
    "image family": ({**IMAGE, "library": Library.TRANSFORMERS, "model": "vitx"}, "no model 'vitx'; did you mean 'vit'?"),
    "lora": ({**IMAGE, "library": TIMM, "model": "resnet18", "training": Training(lora=4)}, "has no linear layers"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("fetch", [True, False], ids=["run", "dry run"])
def test_a_network_that_cannot_work_is_refused(name: str, fetch: bool) -> None:
    settings, said = REFUSED[name]
    with pytest.raises((ModelError, UsageError)) as refused:
        try_out(encoders([Network(name="b", **settings)], EXTRACTION), fetch=fetch)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("family", ["camembert", "bert", "roberta", "mpnet", "t5", "qwen3", "modernbert"])
def test_a_folder_without_a_tokenizer_is_refused(family: str, tmp_path: Path) -> None:
    """For most families transformers makes up an empty one, to which every word is unknown."""
    known = next(each for each in TEXT_FAMILIES if each.name == family)
    write_text(known, tmp_path / "there")
    there = encoders([text_network(known, tmp_path / "there")], EXTRACTION)
    assert try_out(there, fetch=False) == []
    for file in (tmp_path / "there").iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer|cannot be had") as refused:
        try_out(there, fetch=False)
    assert "\n" not in str(refused.value)


def test_a_dry_run_asks_no_hub_for_weights() -> None:
    wanted = dataclasses.replace(CAMEMBERT, weights="almanach/camembert-base")
    assert try_out(encoders([SE_RESNEXT50, wanted], EXTRACTION), fetch=False) == ["camembert"]


def test_nothing_is_paid_for_where_a_later_network_cannot_work(sample_cut: Path, tmp_path: Path) -> None:
    networks = [SE_RESNEXT50, Network(name="b", **TEXT, model="bert")]
    with pytest.raises(UsageError):
        extract(open_study(sample_cut), encoders(networks, EXTRACTION), Workspace(tmp_path / "workspace"))
    assert not [path for path in tmp_path.rglob("*") if "se_resnext50" in path.name]


def test_what_takes_no_part_is_not_tried(sample_cut: Path, tmp_path: Path) -> None:
    """Its field is empty, so it is left out with that reason, whatever else is wrong with it."""
    found = validate(sample_cut, ReadingOptions(), None)
    bare = [dataclasses.replace(each, images=()) for each in found.catalogue.products]
    assert found.split is not None
    study = Study(dataclasses.replace(found.catalogue, products=tuple(bare)), found.images, found.split)
    nowhere = Network(name="b", library=TIMM, model="resnet10x", fields=(Field.IMAGE,))
    quick = dataclasses.replace(CAMEMBERT, fields=(Field.TITLE,), training=Training(epochs=1, learning_rate=1e-3))
    outcomes = extract(study, encoders([quick, nowhere], EXTRACTION), Workspace(tmp_path / "workspace"))
    assert [outcome.state for outcome in outcomes] == ["extracted", "left out"]
