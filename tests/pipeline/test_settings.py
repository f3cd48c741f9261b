from pathlib import Path

import pytest

from pipeline.settings import load_preset, names
from stages.encoders.settings import Library, Pooling
from stages.errors import UsageError


@pytest.mark.parametrize("name", names())
def test_every_shipped_preset_has_the_seven_features_of_the_method(name: str) -> None:
    features = [feature for network in load_preset(name).networks for feature in network.features()]
    texts = [
        f"{network}.{field}" for network in ("camembert", "flaubert") for field in ("title", "description", "title_description")
    ]
    assert features == [*texts, "se_resnext50.image"]


def test_the_thesis_preset_says_what_the_thesis_says() -> None:
    camembert, flaubert, image = load_preset("thesis").networks
    assert (camembert.weights, camembert.pooling, camembert.length, camembert.width) == (
        "camembert-base",
        Pooling.FLATTEN,
        256,
        768,
    )
    assert (flaubert.weights, flaubert.pooling, flaubert.training.dropout) == (
        "flaubert/flaubert_base_cased",
        Pooling.FIRST,
        0.1,
    )
    for text in (camembert, flaubert):
        taught = text.training
        assert (taught.epochs, taught.batch, taught.learning_rate, taught.epsilon, taught.clip) == (10, 32, 2e-5, 1e-8, 1.0)
        assert (taught.warmup, taught.label_smoothing, taught.weight_decay) == (0, 0, 0)
    assert (image.library, image.model, image.size, image.resize) == (Library.PRETRAINEDMODELS, "se_resnext50_32x4d", 224, 256)
    assert (image.training.optimizer, image.training.learning_rate, image.training.epochs) == ("adam", 1e-3, 20)


def test_a_preset_of_ones_own_may_change_single_keys_of_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "tiny"\n[networks.flaubert]\nlength = 32\n[networks.flaubert.training]\nepochs = 3\n')
    camembert, flaubert, _ = load_preset(str(path)).networks
    assert (flaubert.length, flaubert.training.epochs) == (32, 3)
    assert flaubert.training.learning_rate == load_preset("tiny").networks[1].training.learning_rate
    assert camembert == load_preset("tiny").networks[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('base = "tiny"\n[networks.flaubert.training]\nlearning_rat = 1', "'learning_rat'; did you mean 'learning_rate'?"),
        ('base = "tiny"\n[networks.flaubert]\nlenght = 1', "did you mean 'length'?"),
        ('base = "tiny"\n[extractio]\nblock = 1', "did you mean 'extraction'?"),
        ('base = "tiny"\n[networks.flaubert]\npooling = "maximum"', "networks.flaubert"),
        ('base = "tinny"', "tinny"),
        ("networks = 3", "networks"),
        ("[networks.'a/b']\nlibrary = 'timm'\nmodel = 'x'", "a/b"),
        ("a = [", "not TOML"),
        ("", "no [networks.NAME] table"),
    ],
)
def test_a_wrong_preset_is_refused_by_file_and_key(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load_preset(str(path))
    assert told in str(error.value)
    assert str(path) in str(error.value)


def test_an_unknown_preset_or_network_proposes_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'modern'"):
        load_preset("modren")
    with pytest.raises(UsageError, match="did you mean 'flaubert'"):
        load_preset("tiny").select(["flauber"])


def test_the_command_line_overrides_weights_and_seed() -> None:
    preset = load_preset("modern").override(seed=7, weights={"flaubert": "folder"}, networks={}, training={"freeze": True})
    assert [network.weights for network in preset.networks] == ["camembert-base", "folder", "imagenet"]
    assert all(network.training.seed == 7 and network.training.freeze for network in preset.networks)
