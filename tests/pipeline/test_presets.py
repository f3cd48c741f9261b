import dataclasses
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from fusecat.pipeline.commands.extract import _staffed, _subset
from fusecat.pipeline.commands.extract import command as COMMAND
from fusecat.pipeline.presets.preset import Subset, load_preset, names
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction import settings
from fusecat.stages.extraction.settings import LARGE, Library, Pooling, fitting_workers
from fusecat.stages.fusion.fit_settings import THESIS, FitSettings, settings_of

FIELDS = ("title", "description", "title_description")


@pytest.mark.parametrize("name", names())
def test_every_shipped_preset_looks_at_every_field_and_all_but_the_thesis_hold_it_against_tfidf(name: str) -> None:
    features = [feature for network in load_preset(name).networks for feature in network.features()]
    texts, image = {
        "light": (("multilingual_e5_small",), "convnext_nano"),
        "strong": (("camembertav2", "mmbert"), "siglip2"),
    }.get(name, (("camembert", "flaubert"), "se_resnext50"))
    references = [] if name == "thesis" else [f"reference.tfidf.{field}" for field in FIELDS]
    assert features == [*(f"{text}.{field}" for text in texts for field in FIELDS), f"{image}.image", *references]


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
        training = text.training
        assert (training.epochs, training.batch, training.learning_rate, training.epsilon, training.clip) == (
            10,
            32,
            2e-5,
            1e-8,
            1.0,
        )
        assert (training.warmup, training.label_smoothing, training.weight_decay) == (0, 0, 0)
    assert (image.library, image.model, image.size, image.resize) == (Library.PRETRAINEDMODELS, "se_resnext50_32x4d", 224, 256)
    assert (image.training.optimizer, image.training.learning_rate, image.training.epochs) == ("adam", 1e-3, 20)


def test_a_preset_of_ones_own_may_change_single_keys_of_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "tiny"\n[networks.flaubert]\nlength = 32\n[networks.flaubert.training]\nepochs = 3\n')
    camembert, flaubert, *_ = load_preset(str(path)).networks
    assert (flaubert.length, flaubert.training.epochs) == (32, 3)
    assert flaubert.training.learning_rate == load_preset("tiny").networks[1].training.learning_rate
    assert camembert == load_preset("tiny").networks[0]


def test_a_preset_may_start_from_another_file_beside_it_but_not_from_itself(tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text('base = "tiny"\n[networks.flaubert]\nlength = 32\n')
    (tmp_path / "mine.toml").write_text('base = "house.toml"\n[networks.flaubert.training]\nepochs = 3\n')
    flaubert = load_preset(str(tmp_path / "mine.toml")).networks[1]
    assert (flaubert.length, flaubert.training.epochs) == (32, 3)
    (tmp_path / "house.toml").write_text('base = "mine.toml"\n')
    with pytest.raises(UsageError, match="starts from this file itself"):
        load_preset(str(tmp_path / "mine.toml"))


def test_the_help_names_every_preset() -> None:
    (option,) = [each for each in COMMAND.params if each.name == "preset"]
    assert all(name in option.help for name in names())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('base = "tiny"\n[networks.flaubert.training]\nlearning_rat = 1', "'learning_rat'; did you mean 'learning_rate'?"),
        ('base = "tiny"\n[networks.flaubert]\nlenght = 1', "did you mean 'length'?"),
        (
            'base = "tiny"\n[networks.camenbert]\nweights = "a"',
            "a network of its own; did you mean 'camembert'?",
        ),
        ('base = "tiny"\n[networks.flaubert]\nfields = "title"', "a list is needed, as in ['title']"),
        ('base = "tiny"\n[extractio]\nblock = 1', "did you mean 'extraction'?"),
        ('base = "tiny"\n[networks.flaubert]\npooling = "maximum"', "networks.flaubert"),
        ('base = "tiny"\n[study]\nsubset = "some"', "[study]"),
        ('base = "tiny"\n[study]\nsubsett = "all"', "did you mean 'subset'"),
        ('base = "tiny"\n[fusion]\nlos = "focal"', "did you mean 'loss'?"),
        ('base = "tiny"\n[fusion]\nloss = "focus"', "loss = 'focus'"),
        ('base = "tiny"\n[fusion]\ndropout = 1.5', "dropout must be at least 0 and below 1, not 1.5"),
        ('base = "tiny"\n[fusion]\nsettings = "theses"', "'theses' is not one of default, thesis"),
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


def test_a_preset_may_set_every_setting_of_a_head(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for name, value in asdict(FitSettings()).items():
        path.write_text(f'base = "tiny"\n[fusion]\nsettings = "thesis"\n{name} = {json.dumps(value)}\n')
        preset = load_preset(str(path))
        assert settings_of(preset.fusion, preset.fusion_changes) == dataclasses.replace(THESIS, **{name: value}), name


def test_an_unknown_preset_or_network_proposes_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'modern'"):
        load_preset("modren")
    with pytest.raises(UsageError, match="did you mean 'flaubert'"):
        load_preset("tiny").select(["flauber"])


def test_the_command_line_overrides_weights_and_seed() -> None:
    preset = load_preset("modern").override(seed=7, weights={"flaubert": "folder"}, networks={}, training={"freeze": True})
    assert [network.weights for network in preset.networks] == ["camembert-base", "folder", "imagenet", "new"]
    assert all(network.training.seed == 7 and network.training.freeze for network in preset.networks)


def test_a_preset_may_name_the_products_and_the_flag_has_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "thesis"\n[study]\nsubset = "described"\n')
    mine, thesis = load_preset(str(path)), load_preset("thesis")
    assert (mine.subset, thesis.subset) == (Subset.DESCRIBED, Subset.ALL)
    chosen = [_subset(preset, {"subset": flag}) for preset in (mine, thesis) for flag in (None, "all", "described")]
    assert chosen == ["described", None, "described", None, None, "described"]


def test_large_catalogues_get_worker_processes_and_small_ones_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, expected in ((1, 0), (2, 1), (4, 3), (64, 4)):
        monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert fitting_workers(LARGE) == expected
        assert fitting_workers(LARGE - 1) == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert fitting_workers(LARGE) == 3, "four cores per device, one of them for its main process"


def test_workers_are_those_of_the_flag_else_of_the_preset_else_what_suits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusecat.pipeline.commands.extract.fitting_workers", lambda _: 3)
    path = tmp_path / "mine.toml"
    path.write_text('base = "tiny"\n[extraction]\nworkers = 2\n')
    mine, tiny = load_preset(str(path)), load_preset("tiny")
    assert [_staffed(preset, flag, 1).extraction.workers for preset in (mine, tiny) for flag in (None, 0, 5)] == [
        2,
        0,
        5,
        3,
        0,
        5,
    ]
