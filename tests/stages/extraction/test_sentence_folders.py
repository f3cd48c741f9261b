"""Folders of sentence-transformers give its own vectors, or what they ask for besides is named."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.build_network import build_text_network, build_tokenizer, settled
from fusecat.stages.extraction.dry_run import pad_of
from fusecat.stages.extraction.inputs import collate_tokens
from fusecat.stages.extraction.tokenising import tokenise
from tests.stages.extraction.families import TEXT_FAMILIES, text_network, write_text

FAMILY = {family.name: family for family in TEXT_FAMILIES}["sentence-transformers"]
TEXTS = ("lampe rouge", "Le petit Chat bleu", "LIVRE de la table")


def changed(folder: Path, name: str, **settings: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def build(folder: Path, **settings: Any) -> Any:
    network = settled(text_network(FAMILY, folder, **settings))
    tokenizer = build_tokenizer(network, [], folder.with_name("kept"))
    return network, tokenizer, build_text_network(network, tokenizer, classes=3).eval()


def vectors(folder: Path, **settings: Any) -> torch.Tensor:
    network, tokenizer, built = build(folder, **settings)
    rows = [row.astype(np.int64) for row in tokenise(tokenizer, network, TEXTS, 0)]
    with torch.no_grad():
        found: torch.Tensor = built.encode(**collate_tokens(rows, pad_of(tokenizer) or 0, 0, network.length))[0]
    return found


TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
FED_OTHERWISE: dict[str, tuple[Mapping[str, Any], str]] = {
    "for another task": ({"transformer_task": "fill-mask"}, "fill-mask"),
    "through a chat template": ({"modality_config": {"text": TEXT, "message": TEXT}}, "message"),
    "up to an inner layer": (
        {"modality_config": {"text": TEXT | {"method_output_name": ["hidden_states", 1]}}},
        "hidden_states",
    ),
    "for its pooler": ({"module_output_name": "sentence_embedding"}, "sentence_embedding"),
    "with another configuration": ({"config_args": {"hidden_act": "relu"}}, "hidden_act"),
    "with another tokenizer": ({"processor_kwargs": {"unk_token": "chat"}}, "unk_token"),
    "without special tokens": ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "add_special_tokens"),
    "by settings that are none": ({"modality_config": {"text": 1}}, "not known here"),
}


@pytest.mark.parametrize("case", FED_OTHERWISE)
def test_an_encoder_that_is_fed_otherwise_is_refused(case: str, tmp_path: Path) -> None:
    write_text(FAMILY, tmp_path / "w")
    settings, told = FED_OTHERWISE[case]
    changed(tmp_path / "w", "sentence_bert_config.json", **settings)
    with pytest.raises(ModelError, match=told) as refused:
        build(tmp_path / "w")
    assert "fusecat import" in str(refused.value) and "\n" not in str(refused.value)


def test_vectors_that_are_cut_are_refused(tmp_path: Path) -> None:
    write_text(FAMILY, tmp_path / "w")
    changed(tmp_path / "w", "config_sentence_transformers.json", truncate_dim=8)
    with pytest.raises(ModelError, match="truncate_dim"):
        build(tmp_path / "w")


def test_settings_that_change_no_vector_are_taken(tmp_path: Path) -> None:
    write_text(FAMILY, tmp_path / "w")
    expected = vectors(tmp_path / "w")
    settings = {"model_args": {"torch_dtype": "float16"}, "tokenizer_args": {"padding_side": "left"}}
    changed(tmp_path / "w", "sentence_bert_config.json", modality_config={"text": TEXT}, **settings)
    assert torch.equal(vectors(tmp_path / "w"), expected)


LISTED: dict[str, tuple[int, str]] = {
    "an encoder of vectors alone": (0, "sentence_transformers.models.StaticEmbedding"),
    "an encoder that is a router": (0, "sentence_transformers.models.Router"),
    "an encoder of one's own": (0, "custom_st.Transformer"),
    "a pooling of one's own": (1, "custom_st.Pooling"),
}


@pytest.mark.parametrize("case", LISTED)
def test_modules_of_other_kinds_are_refused_by_name(case: str, tmp_path: Path) -> None:
    write_text(FAMILY, tmp_path / "w")
    path = tmp_path / "w" / "modules.json"
    listed = json.loads(path.read_text())
    place, kind = LISTED[case]
    listed[place]["type"] = kind
    path.write_text(json.dumps(listed))
    with pytest.raises(ModelError, match=kind.removeprefix("sentence_transformers.models.")):
        build(tmp_path / "w")
    with pytest.raises(ModelError):
        build(tmp_path / "w", pooling=None)
    path.write_text(json.dumps(listed[:1] if place else listed[1:]))
    with pytest.raises(ModelError, match="no pooling" if place else "the module Pooling"):
        build(tmp_path / "w")


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("3_Normalize", {"module_input_name": "token_embeddings"}),
        ("2_Dense", {"module_output_name": "elsewhere"}),
        ("2_Dense", {"activation_function": "mine.GELU"}),
    ],
)
def test_a_layer_that_works_elsewhere_is_refused(place: str, settings: Mapping[str, str], tmp_path: Path) -> None:
    write_text(FAMILY, tmp_path / "w")
    changed(tmp_path / "w", f"{place}/config.json", **settings)
    with pytest.raises(ModelError, match="not known here"):
        build(tmp_path / "w")


@pytest.mark.filterwarnings("ignore")
def test_small_letters_are_made_where_the_folder_asks_for_them(tmp_path: Path) -> None:
    theirs = pytest.importorskip("sentence_transformers")
    write_text(FAMILY, tmp_path / "w")
    changed(tmp_path / "w", "tokenizer.json", normalizer=None)
    assert not torch.allclose(vectors(tmp_path / "w"), vectors(tmp_path / "w", lowercase=True))
    changed(tmp_path / "w", "sentence_bert_config.json", do_lower_case=True)
    with pytest.raises(UsageError, match="set lowercase = true"):
        build(tmp_path / "w")
    expected = theirs.SentenceTransformer(str(tmp_path / "w"), device="cpu").encode(list(TEXTS), convert_to_tensor=True)
    assert torch.allclose(vectors(tmp_path / "w", lowercase=True), expected, atol=1e-5)


def test_a_default_prompt_is_not_left_out_in_silence(tmp_path: Path) -> None:
    """A folder whose makers took the mean, as is done where nothing is said, of texts with a prompt."""
    write_text(FAMILY, tmp_path / "w")
    listed = json.loads((tmp_path / "w" / "modules.json").read_text())
    (tmp_path / "w" / "modules.json").write_text(json.dumps(listed[:2]))
    build(tmp_path / "w", pooling=None)
    changed(tmp_path / "w", "config_sentence_transformers.json", default_prompt_name="query")
    with pytest.raises(ModelError, match='set pooling = "model"'):
        build(tmp_path / "w", pooling=None)
    assert build(tmp_path / "w", pooling="mean")
