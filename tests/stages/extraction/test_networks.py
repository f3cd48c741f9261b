import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import CamembertConfig, CamembertModel

from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.extraction.build_network import build_text_network, build_tokenizer
from fusecat.stages.extraction.networks import Flatten, ImageNetwork, MaskedMean, TextNetwork, pooling_module
from fusecat.stages.extraction.settings import NEW, Pooling

# B = 3 texts, T tokens, L = 12 longest, H = 16 hidden, D = 8 width
LENGTH, HIDDEN, WIDTH = 12, 16, 8


@pytest.fixture
def camembert() -> CamembertModel:
    torch.manual_seed(0)
    config = CamembertConfig(
        vocab_size=50,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH + 2,
        pad_token_id=1,
    )
    return CamembertModel(config, add_pooling_layer=False).eval()


def padded(lengths: list[int], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(7, 50, (len(lengths), width), generator=generator)
    mask = (torch.arange(width) < torch.tensor(lengths).unsqueeze(1)).long()
    return torch.where(mask == 1, ids, 1), mask


@pytest.mark.parametrize("lengths", [[3, 7, 9], [1, 2, 3], [12, 5, 12], [12, 12, 12]])
def test_flatten_with_dynamic_batches_equals_padding_every_text_to_the_longest_length(
    camembert: CamembertModel, lengths: list[int]
) -> None:
    flatten = Flatten(LENGTH, HIDDEN, WIDTH).eval()
    ids, mask = padded(lengths, LENGTH)
    short = min(max(lengths) + 1, LENGTH)
    with torch.no_grad():
        everything = camembert(input_ids=ids, attention_mask=mask).last_hidden_state
        literal = torch.tanh(flatten.linear(everything.flatten(1)))
        hidden = camembert(input_ids=ids[:, :short], attention_mask=mask[:, :short]).last_hidden_state
        assert torch.allclose(flatten(hidden, mask[:, :short]), literal, atol=1e-5)


def test_masked_mean_ignores_pads() -> None:
    hidden, mask = torch.randn(2, 5, HIDDEN), torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    pooled = MaskedMean()(hidden, mask)
    assert torch.allclose(pooled[0], hidden[0, :2].mean(0), atol=1e-6)
    assert torch.allclose(pooled[1], hidden[1].mean(0), atol=1e-6)


@pytest.mark.parametrize("pooling", [pooling for pooling in Pooling if pooling is not Pooling.MODEL])
def test_a_text_network_gives_the_vector_before_dropout(camembert: CamembertModel, pooling: Pooling) -> None:
    module, width = pooling_module(pooling, LENGTH, HIDDEN, WIDTH)
    network = TextNetwork(camembert, module, width, classes=4, dropout=0.9)
    network.dropout.train()
    ids, mask = padded([3, 7, 9], 10)
    with torch.no_grad():
        first, first_logits = network.encode(ids, mask)
        second, second_logits = network.encode(ids, mask)
    assert torch.equal(first, second)
    assert not torch.equal(first_logits, second_logits)
    assert first.shape == (3, width)


def test_an_image_network_normalises_bytes_and_averages_the_last_map() -> None:
    network = ImageNetwork(nn.Identity(), 3, 5, 0.0, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0)).eval()
    pixels = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    vector, logits = network.encode(pixels)
    expected = (pixels.numpy() / 255 - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 0.25, 1.0])
    assert np.allclose(vector.detach().numpy(), expected.mean(axis=(1, 2)), atol=1e-5)
    assert logits.shape == (2, 5)


SMALL = {
    "camembert": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
    "flaubert": {"emb_dim": 16, "n_layers": 1, "n_heads": 2},
}


@pytest.mark.parametrize("model", SMALL)
def test_the_modern_presets_text_networks_attend_by_sdpa_where_their_class_has_it(model: str, tmp_path: Path) -> None:
    """New, pretrained and rebuilt networks alike."""
    (network,) = load_preset("modern").select([model]).networks
    new = dataclasses.replace(network, weights=NEW, shape=SMALL[model], vocabulary=60, length=16)
    tokenizer = build_tokenizer(new, ["rouge vert bleu", "petit grand lit", "lampe table"], tmp_path)
    first = build_text_network(new, tokenizer, classes=2)
    first.backbone.save_pretrained(tmp_path)
    pretrained = build_text_network(dataclasses.replace(network, weights=str(tmp_path), length=16), tokenizer, classes=2)
    rebuilt = build_text_network(new, tokenizer, classes=2, config=tmp_path)
    for built in (first, pretrained, rebuilt):
        expected = "sdpa" if built.backbone._supports_sdpa else "eager"
        assert built.backbone.config._attn_implementation == expected
    assert first.backbone._supports_sdpa is (model == "camembert"), "FlauBERT's class has no sdpa; when it gets it, we use it"
