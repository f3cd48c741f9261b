"""Low-rank adaptation teaches a network through small matrices, and what is kept is a network like any other."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.build_network import build_image_network, settled
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.fine_tune import fine_tune
from fusecat.stages.extraction.low_rank import add_adapters, merge_adapters
from fusecat.stages.extraction.networks import TextNetwork
from fusecat.stages.extraction.train_network import Teaching
from fusecat.stages.extraction.training_record import read_learning
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1
from tests.stages.extraction.image_families import IMAGE_FAMILIES, image_network, write_image
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, open_study

LORA = dataclasses.replace(CAMEMBERT, training=dataclasses.replace(CAMEMBERT.training, lora=4, gradient_checkpointing=True))


def test_a_merged_network_says_what_it_said_with_its_matrices_aside() -> None:
    backbone = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    names, rows = list(backbone.state_dict()), torch.randn(4, 5)
    before = backbone(rows)
    add_adapters(backbone, 2, seed=1)
    assert torch.equal(backbone(rows), before), "the second matrix of each pair starts as 0"
    learning = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in learning) == 2 * (5 + 7) + 2 * (7 + 3)
    with torch.no_grad():
        for parameter in learning:
            parameter.normal_()
    taught = backbone(rows)
    assert not torch.allclose(taught, before)
    merge_adapters(backbone)
    assert list(backbone.state_dict()) == names
    assert torch.allclose(backbone(rows), taught, atol=1e-5)


def test_a_network_without_linear_layers_is_refused() -> None:
    with pytest.raises(UsageError, match="no linear layers; set lora = 0"):
        add_adapters(nn.Sequential(nn.Conv2d(3, 4, 3)), 2, seed=1)
    with pytest.raises(UsageError, match="choose one"):
        dataclasses.replace(LORA, training=dataclasses.replace(LORA.training, freeze=True))


@pytest.mark.parametrize("family", ["timm/beit", "timm/eva02", "timm/swinv2"])
def test_layers_that_a_network_reads_past_are_not_taught_in_silence(family: str, tmp_path: Path) -> None:
    """Their matrices would get no gradient: attention would stay as it is, and a distributed run would wait for ever."""
    (named,) = (each for each in IMAGE_FAMILIES if each.name == family)
    _, weights = write_image(named, tmp_path)
    network = build_image_network(settled(image_network(named, weights)), classes=3)
    with pytest.raises(UsageError, match=r"attn.qkv' \(\d+ of \d+ linear layers\) past its layer.*set lora = 0"):
        add_adapters(network.backbone, 2, seed=1)


@pytest.mark.parametrize("family", ["timm/vit", "timm/dinov3", "timm/siglip", "vit", "swin"])
def test_every_matrix_beside_a_layer_learns(family: str, tmp_path: Path) -> None:
    (named,) = (each for each in IMAGE_FAMILIES if each.name == family)
    _, weights = write_image(named, tmp_path)
    network = build_image_network(settled(image_network(named, weights)), classes=3).train()
    add_adapters(network.backbone, 2, seed=1)
    network(torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8))["logits"].sum().backward()
    assert not [name for name, each in network.named_parameters() if each.requires_grad and each.grad is None]


def test_fine_tuning_resumes_and_is_kept_as_a_network_without_them(sample_cut: Path, tmp_path: Path) -> None:
    study, encoder = open_study(sample_cut), Encoder(LORA, Field.TITLE, EXTRACTION)
    recipe = encoder.recipe(study, MACRO_F1, "fp32")
    network, _, learning = fine_tune(encoder, study, recipe, tmp_path / "whole", Teaching(MACRO_F1))
    assert isinstance(network, TextNetwork) and not [name for name in network.state_dict() if "lora" in name]
    plain = Encoder(CAMEMBERT, Field.TITLE, EXTRACTION)
    (tmp_path / "plain").mkdir()
    plain.inputs(study, tmp_path / "plain", saved=False)
    fresh = plain.build(len(study.catalogue.classes), tmp_path / "plain").state_dict()
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, fresh[name])}
    linear = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    assert moved == linear | {"classifier.bias"}
    record = read_learning(tmp_path / "whole")
    assert record is not None and record["lora"] == {"rank": 4, "kept": "merged"}

    class Stop(Exception):
        pass

    def stopping(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        if phase == "fine-tuning" and done > total * 0.6:
            raise Stop

    with pytest.raises(Stop):
        fine_tune(encoder, study, recipe, tmp_path / "cut", Teaching(MACRO_F1, stopping))
    assert list((tmp_path / "cut" / "checkpoints").glob("checkpoint-*"))
    _, _, other = fine_tune(encoder, study, recipe, tmp_path / "cut", Teaching(MACRO_F1))
    assert other["weights"] == learning["weights"]
