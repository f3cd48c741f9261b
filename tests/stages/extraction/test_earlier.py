"""Features of version 0.1.0: what it made of half precision and of foreign weights is not taken for what it should be."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusecat.cache.errors import DamagedFile
from fusecat.cache.publish import publish
from fusecat.cache.store import FeatureCache
from fusecat.stages.errors import ModelError
from fusecat.stages.extraction import extract as extraction
from fusecat.stages.extraction import text_backbones
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.extract import Outcome, encoders, explain, extract
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.families import TEXT_FAMILIES, text_network, write_text
from tests.stages.extraction.small import EXTRACTION, TRAINING, open_study

FEATURE = "mine.title"
(BERT,) = (each for each in TEXT_FAMILIES if each.name == "bert")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def study(sample_cut: Path) -> Study:
    return open_study(sample_cut)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The folder of a small network's own weights."""
    write_text(BERT, tmp_path / "w")
    return tmp_path / "w"


def chosen(folder: Path) -> list[Encoder]:
    return encoders([text_network(BERT, folder, training=TRAINING)], EXTRACTION)


def made_by(version: str, study: Study, weights: Path, place: Workspace, patch: pytest.MonkeyPatch, **more: Any) -> Outcome:
    """What comes of an extraction by that version of fusecat."""
    with patch.context() as then:
        then.setattr(extraction, "versions", lambda: {"fusecat": version})
        (outcome,) = extract(study, chosen(weights), place, **more)
    return outcome


def halve(place: Workspace) -> None:
    """As a network that was taught in half precision lies there."""
    path = place.encoders / FEATURE / "network.safetensors"
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}, path)


@pytest.mark.parametrize(("version", "half"), [("0.1.0", True), ("0.1.0", False), ("0.2.0", True)])
def test_half_precision_is_made_anew_and_nothing_else_is(
    version: str, half: bool, study: Study, weights: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    made_by(version, study, weights, place, monkeypatch)
    if half:
        halve(place)
    wrong = half and version == "0.1.0"
    (verdict,) = explain(study, chosen(weights), place, MACRO_F1).values()
    assert (verdict.state, "half precision" in verdict.reason) == (("stale", True) if wrong else ("hit", False))
    outcome = made_by("0.2.0", study, weights, place, monkeypatch, damaged=told.append)
    assert outcome.state == ("extracted" if wrong else "hit")
    assert [line for line in told if "half precision" in line] == told[: int(wrong)]
    if wrong:
        state = load_file(place.encoders / FEATURE / "network.safetensors")
        assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {torch.float32}
        assert explain(study, chosen(weights), place, MACRO_F1)[FEATURE].state == "hit"


@pytest.mark.parametrize("header", [b"[]", b"3", b"null", b'{"a": 3}', b'{"a": {"dtype": ["F16"]}}', b"{", b"\xff\xff", b""])
def test_a_network_that_says_nothing_readable_is_named_with_a_way_that_works(
    header: bytes, study: Study, weights: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by("0.1.0", study, weights, place, monkeypatch)
    kept, made = place.encoders / FEATURE / "network.safetensors", FeatureCache(place.features).path(FEATURE)
    kept.write_bytes(len(header).to_bytes(8, "little") + header)
    for command in (
        lambda: explain(study, chosen(weights), place, MACRO_F1),
        lambda: extract(study, chosen(weights), place),
    ):
        with pytest.raises(DamagedFile, match=rf"^{kept}: damaged .*; remove it and {made}, ") as refused:
            command()
        assert "\n" not in str(refused.value)
    if header == b"[]":  # the way out is the same for all
        kept.unlink()
        made.unlink()
        (outcome,) = extract(study, chosen(weights), place)
        assert outcome.state == "extracted" and kept.exists()


def test_an_interruption_forgets_neither_network_nor_feature(
    study: Study, weights: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by("0.1.0", study, weights, place, monkeypatch)
    halve(place)
    for name in ("set_aside", "_extract"):  # the first, then the second step is the last one
        with monkeypatch.context() as stopped:
            stopped.setattr(extraction, name, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                extract(study, chosen(weights), place)
    (outcome,) = extract(study, chosen(weights), place)
    assert outcome.state == "extracted"
    state = load_file(place.encoders / FEATURE / "network.safetensors")
    assert state["classifier.weight"].dtype == torch.float32


def test_foreign_weights_are_refused_with_the_feature_that_was_made_of_them(
    study: Study, weights: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = load_file(weights / "model.safetensors")
    save_file({f"other.{name}": each for name, each in state.items()}, weights / "model.safetensors", {"format": "pt"})
    with monkeypatch.context() as before:
        before.setattr(text_backbones, "refuse_other_weights", lambda *_: None)
        made_by("0.1.0", study, weights, place, before)
    for command in (
        lambda: explain(study, chosen(weights), place, MACRO_F1),
        lambda: extract(study, chosen(weights), place),
    ):
        with pytest.raises(ModelError, match=r"lacks .*version 0.1.0 made mine.title: remove .*mine.title.h5"):
            command()


def test_weights_out_of_reach_say_nothing_against_a_feature(
    study: Study, weights: Path, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by("0.1.0", study, weights, place, monkeypatch)
    entry, path = chosen(weights), weights / "config.json"
    identity = entry[0].recipe(study, MACRO_F1, "fp32")["network"]["weights"]
    monkeypatch.setattr("fusecat.stages.extraction.weights.identity", lambda _: identity)
    publish(path, json.dumps({"model_type": "unheard"}))
    assert explain(study, entry, place, MACRO_F1)[FEATURE].state == "hit"
