"""Networks of timm see what their weights were taught on: its list knows it by tag, a folder of timm's says it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import save_for_hf

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.build_network import build_image_network, settled
from fusecat.stages.extraction.image_timm import pixels
from fusecat.stages.extraction.settings import NEW, Crop, Library, Network
from fusecat.stages.fields import Field

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}


def network(model: str, weights: str = NEW, **settings: Any) -> Network:
    return Network(name="mine", library=Library.TIMM, model=model, weights=weights, fields=(Field.IMAGE,), **settings)


def test_the_tag_of_the_weights_says_the_pixels_and_not_the_first_of_its_name() -> None:
    first = pixels(network("mobilenetv3_large_100"))
    tagged = pixels(network("mobilenetv3_large_100", "timm/mobilenetv3_large_100.miil_in21k"))
    assert first["mean"] == (0.485, 0.456, 0.406)
    assert (tagged["mean"], tagged["std"]) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert tagged == pixels(network("mobilenetv3_large_100.miil_in21k", "timm/mobilenetv3_large_100.miil_in21k"))


def test_weights_of_another_name_with_the_same_tensors_are_refused() -> None:
    with pytest.raises(ModelError, match="is a 'tf_efficientnet_b0', not a 'efficientnet_b0'; set model = \"tf_effi"):
        pixels(network("efficientnet_b0", "timm/tf_efficientnet_b0.ns_jft_in1k"))


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(UsageError, match="Invalid pretrained tag"):
        pixels(network("resnet18.unheard"))


def test_a_folder_that_timm_saved_is_read_as_it_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5, drop_path_rate=0.1, **VIT).eval()
    config = {"pretrained_cfg": {"mean": (0.1, 0.2, 0.3), "std": (0.3, 0.2, 0.1), "crop_pct": 1.0, "crop_mode": "squash"}}
    save_for_hf(model, str(tmp_path), model_config=config, safe_serialization=True)
    with pytest.raises(ModelError, match=r"set shape = \{ .*img_size = \[32, 32\]"):
        settled(network("vit_tiny_patch16_224", str(tmp_path)))
    for weights in (tmp_path, tmp_path / "model.safetensors"):
        found = settled(network("vit_tiny_patch16_224", str(weights), shape=VIT))
        assert (found.size, found.resize, found.crop, found.mean) == (32, 32, Crop.SQUASH, (0.1, 0.2, 0.3))
        built = build_image_network(found, classes=3).eval()
        seen = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
        with torch.no_grad():
            expected = model.forward_head(model.forward_features(built.normalise(seen).contiguous()), pre_logits=True)
            assert torch.allclose(built.encode(seen)[0], expected, atol=1e-5)
    with pytest.raises(ModelError, match="is a 'vit_tiny_patch16_224', not a 'deit_tiny_patch16_224'"):
        settled(network("deit_tiny_patch16_224", str(tmp_path), shape=VIT))


@pytest.mark.parametrize("pool", ["max", "avgmax", "catavgmax"])
def test_a_pooling_of_the_checkpoint_is_not_read_otherwise_in_silence(pool: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=5, global_pool=pool).eval()
    save_for_hf(model, str(tmp_path))
    with pytest.raises(ModelError, match=f'set shape = {{ global_pool = "{pool}" }}'):
        build_image_network(settled(network("resnet10t", str(tmp_path), size=64)), classes=3)
    found = settled(network("resnet10t", str(tmp_path), shape={"global_pool": pool}))
    seen = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    built = build_image_network(dataclasses.replace(found, size=64, resize=64), classes=3).eval()
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(built.normalise(seen).contiguous()), pre_logits=True)
        assert torch.allclose(built.encode(seen)[0], expected, atol=1e-5)


def test_a_border_and_other_colours_are_not_taken_for_the_usual(tmp_path: Path) -> None:
    said = {"architecture": "resnet10t", "input_size": [3, 64, 64], "crop_mode": "border"}
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(ModelError, match="border; set crop"):
        settled(network("resnet10t", str(tmp_path)))
    assert settled(network("resnet10t", str(tmp_path), crop=Crop.CENTER)).size == 64
    (tmp_path / "config.json").write_text(json.dumps(said | {"crop_mode": "center", "input_size": [1, 64, 64]}))
    assert settled(network("resnet10t", str(tmp_path))).mean == (0.485, 0.456, 0.406)
    with pytest.raises(UsageError, match="cannot take images of size = 64"):
        build_image_network(network("resnet10t", shape={"in_chans": 1}, size=64), classes=3)


def test_a_vit_takes_another_size_where_its_shape_says_so(tmp_path: Path) -> None:
    """DINOv2's own 518 pixels cost five times what 224 do."""
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch14_reg4_dinov2", **VIT).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    vit = network("vit_small_patch14_reg4_dinov2", str(tmp_path / "w.pth"), shape=VIT, size=48)
    with pytest.raises(UsageError, match=r"leave 'size' out, or for a ViT set shape = \{ dynamic_img_size = true \}"):
        build_image_network(settled(vit), classes=3)
    built = build_image_network(settled(dataclasses.replace(vit, shape=VIT | {"dynamic_img_size": True})), classes=3).eval()
    other = timm.create_model("vit_small_patch14_reg4_dinov2", dynamic_img_size=True, **VIT).eval()
    other.load_state_dict(model.state_dict())
    seen = torch.randint(0, 256, (2, 48, 48, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = other.forward_head(other.forward_features(built.normalise(seen).contiguous()), pre_logits=True)
        assert torch.allclose(built.encode(seen)[0], expected, atol=1e-5)
