"""What cannot be right is said in one line, with the exit code of its kind, before anything is taught."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.build_network import build_image_network, build_text_network, build_tokenizer, settled
from fusecat.stages.extraction.settings import Library, Network
from fusecat.stages.fields import Field
from tests.stages.extraction.families import LONG, TEXT_FAMILIES, TextFamily, text_network, write_text, write_tokenizer
from tests.stages.extraction.image_families import IMAGE_FAMILIES, image_network, write_image

FAMILIES: dict[str, TextFamily] = {family.name: family for family in TEXT_FAMILIES}


def build(folder: Path, family: str = "bert", **settings: Any) -> Any:
    network = settled(text_network(FAMILIES[family], folder, **settings))
    return build_text_network(network, build_tokenizer(network, [], folder.with_name("kept")), classes=3)


def changed(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        state = change(load_file(folder / "model.safetensors"))
        save_file(state, folder / "model.safetensors", {"format": "pt"})

    return at


def configured(**settings: Any) -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return at


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return at


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/tmp/fusecat-was-here"),)


def malicious(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"w": Evil()}, folder / "pytorch_model.bin")


def no_number(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor * torch.nan for name, tensor in state.items()}


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "foreign keys": (
        changed(lambda state: {f"other.{name}": each for name, each in state.items()}),
        "lacks 'embeddings.LayerNorm.bias'",
    ),
    "a whole layer missing": (
        changed(lambda state: {name: each for name, each in state.items() if "layer.1." not in name}),
        r"lacks 'encoder.layer.1.attention.output.LayerNorm.bias' \(16 of",
    ),
    "more layers than the configuration": (configured(num_hidden_layers=1), "has more layers than its config.json says"),
    "other shapes": (configured(intermediate_size=32), "has another shape for 'encoder.layer.0.intermediate.dense.bias'"),
    "a pickle with code": (malicious, "more than tensors"),
    "code of its own": (
        configured(model_type="unheard", auto_map={"AutoConfig": "code.Config", "AutoModel": "code.Model"}),
        "fusecat import",
    ),
    "a family that nobody knows": (configured(model_type="unheard"), "cannot be had"),
    "a truncated file": (lambda folder: (folder / "model.safetensors").write_bytes(b"12345678"), "cannot be had"),
    "no numbers": (changed(no_number), "not all finite"),
    "an adapter": (
        lambda folder: (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "evil/model"})),
        "holds an adapter",
    ),
    "a tokenizer that Rust refuses": (
        replaced("tokenizer.json", '"type": "Whitespace"', '"type": "Split", "pattern": {"Regex": "("}'),
        "cannot be had",
    ),
    "the tokenizer of another": (lambda folder: write_tokenizer(folder, extra=30), "its embedding has 40 rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_are_refused(case: str, tmp_path: Path) -> None:
    spoil, told = WRONG[case]
    write_text(FAMILIES["bert"], tmp_path / "w")
    spoil(tmp_path / "w")
    with pytest.raises(ModelError, match=told) as refused:
        build(tmp_path / "w")
    assert "\n" not in str(refused.value)
    assert "networks.mine" in str(refused.value) or str(tmp_path / "w") in str(refused.value)
    assert not Path("/tmp/fusecat-was-here").exists()


SETTINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "longer than BERT's positions": ("bert", {"length": 65}, "length = 65, the network has 64 positions; set length = 64"),
    "longer than CamemBERT's, which count from 2": ("camembert", {"length": 65}, "set length = 64"),
    "longer than CLIP's": ("clip", {"length": 256, "tower": "text"}, "set length = 64"),
    "a joint checkpoint without its half": ("clip", {"tower": None}, 'tower = "text", or tower = "image"'),
    "a half of what has none": ("bert", {"tower": "text"}, "leave 'tower' out"),
    "the mean of what reads left to right": ("qwen3", {"pooling": None}, 'set pooling = "last"'),
    "the first token of what reads left to right": ("gpt2", {"pooling": "first"}, "two different texts give the same vector"),
    "token dropout without an unknown token": ("eurobert", {"training": {"token_dropout": 0.1}}, "no unknown token"),
    "an image network for a title": ("bert", {"library": "timm"}, "it sees images, not 'title'"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_the_network_cannot_take_are_refused(case: str, tmp_path: Path) -> None:
    family, settings, told = SETTINGS[case]
    write_text(FAMILIES[family], tmp_path / "w")
    with pytest.raises(UsageError, match=told) as refused:
        build(tmp_path / "w", family, **settings)
    assert "\n" not in str(refused.value)


def test_a_pooling_that_a_network_does_not_go_with_is_refused(tmp_path: Path) -> None:
    write_text(FAMILIES["siglip"], tmp_path / "w")
    with pytest.raises(ModelError, match="cannot read a text with pooling 'mean'"):
        build(tmp_path / "w", "siglip", pooling="mean")


def test_a_network_that_looks_across_padding_is_refused(tmp_path: Path) -> None:
    """ConvBERT's convolution sees the pads behind a text: its vector would depend on whom it shares a batch with."""
    config = hf.ConvBertConfig(**LONG, embedding_size=16)
    write_text(dataclasses.replace(FAMILIES["bert"], config=lambda: config), tmp_path / "w")
    with pytest.raises(ModelError, match="alone and beside a longer one give different vectors"):
        build(tmp_path / "w")


def test_a_folder_that_says_how_its_vectors_are_made_is_not_read_otherwise_in_silence(tmp_path: Path) -> None:
    write_text(FAMILIES["sentence-transformers"], tmp_path / "w")
    with pytest.raises(ModelError, match='set pooling = "model"'):
        build(tmp_path / "w", pooling=None)
    assert build(tmp_path / "w", pooling="mean").width == 16
    (tmp_path / "w" / "modules.json").unlink()
    with pytest.raises(ModelError, match="has none; name the pooling itself"):
        build(tmp_path / "w", pooling="model")


@pytest.mark.parametrize("kind", ["Dense", "CNN"])
def test_a_module_that_is_not_known_points_to_import(kind: str, tmp_path: Path) -> None:
    write_text(FAMILIES["sentence-transformers"], tmp_path / "w")
    path = tmp_path / "w" / "modules.json"
    path.write_text(path.read_text().replace("models.Dense", f"models.{kind}"))
    settings = tmp_path / "w" / "2_Dense" / "config.json"
    settings.write_text(settings.read_text().replace("activation.Tanh", "activation.Unheard"))
    with pytest.raises(ModelError, match="fusecat import"):
        build(tmp_path / "w", pooling="model")


def module(place: str, **settings: Any) -> Callable[[Path], None]:
    """The dense layer lies elsewhere, or has other settings."""

    def at(folder: Path) -> None:
        path = folder / "modules.json"
        os.replace(folder / "2_Dense", folder.with_name("2_Dense"))
        shutil.copytree(folder.with_name("2_Dense"), folder / "2_Dense")
        path.write_text(path.read_text().replace('"2_Dense"', json.dumps(place.format(outside=folder.parent))))
        kept = folder / "2_Dense" / "config.json"
        kept.write_text(json.dumps(json.loads(kept.read_text()) | settings))

    return at


def holding(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


PROMPTS = "config_sentence_transformers.json"
MODULES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a module above": (module("../2_Dense"), "leads out of the folder"),
    "a module elsewhere": (module("{outside}/2_Dense"), "leads out of the folder"),
    "an encoder above": (holding("modules.json", '[{"type": "Transformer", "path": "../other"}]'), "leads out of the folder"),
    "wider than its weights": (module("2_Dense", out_features=13), "size mismatch"),
    "far wider": (module("2_Dense", out_features=10**12), "not known here"),
    "less than nothing": (module("2_Dense", out_features=-1), "not known here"),
    "modules that are an object": (holding("modules.json", "{}"), "modules.json of .*a dict"),
    "modules that are numbers": (holding("modules.json", "[1, 2]"), "modules.json of .*TypeError"),
    "no modules": (holding("modules.json", "[]"), "it lists none"),
    "modules that are no JSON": (holding("modules.json", "["), "modules.json of .*JSONDecodeError"),
    "settings that are a list": (holding("1_Pooling/config.json", "[]"), "1_Pooling/config.json of .*a list"),
    "a pooling that is none": (holding("1_Pooling/config.json", '{"pooling_mode": [["mean"]]}'), "not known here"),
    "prompts that are a list": (holding(PROMPTS, '{"prompts": [1], "default_prompt_name": "x"}'), f"{PROMPTS} of "),
    "a prompt's name that is none": (holding(PROMPTS, '{"prompts": {"x": ""}, "default_prompt_name": []}'), f"{PROMPTS} of "),
}


@pytest.mark.parametrize("case", MODULES)
def test_modules_that_make_no_sense_are_refused(case: str, tmp_path: Path) -> None:
    spoil, told = MODULES[case]
    write_text(FAMILIES["sentence-transformers"], tmp_path / "w")
    spoil(tmp_path / "w")
    with pytest.raises(ModelError, match=told) as refused:
        build(tmp_path / "w", pooling="model")
    assert "\n" not in str(refused.value) and str(tmp_path / "w") in str(refused.value)
    if case not in ("wider than its weights", "far wider", "less than nothing") and PROMPTS not in told:
        with pytest.raises(ModelError):
            build(tmp_path / "w", pooling=None)


def test_the_default_prompt_of_a_folder_is_its_prefix(tmp_path: Path) -> None:
    write_text(FAMILIES["sentence-transformers"], tmp_path / "w")
    network = text_network(FAMILIES["sentence-transformers"], tmp_path / "w")
    assert settled(network).prefix == ""
    path = tmp_path / "w" / "config_sentence_transformers.json"
    path.write_text(path.read_text().replace("null", '"query"'))
    assert settled(network).prefix == "query: "


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_files_are_taught_in_full(dtype: torch.dtype, tmp_path: Path) -> None:
    """In bf16, AdamW at 2e-5 would leave most weights where they are: the step is below their last bit."""
    write_text(FAMILIES["bert"], tmp_path / "w", dtype)
    network = build(tmp_path / "w").train()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    assert {parameter.dtype for parameter in before.values()} == {torch.float32}
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-5)
    ids, labels = torch.randint(0, 17, (4, 9)), torch.tensor([0, 1, 2, 0])
    for _ in range(60):
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(ids, torch.ones_like(ids))["logits"]
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimiser.step()
        optimiser.zero_grad()
    still = [name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])]
    assert not still
    moved = {name: (parameter != before[name]).float().mean() for name, parameter in network.named_parameters()}
    assert all(share > 0.99 for name, share in moved.items() if "LayerNorm" in name), "norms lie near 1, where bf16 is coarsest"


def test_old_names_in_a_pickled_file_alone_load_whole(tmp_path: Path) -> None:
    """FlauBERT's hub folder: a language model's prefix, `pytorch_model.bin` and no safetensors."""
    model = write_text(FAMILIES["flaubert"], tmp_path / "w")
    (tmp_path / "w" / "model.safetensors").unlink()
    state = {f"transformer.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save(state | {"pred_layer.proj.weight": torch.zeros(3, 16)}, tmp_path / "w" / "pytorch_model.bin")
    loaded = build(tmp_path / "w", "flaubert").backbone.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())


def test_shards_load_whole(tmp_path: Path) -> None:
    model = write_text(FAMILIES["camembert"], tmp_path / "w")
    (tmp_path / "w" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "w", max_shard_size="4KB")
    assert len(list((tmp_path / "w").glob("model-*.safetensors"))) > 2
    loaded = build(tmp_path / "w", "camembert").backbone.state_dict()
    assert loaded and all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in loaded.items())


IMAGES = {family.name: family for family in IMAGE_FAMILIES}


def image(name: str, folder: Path, **settings: Any) -> Any:
    _, weights = write_image(IMAGES[name], folder)
    return build_image_network(image_network(IMAGES[name], weights, **settings), classes=3)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("timm/vit", {"size": 48}, "cannot take images of size = 48"),
        ("vit", {"size": 48}, "cannot take images of size = 48"),
        ("timm/resnet", {"size": 64, "resize": 32}, "0 < size <= resize"),
        ("clip", {"tower": None}, 'tower = "image"'),
        ("vit", {"tower": "image"}, "leave 'tower' out"),
    ],
)
def test_images_that_the_network_cannot_take_are_refused(
    name: str, settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        image(name, tmp_path / "w", **settings)
    assert "\n" not in str(refused.value)


def test_an_image_processor_that_makes_no_square_is_refused(tmp_path: Path) -> None:
    write_image(IMAGES["dinov2"], tmp_path / "w")
    hf.BitImageProcessor(size={"shortest_edge": 36}, do_center_crop=False).save_pretrained(tmp_path / "w")
    with pytest.raises(ModelError, match="is no scaling to a square; set all of size, resize"):
        settled(image_network(IMAGES["dinov2"], str(tmp_path / "w")))


def test_an_image_network_lacking_a_layer_is_refused(tmp_path: Path) -> None:
    _, weights = write_image(IMAGES["vit"], tmp_path / "w")
    changed(lambda state: {name: each for name, each in state.items() if "layer.1." not in name})(Path(weights))
    changed(lambda state: {name: each for name, each in state.items() if "layers.1." not in name})(Path(weights))
    with pytest.raises(ModelError, match="lacks"):
        build_image_network(image_network(IMAGES["vit"], weights), classes=3)


def test_an_image_folder_without_a_processor_says_so(tmp_path: Path) -> None:
    _, weights = write_image(IMAGES["vit"], tmp_path / "w")
    (tmp_path / "w" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError):
        settled(image_network(IMAGES["vit"], weights))


def test_what_a_preset_says_of_pixels_goes_before_the_library(tmp_path: Path) -> None:
    network = Network(
        name="mine", library=Library.TIMM, model="resnet10t", fields=(Field.IMAGE,), size=64, mean=(0.1, 0.2, 0.3)
    )
    found = settled(network)
    assert (found.size, found.mean) == (64, (0.1, 0.2, 0.3))
    own = settled(Network(name="mine", library=Library.TIMM, model="resnet10t", fields=(Field.IMAGE,)))
    assert found.std == own.std and own.size == 176 and own.interpolation == "bicubic"


def test_a_tokenizer_that_makes_rust_panic_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """As pyo3's, of which no module offers the class."""

    def panic(*_: Any, **__: Any) -> None:
        raise PanicException("index out of bounds")

    write_text(FAMILIES["bert"], tmp_path / "bert")
    monkeypatch.setattr(hf.AutoTokenizer, "from_pretrained", panic)
    with pytest.raises(ModelError, match="index out of bounds"):
        build(tmp_path / "bert")
    monkeypatch.setattr(hf.AutoTokenizer, "from_pretrained", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "bert")
