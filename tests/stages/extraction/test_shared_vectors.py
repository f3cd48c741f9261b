"""Vectors that know nothing of a split are taken over from another: the same numbers, with what learns learnt anew."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from fusecat.cache.store import FeatureCache
from fusecat.stages.extraction import zero_shot
from fusecat.stages.extraction.build_network import build_image_network
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.extract import encoders, explain, extract
from fusecat.stages.extraction.networks import ImageNetwork
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.prediction.fine_tuned_encoder import FineTunedEncoder
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, SE_RESNEXT50, open_study
from tests.stages.extraction.test_zero_shot import NAMES, called, checkpoint, network


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures an image network looked at, each time."""
    seen, encode = list[int](), ImageNetwork.encode

    def counted(self: ImageNetwork, pixels: Any) -> Any:
        seen.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(ImageNetwork, "encode", counted)
    return seen


def both(sample_cut: Path) -> tuple[Study, Study]:
    return open_study(sample_cut), open_study(sample_cut, seed=2021)


def frozen(folder: Path) -> Encoder:
    """An image network whose weights are given and stay, with out-of-fold logits."""
    built = build_image_network(SE_RESNEXT50, 2)
    save_file({name: tensor.contiguous() for name, tensor in built.backbone.state_dict().items()}, folder / "w.safetensors")
    training = replace(SE_RESNEXT50.training, freeze=True)
    given = replace(SE_RESNEXT50, weights=str(folder / "w.safetensors"), training=training)
    (encoder,) = encoders([given], replace(EXTRACTION, folds=2))
    return encoder


def test_a_frozen_network_looks_at_no_picture_again(sample_cut: Path, tmp_path: Path, looks: list[int]) -> None:
    encoder, (first, second) = frozen(tmp_path), both(sample_cut)
    one, other, alone = (Workspace(tmp_path / name) for name in ("one", "other", "alone"))
    extract(first, [encoder], one)
    looked = sum(looks)
    assert looked > len(first.rows.ids)
    (outcome,) = extract(second, [encoder], other, vectors_of=one)
    assert outcome.state == "extracted" and set(outcome.out_of_fold)
    tried = 4 * 6  # building tries each network (its own and those of two folds, built and read back) on a few random pictures
    assert sum(looks) - looked <= tried
    extract(second, [encoder], alone)
    made, asked = (FeatureCache(place.features).table().features[encoder.feature] for place in (other, alone))
    np.testing.assert_array_equal(made.embedding, asked.embedding)
    train = second.labelled(Part.TRAIN, second.present(encoder.field))
    for mine, theirs in ((made.logits, asked.logits), (made.logits_oof, asked.logits_oof)):
        close = np.abs(np.asarray(mine) - np.asarray(theirs))
        assert close.max() < 0.05 < np.ptp(np.asarray(theirs))
    assert not np.array_equal(np.asarray(made.logits)[train], np.asarray(made.logits_oof)[train])
    assert explain(second, [encoder], other, MACRO_F1, vectors_of=one)[encoder.feature].state == "hit"
    assert extract(second, [encoder], other, vectors_of=one)[0].state == "hit"
    known = FineTunedEncoder.in_workspace(other, encoder.feature, second.catalogue.classes)
    assert known is not None, "it predicts by itself"


def test_zero_shot_says_the_same_on_each_split(sample_cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint("clip", tmp_path / "w")
    first, second = (called(each, dict(zip(each.catalogue.classes, NAMES, strict=True))) for each in both(sample_cut))
    one, other = Workspace(tmp_path / "one"), Workspace(tmp_path / "other")
    chosen = encoders([network(tmp_path / "w")], EXTRACTION)
    extract(first, chosen, one)
    seen, encode = list[str](), zero_shot.encode
    monkeypatch.setattr(zero_shot, "encode", lambda of, *a, **b: seen.append(type(of).__name__) or encode(of, *a, **b))
    extract(second, chosen, other, vectors_of=one)
    assert seen == ["Classifier"]
    mine, theirs = (FeatureCache(place.features).table().features[chosen[0].feature] for place in (other, one))
    np.testing.assert_array_equal(mine.embedding, theirs.embedding)
    assert np.abs(np.asarray(mine.logits) - np.asarray(theirs.logits)).max() < 0.05


@pytest.mark.parametrize("change", [{}, {"freeze": True}])
def test_what_learns_or_learns_its_words_here_is_never_taken_over(change: dict[str, bool]) -> None:
    """A network with new weights has a tokenizer that was learnt from train, frozen or not."""
    for encoder in encoders([replace(CAMEMBERT, training=replace(CAMEMBERT.training, **change))], EXTRACTION):
        assert not encoder.independent
