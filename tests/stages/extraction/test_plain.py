"""What extraction hands to the cache is what the libraries' own classes compute of one product at a time."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pretrainedmodels
import pytest
import torch
from pretrainedmodels.models import senet
from transformers import AutoTokenizer, CamembertModel, FlaubertModel

from fusecat.stages.catalogue.decoding import decode
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.embed import Inference, embed
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.inputs import prepare
from fusecat.stages.extraction.progress import silent
from fusecat.stages.extraction.settings import Network, Pooling
from fusecat.stages.fields import Field
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, FLAUBERT, SE_RESNEXT50, open_study

PLAIN = {"camembert": CamembertModel, "flaubert": FlaubertModel}
CLOSE = 1e-5
FULL = dataclasses.replace(SE_RESNEXT50, shape={}, size=224, resize=256)


class Taker:
    """Stands where the cache's writer stands and keeps the fp32 vectors that it is handed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.vectors: dict[int, np.ndarray] = {}

    def missing(self) -> Iterator[tuple[int, range]]:
        yield from ((start // 64, range(start, min(start + 64, self.count))) for start in range(0, self.count, 64))

    def put(self, number: int, vectors: np.ndarray, logits: np.ndarray, present: np.ndarray) -> None:
        assert vectors.dtype == np.float32
        self.vectors |= {64 * number + place: vectors[place] for place in np.flatnonzero(present)}


@pytest.fixture(scope="module")
def study(sample_cut: Path) -> Study:
    return open_study(sample_cut)


def extracted(network: Network, field: Field, study: Study, folder: Path, count: int) -> tuple[Any, dict[int, np.ndarray]]:
    """The network that was built and what it handed over of the first `count` products."""
    encoder = Encoder(network, field, EXTRACTION)
    inputs = encoder.inputs(study, folder, saved=False)
    built = encoder.build(len(study.catalogue.classes), folder).eval()
    taker = Taker(count)
    embed(built, inputs, study.present(field), taker, Inference.of(encoder, len(study.catalogue.classes), "fp32", silent))
    return built, taker.vectors


@pytest.mark.parametrize(
    ("network", "pooling"),
    [(CAMEMBERT, Pooling.MEAN), (CAMEMBERT, Pooling.FIRST), (CAMEMBERT, Pooling.FLATTEN), (FLAUBERT, Pooling.FIRST)],
    ids=["camembert-mean", "camembert-first", "camembert-flatten", "flaubert-first"],
)
def test_texts_equal_a_plain_transformers_pass(network: Network, pooling: Pooling, study: Study, tmp_path: Path) -> None:
    network = dataclasses.replace(network, pooling=pooling, width=16)
    built, vectors = extracted(network, Field.TITLE_DESCRIPTION, study, tmp_path, count=100)
    built.backbone.save_pretrained(tmp_path / "plain")
    model = PLAIN[network.model].from_pretrained(tmp_path / "plain").eval()
    assert type(model) is PLAIN[network.model]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    texts = study.texts(Field.TITLE_DESCRIPTION)
    assert len(vectors) == 100
    lengths = set()
    for row, vector in vectors.items():
        padding = "max_length" if pooling is Pooling.FLATTEN else False
        batch = tokenizer([texts[row]], truncation=True, max_length=24, padding=padding, return_tensors="pt")
        mask = batch["attention_mask"]
        lengths.add(int(mask.sum()))
        with torch.no_grad():
            hidden = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state[0]
            if pooling is Pooling.FIRST:
                expected = hidden[0]
            elif pooling is Pooling.MEAN:
                expected = hidden.mean(0)
            else:
                linear = built.pooling.linear
                expected = torch.tanh(linear.weight @ hidden.flatten() + linear.bias)
        assert np.abs(vector - expected.numpy()).max() < CLOSE
    assert len(lengths) > 5, "texts of many lengths shared batches"
    assert np.std(list(vectors.values()), axis=0).mean() > 100 * CLOSE, "vectors differ by more than the tolerance"


@pytest.mark.parametrize(("network", "count"), [(SE_RESNEXT50, 60), (FULL, 5)], ids=["small", "full"])
def test_images_equal_a_plain_pretrainedmodels_pass(network: Network, count: int, study: Study, tmp_path: Path) -> None:
    built, vectors = extracted(network, Field.IMAGE, study, tmp_path, count)
    if network is FULL:
        model = pretrainedmodels.se_resnext50_32x4d(pretrained=None)
    else:
        model = senet.SENet(
            senet.SEResNeXtBottleneck, [1, 1, 1, 1], 2, 16, None, inplanes=8, input_3x3=False,
            downsample_kernel_size=1, downsample_padding=0, num_classes=1,
        )  # fmt: skip
    missing, unexpected = model.load_state_dict(built.backbone.state_dict(), strict=False)
    assert (set(missing), unexpected) == ({"last_linear.weight", "last_linear.bias"}, [])
    model.eval()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert vectors
    for row, vector in vectors.items():
        (path,) = study.pictures()[row]
        pixels = torch.from_numpy(prepare(decode(path, study.max_pixels), network.size, network.resize, None))
        normal = ((pixels.float() / 255 - mean) / deviation).permute(2, 0, 1)[None].contiguous()
        with torch.no_grad():
            maps = model.features(normal)
            expected = (model.avg_pool(maps) if network is FULL else maps.mean((2, 3))).flatten()
        assert np.abs(vector - expected.numpy()).max() < CLOSE
    assert np.std(list(vectors.values()), axis=0).mean() > 100 * CLOSE, "vectors differ by more than the tolerance"
