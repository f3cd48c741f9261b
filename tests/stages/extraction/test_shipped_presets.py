"""Presets that name networks of the hub, run offline: the same classes, small, with random weights in their hub's layout."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers as hf
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fusecat.cache.store import FeatureCache
from fusecat.pipeline.presets.preset import load_preset
from fusecat.stages.extraction.extract import encoders, extract
from fusecat.stages.extraction.settings import Library, Network
from fusecat.stages.fields import Field
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.small import EXTRACTION, open_study

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
CONVNEXT = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
VIT = {"embed_dim": 16, "depth": 1, "num_heads": 2}


def text_folder(folder: Path, kind: str, texts: list[str]) -> Path:
    """A small network of this kind and a tokenizer of whole words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {word: number for number, word in enumerate([*special, *sorted({word for text in texts for word in text.split()})])}
    tokenizer = Tokenizer(models.WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    given: dict[str, Any] = dict(zip(names, special, strict=True))
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **given).save_pretrained(folder)
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = hf.AutoConfig.for_model(kind, vocab_size=len(words), max_position_embeddings=300, **SMALL, **ids)
    hf.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def image_folder(folder: Path, model: str, shape: dict[str, Any]) -> Path:
    folder.mkdir()
    save_file(timm.create_model(model, pretrained=False, num_classes=0, **shape).state_dict(), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("name", ["light", "strong"])
def test_it_runs_from_folders_in_the_layout_of_the_hub(name: str, sample_cut: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    study = open_study(sample_cut)
    texts = [text for text in study.texts(Field.TITLE_DESCRIPTION) if text]

    def offline(network: Network) -> Network:
        folder = tmp_path / network.name
        training = dataclasses.replace(network.training, epochs=1, batch=32)
        if network.library is Library.SCIKIT_LEARN:
            return network
        if network.is_image:
            shape = VIT if network.model.startswith("vit") else CONVNEXT
            changed: dict[str, Any] = {"weights": str(image_folder(folder, network.model, shape)), "shape": shape}
        else:
            changed = {"weights": str(text_folder(folder, network.model, texts)), "fields": (Field.TITLE_DESCRIPTION,)}
        return dataclasses.replace(network, training=training, **changed)

    networks = [offline(network) for network in load_preset(name).networks]
    outcomes = extract(study, encoders(networks, EXTRACTION), Workspace(tmp_path / "w"))
    assert {outcome.state for outcome in outcomes} == {"extracted"}
    table = FeatureCache(tmp_path / "w" / "features").table()
    assert len(table.features) == len(outcomes)
    for feature in table.features.values():
        vectors = np.asarray(feature.embedding[feature.present], np.float32)
        assert np.isfinite(vectors).all() and vectors.std(0).max() > 0, feature.name
