"""Weights from anywhere: what is loaded is what the file holds, and nothing but tensors is ever read."""

import dataclasses
import os
from pathlib import Path

import pretrainedmodels
import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizerFast, DistilBertConfig, DistilBertModel

from fusecat.cache.fingerprint import digest
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.build_network import build_image_network, build_text_network, build_tokenizer
from fusecat.stages.extraction.settings import Library, Network
from fusecat.stages.extraction.weights import IMAGENET_URLS, read_state, tensors_digest
from fusecat.stages.fields import Field
from tests.stages.extraction.small import CAMEMBERT, SE_RESNEXT50

SMALL = {"layers": [1, 1, 1, 1], "groups": 2, "inplanes": 8}


def image_network(**fields: object) -> Network:
    return dataclasses.replace(SE_RESNEXT50, shape=SMALL, **fields)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """A state dict as an ImageNet file has it: the network's own keys and a classifier."""
    network = build_image_network(image_network(), classes=4)
    with torch.no_grad():
        for tensor in network.backbone.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) if tensor.is_floating_point() else tensor)
    return network.backbone.state_dict() | {"last_linear.weight": torch.randn(10, 2048), "last_linear.bias": torch.randn(10)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_loaded_tensors_are_those_of_the_file(suffix: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network = build_image_network(image_network(weights=str(path), sha256=digest(path)), classes=4)
    loaded = network.backbone.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in loaded)


def test_a_text_network_loads_the_tensors_of_its_folder(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(CAMEMBERT, ["un chat rouge", "un chien bleu", "une maison"] * 20, tmp_path / "source")
    source = build_text_network(CAMEMBERT, tokenizer, classes=3)
    source.backbone.save_pretrained(tmp_path / "source")
    other = dataclasses.replace(
        CAMEMBERT, weights=str(tmp_path / "source"), training=dataclasses.replace(CAMEMBERT.training, seed=9)
    )
    loaded = build_text_network(other, build_tokenizer(other, [], tmp_path / "kept"), classes=3)
    assert tensors_digest(loaded.backbone.state_dict()) == tensors_digest(source.backbone.state_dict())
    assert not torch.equal(loaded.classifier.weight, source.classifier.weight)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_other_families_of_text_encoders_are_one_more_entry(family: str, tmp_path: Path) -> None:
    folder = tmp_path / family
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "query", ":", "chat", "rouge"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    torch.manual_seed(0)
    if family == "bert":
        model = BertModel(
            BertConfig(vocab_size=9, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
        )
    else:
        model = DistilBertModel(DistilBertConfig(vocab_size=9, dim=16, n_layers=1, n_heads=2, hidden_dim=16))
    model.save_pretrained(folder)
    network = Network(
        name="mine", library=Library.TRANSFORMERS, model=family, weights=str(folder), fields=(Field.TITLE,), prefix="query: "
    )
    tokenizer = build_tokenizer(network, [], tmp_path / "kept")
    built = build_text_network(network, tokenizer, classes=2).eval()
    batch = tokenizer(["query: chat rouge"], return_tensors="pt")
    vector, logits = built.encode(batch["input_ids"], batch["attention_mask"])
    hidden = model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    assert torch.allclose(vector, hidden.mean(1), atol=1e-6)
    assert logits.shape == (1, 2)


@pytest.mark.parametrize(("library", "model"), [(Library.TIMM, "resnet10t"), (Library.PRETRAINEDMODELS, "se_resnet50")])
def test_other_image_networks_are_one_more_entry(library: Library, model: str) -> None:
    network = Network(name="mine", library=library, model=model, fields=(Field.IMAGE,))
    built = build_image_network(network, classes=3).eval()
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    vector, logits = built.encode(pixels)
    assert vector.shape == (2, built.width)
    assert logits.shape == (2, 3)


def test_the_full_se_resnext_is_pretrainedmodels_own_and_takes_timms_file(tmp_path: Path) -> None:
    full = dataclasses.replace(SE_RESNEXT50, shape={})
    theirs = pretrainedmodels.se_resnext50_32x4d(pretrained=None).state_dict()
    twin = timm.create_model("legacy_seresnext50_32x4d", pretrained=False).state_dict()
    assert {name: tensor.shape for name, tensor in theirs.items()} == {name: tensor.shape for name, tensor in twin.items()}
    save_file(twin, tmp_path / "timm.safetensors")
    network = build_image_network(dataclasses.replace(full, weights=str(tmp_path / "timm.safetensors")), classes=27)
    loaded = network.backbone.state_dict()
    assert len(loaded) == len(twin) - 2
    assert all(torch.equal(tensor, twin[name]) for name, tensor in loaded.items())
    assert IMAGENET_URLS["se_resnext50_32x4d"].startswith("https://")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("/tmp/fusecat-was-here",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda path, state: torch.save({"w": Evil()}, path), "more than tensors"),
        (lambda path, state: torch.save([1, 2], path), "not a state dict"),
        (lambda path, state: path.write_bytes(b"<html>not found</html>"), "weights.pth"),
        (lambda path, state: path.write_bytes(b""), "weights.pth"),
        (lambda path, state: torch.save({name: state[name] for name in list(state)[3:]}, path), "lacks"),
        (lambda path, state: torch.save(state | {"other.weight": torch.zeros(1)}, path), "unknown"),
        (lambda path, state: torch.save(state | {"layer0.conv1.weight": torch.zeros(1)}, path), "another shape"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(content, told: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    content(path, state)
    with pytest.raises(ModelError) as error:
        build_image_network(image_network(weights=str(path)), classes=2)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path("/tmp/fusecat-was-here").exists()


def test_a_file_of_another_digest_is_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match="the preset asks for 00"):
        build_image_network(image_network(weights=str(tmp_path / "weights.safetensors"), sha256="00"), classes=2)


def test_weights_that_cannot_be_had_say_where_to_put_them(tmp_path: Path) -> None:
    text = dataclasses.replace(CAMEMBERT, weights="camembert-base")
    with pytest.raises(ModelError, match="--weights camembert=PATH"):
        build_tokenizer(text, [], tmp_path)
    with pytest.raises(ModelError, match="--weights se_resnext50=PATH"):
        build_image_network(image_network(weights="nobody/nothing"), classes=2)


@pytest.mark.parametrize(
    ("files", "told"),
    [(["a.pth", "b.pth"], "holds 2 weights files, one is needed"), ([], "holds 0 weights files")],
)
def test_a_folder_of_an_image_network_holds_one_file(files, told, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    for name in files:
        torch.save(state, folder / name)
    with pytest.raises(ModelError, match=told):
        build_image_network(image_network(weights=str(folder)), classes=2)


def test_imagenet_weights_without_a_checked_address_are_refused() -> None:
    network = Network(name="x", library=Library.PRETRAINEDMODELS, model="nasnetamobile", weights="imagenet")
    with pytest.raises(ModelError, match="no checked ImageNet weights are known for nasnetamobile; pass --weights x=FILE"):
        build_image_network(network, classes=2)


def test_unknown_names_are_refused() -> None:
    for library in (Library.TIMM, Library.PRETRAINEDMODELS):
        with pytest.raises(UsageError, match="no model 'nonesuch'"):
            build_image_network(Network(name="x", library=library, model="nonesuch"), classes=2)


def test_truncated_safetensors_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="not a readable state dict"):
        read_state(path)
