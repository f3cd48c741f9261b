"""Folders that transformers reads in silence as something else than their makers saved: read as saved, or refused."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from fusecat.stages.errors import ModelError
from fusecat.stages.extraction.build_network import build_image_network, build_text_network, build_tokenizer, settled
from tests.stages.extraction.families import TEXT_FAMILIES, WORDS, text_network, write_text
from tests.stages.extraction.image_families import (
    IMAGE_FAMILIES,
    image_network,
    of_transformers,
    write_image,
)

FAMILIES = {family.name: family for family in TEXT_FAMILIES}
IMAGES = {family.name: family for family in IMAGE_FAMILIES}
PIECES = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", *WORDS, "un", "deux"]
TEXT = "petit chat rouge"


def write_pieces(folder: Path, **record: Any) -> Tokenizer:
    """Whole words and their ends, as CamemBERT 2 has them, whatever the folder calls its class."""
    made = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "eos_token": "[SEP]"}
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(special | record))
    return made


def build(folder: Path, family: str = "bert", **settings: Any) -> Any:
    network = settled(text_network(FAMILIES[family], folder, **settings))
    return build_text_network(network, build_tokenizer(network, [], folder.with_name("kept")), classes=3)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("roberta", "RobertaTokenizer"),
        ("deberta-v2", "DebertaV2TokenizerFast"),
        ("camembert", "CamembertTokenizer"),
        ("mpnet", "MPNetTokenizer"),
        ("roberta", None),
        ("llama", "LlamaTokenizerFast"),
        ("qwen3", "Qwen2Tokenizer"),
    ],
)
def test_a_tokenizer_of_another_kind_than_its_class_is_read_from_its_file(
    family: str, kind: str | None, tmp_path: Path
) -> None:
    write_text(FAMILIES[family], tmp_path / "w")
    file = write_pieces(tmp_path / "w", **({"tokenizer_class": kind} if kind else {}))
    network = settled(text_network(FAMILIES[family], tmp_path / "w"))
    tokenizer = build_tokenizer(network, [], tmp_path / "kept")
    assert tokenizer(TEXT)["input_ids"] == file.encode(TEXT).ids
    again = hf.AutoTokenizer.from_pretrained(tmp_path / "kept", local_files_only=True)
    assert again(TEXT)["input_ids"] == file.encode(TEXT).ids
    build_text_network(network, tokenizer, classes=3)


def test_what_a_setting_says_of_a_tokenizer_goes_before_its_file(tmp_path: Path) -> None:
    write_text(FAMILIES["bert"], tmp_path / "w")
    write_pieces(tmp_path / "w", tokenizer_class="BertTokenizer", do_lower_case=False)
    tokenizer = build_tokenizer(text_network(FAMILIES["bert"], tmp_path / "w"), [], tmp_path / "kept")
    assert isinstance(tokenizer, hf.BertTokenizer)
    assert tokenizer("Chat")["input_ids"] == [2, 0, 3] and tokenizer("chat")["input_ids"] != [2, 0, 3]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_tokenizer_that_differs_from_its_file_in_a_first_blank_alone_stays_of_its_class(legacy: bool, tmp_path: Path) -> None:
    """Llama's: its file may put a blank before every text, and its class knows whether an end token is wanted."""
    write_text(FAMILIES["llama"], tmp_path / "w")
    letters = ["<unk>", "<s>", "</s>", "\u2581", *"adeinoqrstux"]
    vocabulary = {piece: number for number, piece in enumerate(letters)}
    hf.LlamaTokenizer(vocab=vocabulary, merges=[], add_eos_token=True, pad_token="</s>").save_pretrained(tmp_path / "w")
    path = tmp_path / "w" / "tokenizer.json"
    file = json.loads(path.read_text())
    if legacy:
        file["pre_tokenizer"] = None
        prepend = {"type": "Prepend", "prepend": "\u2581"}
        replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        file["normalizer"] = {"type": "Sequence", "normalizers": [prepend, replace]}
    path.write_text(json.dumps(file))
    expected = hf.AutoTokenizer.from_pretrained(tmp_path / "w")
    own = Tokenizer.from_file(str(path)).encode(" un", add_special_tokens=False).ids
    assert (own != expected(" un", add_special_tokens=False)["input_ids"]) is legacy
    found = build_tokenizer(text_network(FAMILIES["llama"], tmp_path / "w"), [], tmp_path / "kept")
    assert type(found) is type(expected)
    assert found("un deux")["input_ids"] == expected("un deux")["input_ids"]


def configured(**settings: Any) -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return at


def with_tensors(**more: torch.Tensor) -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        save_file(load_file(folder / "model.safetensors") | more, folder / "model.safetensors", {"format": "pt"})

    return at


def adapter_alone(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")


def cached(folder: Path) -> None:
    kept = folder.rename(folder.with_name("snapshot"))
    (folder / "snapshots").mkdir(parents=True)
    kept.rename(folder / "snapshots" / "abc")


def as_language_model(folder: Path) -> None:
    """Its tensors under a prefix, and one layer less in the configuration."""
    hf.BertForMaskedLM(hf.BertConfig.from_pretrained(folder)).save_pretrained(folder)
    configured(num_hidden_layers=1)(folder)


def as_quantised_language_model(folder: Path) -> None:
    hf.BertForMaskedLM(hf.BertConfig.from_pretrained(folder)).save_pretrained(folder)
    with_tensors(**{f"bert.{DENSE}.SCB": torch.ones(3)})(folder)


DENSE = "encoder.layer.0.output.dense"
OWN_CODE = {"AutoModel": "modeling.LlamaEncoderModel"}
ODD: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "quantised weights": ("bert", configured(quantization_config={"quant_method": "fp8"}), r"quantised \(fp8\)"),
    "weights with scales": ("bert", with_tensors(**{f"{DENSE}.SCB": torch.ones(3)}), f"does not ask for, '{DENSE}.SCB'"),
    "weights with scales under a prefix": ("bert", as_quantised_language_model, f"does not ask for, .*{DENSE}.SCB'"),
    "more layers under a prefix": ("bert", as_language_model, "has more layers than its config.json says"),
    "biases that nobody asks for": (
        "llama",
        with_tensors(**{"layers.0.self_attn.q_proj.bias": torch.ones(16)}),
        r"does not ask for, 'layers.0.self_attn.q_proj.bias' \(1 of",
    ),
    "an adapter alone": ("bert", adapter_alone, "holds an adapter"),
    "a hub's cache": ("bert", cached, "name the folder in its 'snapshots'"),
    "code of its own for a known family": (
        "llama",
        configured(architectures=["LlamaEncoderModel"], auto_map=OWN_CODE),
        "program code of its own",
    ),
    "attention to both sides": ("llama", configured(use_bidirectional_attention=True), "asks for attention to both sides"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_would_be_read_as_something_else_is_refused(case: str, tmp_path: Path) -> None:
    family, spoil, told = ODD[case]
    write_text(FAMILIES[family], tmp_path / "w")
    build(tmp_path / "w", family, pooling="mean")
    spoil(tmp_path / "w")
    with pytest.raises(ModelError, match=told) as refused:
        build(tmp_path / "w", family, pooling="mean")
    assert "\n" not in str(refused.value)


def test_attention_to_both_sides_is_taken_where_the_family_knows_it(tmp_path: Path) -> None:
    write_text(FAMILIES["qwen3"], tmp_path / "w")
    configured(is_causal=False)(tmp_path / "w")
    assert build(tmp_path / "w", "qwen3", pooling=None).width == 16


FLAVA = of_transformers(
    "flava", "", lambda: None, lambda: hf.ViTImageProcessor(size={"height": 32, "width": 32}), tower="image"
)
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def test_an_image_half_that_gives_many_vectors_is_refused(tmp_path: Path) -> None:
    """FLAVA's own features are those of every patch."""

    def config() -> Any:
        image = SIZES | {"image_size": 32, "patch_size": 8, "vocab_size": 40}
        return hf.FlavaConfig(
            image_config=image,
            text_config=SIZES | {"vocab_size": 40},
            multimodal_config=SIZES,
            projection_dim=8,
            hidden_size=16,
        )

    family = dataclasses.replace(FLAVA, config=config)
    _, weights = write_image(family, tmp_path)
    with pytest.raises(ModelError, match=r"gives numbers of shape \(1, 17, 8\), and no vector"):
        build_image_network(settled(image_network(family, weights)), classes=3)


def test_an_image_processor_that_lacks_a_setting_is_refused(tmp_path: Path) -> None:
    """ImageGPT's wants the colours of its palette before it does anything."""
    _, weights = write_image(IMAGES["vit"], tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "ImageGPTImageProcessor"}))
    with pytest.raises(ModelError) as refused:
        settled(image_network(IMAGES["vit"], weights))
    assert "\n" not in str(refused.value)
