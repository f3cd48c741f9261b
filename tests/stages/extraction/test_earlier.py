"""Features of version 0.1.0: what it made of half precision and of foreign weights is not taken for what it should be."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusecat.cache.errors import DamagedFile
from fusecat.cache.publish import publish
from fusecat.cache.store import FeatureCache
from fusecat.stages.errors import ModelError
from fusecat.stages.extraction import extract as extraction
from fusecat.stages.extraction import text_backbones
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.extract import encoders, explain, extract
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.families import TEXT_FAMILIES, text_network, write_text
from tests.stages.extraction.small import EXTRACTION, TRAINING, open_study

FEATURE = "mine.title"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def chosen(folder: Path) -> list[Encoder]:
    (family,) = (each for each in TEXT_FAMILIES if each.name == "bert")
    return encoders([text_network(family, folder, training=TRAINING)], EXTRACTION)


def checkpoint(folder: Path) -> None:
    (family,) = (each for each in TEXT_FAMILIES if each.name == "bert")
    write_text(family, folder)


def by_version(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "versions", lambda: {"fusecat": number})


def halve(place: Workspace) -> None:
    """As a network that was taught in half precision lies there."""
    path = place.encoders / FEATURE / "network.safetensors"
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}, path)


@pytest.mark.parametrize(("version", "half"), [("0.1.0", True), ("0.1.0", False), ("0.2.0", True)])
def test_half_precision_is_made_anew_and_nothing_else_is(
    version: str, half: bool, sample_cut: Path, tmp_path: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "w")
    study, told = open_study(sample_cut), []
    with monkeypatch.context() as before:
        by_version(version, before)
        extract(study, chosen(tmp_path / "w"), place)
    if half:
        halve(place)
    wrong = half and version == "0.1.0"
    (verdict,) = explain(study, chosen(tmp_path / "w"), place, MACRO_F1).values()
    assert (verdict.state, "half precision" in verdict.reason) == (("stale", True) if wrong else ("hit", False))
    with monkeypatch.context() as now:
        by_version("0.2.0", now)
        (outcome,) = extract(study, chosen(tmp_path / "w"), place, damaged=told.append)
    assert outcome.state == ("extracted" if wrong else "hit")
    assert [line for line in told if "half precision" in line] == told[: int(wrong)]
    if wrong:
        state = load_file(place.encoders / FEATURE / "network.safetensors")
        assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {torch.float32}
        assert explain(study, chosen(tmp_path / "w"), place, MACRO_F1)[FEATURE].state == "hit"


@pytest.mark.parametrize("header", [b"[]", b"3", b"null", b'{"a": 3}', b'{"a": {"dtype": ["F16"]}}', b"{", b"\xff\xff", b""])
def test_a_network_that_says_nothing_readable_is_named_with_a_way_that_works(
    header: bytes, sample_cut: Path, tmp_path: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "w")
    study = open_study(sample_cut)
    with monkeypatch.context() as before:
        by_version("0.1.0", before)
        extract(study, chosen(tmp_path / "w"), place)
    kept, made = place.encoders / FEATURE / "network.safetensors", FeatureCache(place.features).path(FEATURE)
    kept.write_bytes(len(header).to_bytes(8, "little") + header)
    for command in (
        lambda: explain(study, chosen(tmp_path / "w"), place, MACRO_F1),
        lambda: extract(study, chosen(tmp_path / "w"), place),
    ):
        with pytest.raises(DamagedFile, match=rf"^{kept}: damaged .*; remove it and {made}, ") as refused:
            command()
        assert "\n" not in str(refused.value)
    if header == b"[]":  # the way out is the same for all
        kept.unlink()
        made.unlink()
        (outcome,) = extract(study, chosen(tmp_path / "w"), place)
        assert outcome.state == "extracted" and kept.exists()


def test_an_interruption_forgets_neither_network_nor_feature(
    sample_cut: Path, tmp_path: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "w")
    study = open_study(sample_cut)
    with monkeypatch.context() as before:
        by_version("0.1.0", before)
        extract(study, chosen(tmp_path / "w"), place)
    halve(place)
    for name in ("set_aside", "_extract"):  # the first, then the second step is the last one
        with monkeypatch.context() as stopped:
            stopped.setattr(extraction, name, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                extract(study, chosen(tmp_path / "w"), place)
    (outcome,) = extract(study, chosen(tmp_path / "w"), place)
    assert outcome.state == "extracted"
    state = load_file(place.encoders / FEATURE / "network.safetensors")
    assert state["classifier.weight"].dtype == torch.float32


def test_foreign_weights_are_refused_with_the_feature_that_was_made_of_them(
    sample_cut: Path, tmp_path: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "w")
    state = load_file(tmp_path / "w" / "model.safetensors")
    save_file({f"other.{name}": each for name, each in state.items()}, tmp_path / "w" / "model.safetensors", {"format": "pt"})
    study = open_study(sample_cut)
    with monkeypatch.context() as before:
        by_version("0.1.0", before)
        before.setattr(text_backbones, "refuse_other_weights", lambda *_: None)
        extract(study, chosen(tmp_path / "w"), place)
    for command in (
        lambda: explain(study, chosen(tmp_path / "w"), place, MACRO_F1),
        lambda: extract(study, chosen(tmp_path / "w"), place),
    ):
        with pytest.raises(ModelError, match=r"lacks .*version 0.1.0 made mine.title: remove .*mine.title.h5"):
            command()


def test_weights_out_of_reach_say_nothing_against_a_feature(
    sample_cut: Path, tmp_path: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "w")
    study = open_study(sample_cut)
    with monkeypatch.context() as before:
        by_version("0.1.0", before)
        extract(study, chosen(tmp_path / "w"), place)
    entry = chosen(tmp_path / "w")
    path = tmp_path / "w" / "config.json"
    identity = entry[0].recipe(study, MACRO_F1, "fp32")["network"]["weights"]
    monkeypatch.setattr("fusecat.stages.extraction.weights.identity", lambda _: identity)
    publish(path, json.dumps({"model_type": "unheard"}))
    assert explain(study, entry, place, MACRO_F1)[FEATURE].state == "hit"
