"""Fine-tuning: it learns, keeps the best epoch, and an interruption changes nothing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.fine_tune import fine_tune
from fusecat.stages.extraction.networks import ImageNetwork, TextNetwork
from fusecat.stages.extraction.progress import silent
from fusecat.stages.extraction.settings import Balance, Network
from fusecat.stages.extraction.train_network import Teaching, class_weights
from fusecat.stages.extraction.trainer import OrderedTrainer
from fusecat.stages.extraction.training_record import read_learning
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.vocabulary import Part
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, FLAUBERT, SE_RESNEXT50, open_study


@pytest.fixture(scope="module")
def study(sample_cut: Path) -> Study:
    return open_study(sample_cut)


def fine_tuned(network: Network, **training: object) -> Encoder:
    field = Field.IMAGE if network.is_image else Field.TITLE_DESCRIPTION
    network = dataclasses.replace(network, training=dataclasses.replace(network.training, **training))
    return Encoder(network, field, EXTRACTION)


def teach(encoder: Encoder, study: Study, folder: Path, progress=silent):
    recipe = encoder.recipe(study, MACRO_F1, "fp32")
    return fine_tune(encoder, study, recipe, folder, Teaching(MACRO_F1, progress))


def test_a_text_network_learns_more_than_chance_and_keeps_its_best_epoch(study: Study, tmp_path: Path) -> None:
    _, _, record = teach(fine_tuned(FLAUBERT, epochs=8, learning_rate=5e-3), study, tmp_path)
    scores = [epoch["macro_f1"] for epoch in record["curve"]]
    assert record["epochs"] == len(scores) == 8
    assert record["validation"]["macro_f1"] == max(scores) == scores[record["best_epoch"] - 1]
    assert record["validation"]["accuracy"] > 2 / 6
    assert record["curve"][-1]["train_loss"] < record["curve"][0]["train_loss"]


@pytest.mark.parametrize("freeze", [False, True])
def test_the_kept_network_is_the_one_of_the_best_epoch(freeze: bool, study: Study, tmp_path: Path) -> None:
    from fusecat.stages.scores import scores

    encoder = fine_tuned(CAMEMBERT, epochs=5, learning_rate=2e-2, freeze=freeze)
    network, inputs, record = teach(encoder, study, tmp_path)
    rows = study.labelled(Part.VALIDATION, study.present(encoder.field))
    with torch.no_grad():
        _, logits = network.encode(**inputs.collate([inputs.example(row, None) for row in rows]))
    again = scores(study.rows.labels[rows], logits.softmax(1).numpy())
    assert again["macro_f1"] == pytest.approx(record["validation"]["macro_f1"], abs=1e-6)


class PowerError(Exception):
    """The power goes out."""


@pytest.mark.parametrize(
    ("network", "freeze"), [(FLAUBERT, False), (CAMEMBERT, False), (SE_RESNEXT50, False), (FLAUBERT, True)]
)
def test_an_interrupted_fine_tuning_ends_like_an_uninterrupted_one(
    network: Network, freeze: bool, study: Study, tmp_path: Path
) -> None:
    encoder = fine_tuned(network, epochs=3, group_by_length=network is CAMEMBERT, token_dropout=0.1, freeze=freeze)
    _, _, whole = teach(encoder, study, tmp_path / "whole")
    steps = []

    def stop_in_the_third_epoch(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        steps.append(done)
        if phase == "fine-tuning" and done > 2 * total / 3:
            raise PowerError

    with pytest.raises(PowerError):
        teach(encoder, study, tmp_path / "interrupted", stop_in_the_third_epoch)
    assert read_learning(tmp_path / "interrupted") is None
    resumed_at = []
    _, _, resumed = teach(encoder, study, tmp_path / "interrupted", lambda *told, **_: resumed_at.append(told[1:3]))
    assert next(done for phase, done in resumed_at if phase == "fine-tuning") > 1, "it goes on from the last complete epoch"
    assert resumed["weights"] == whole["weights"]
    assert resumed["curve"] == whole["curve"]
    assert not list((tmp_path / "interrupted").glob("checkpoints"))


def test_a_half_written_checkpoint_is_not_believed(study: Study, tmp_path: Path) -> None:
    encoder = fine_tuned(FLAUBERT, epochs=2)
    _, _, whole = teach(encoder, study, tmp_path / "whole")
    folder = tmp_path / "broken"

    def stop(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        if done > total / 2:
            raise PowerError

    with pytest.raises(PowerError):
        teach(encoder, study, folder, stop)
    (checkpoint,) = folder.glob("checkpoints/checkpoint-*")
    (checkpoint / "complete").unlink()
    (checkpoint / "optimizer.pt").write_bytes(b"half")
    _, _, record = teach(encoder, study, folder)
    assert record["weights"] == whole["weights"]


def test_a_finished_network_is_not_taught_again(study: Study, tmp_path: Path) -> None:
    encoder = fine_tuned(FLAUBERT, epochs=1)
    _, _, first = teach(encoder, study, tmp_path)
    told: list[object] = []
    _, _, second = teach(encoder, study, tmp_path, lambda *values, **_: told.append(values))
    assert not told
    assert first == second


@pytest.mark.parametrize("network", [FLAUBERT, SE_RESNEXT50], ids=lambda network: network.name)
def test_freezing_leaves_the_backbone_as_it_was_running_statistics_included(
    network: Network, study: Study, tmp_path: Path
) -> None:
    encoder = fine_tuned(network, epochs=1, freeze=True)
    network, _, _ = teach(encoder, study, tmp_path)
    untouched = encoder.build(len(study.catalogue.classes), tmp_path)
    before, after = untouched.state_dict(), network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("backbone"))
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


@pytest.mark.parametrize("network", [FLAUBERT, SE_RESNEXT50], ids=lambda network: network.name)
def test_a_frozen_backbone_sees_each_product_once_however_many_epochs(
    network: Network, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusecat.stages.extraction import frozen

    encoder, seen, encode = fine_tuned(network, epochs=4, freeze=True, gradient_checkpointing=True), [], frozen.encode
    monkeypatch.setattr(frozen, "encode", lambda *given, **rest: seen.extend(given[2]) or encode(*given, **rest))
    monkeypatch.setattr(ImageNetwork if network.is_image else TextNetwork, "forward", None)
    _, _, record = teach(encoder, study, tmp_path)
    assert record["epochs"] == 4
    assert not record["gradient_checkpointing"], "there was nothing to compute again"
    present = study.present(encoder.field)
    assert sorted(seen) == sorted(row for part in (Part.TRAIN, Part.VALIDATION) for row in study.labelled(part, present))


def test_class_weights_balance_the_classes_and_average_to_one() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3] * 1, np.int32)
    weights = class_weights(Balance.INVERSE_FREQUENCY, labels, 4)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
    assert weights[torch.tensor(labels)].mean().item() == pytest.approx(1)
    assert class_weights(Balance.NONE, labels, 4) is None


def small_memory(monkeypatch: pytest.MonkeyPatch, fits: Callable[[torch.nn.Module, int], bool]) -> list[int]:
    """Lets memory run out in every step that does not fit; gives back the sizes of the batches that were tried."""
    step, sizes = OrderedTrainer.training_step, []

    def limited(self, model, inputs, *rest, **options):
        sizes.append(len(inputs["labels"]))
        if not fits(model, sizes[-1]):
            raise torch.OutOfMemoryError
        return step(self, model, inputs, *rest, **options)

    monkeypatch.setattr(OrderedTrainer, "training_step", limited)
    return sizes


def recomputes(model: torch.nn.Module) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def test_a_full_memory_means_smaller_batches_the_same_step_and_a_note(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = fine_tuned(FLAUBERT, epochs=2, dropout=0.0)
    _, _, roomy = teach(encoder, study, tmp_path / "roomy")
    sizes = small_memory(monkeypatch, lambda _, size: size <= 8)
    told: list[str] = []

    def stop_late(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        told.append(phase)
        if total and done > total / 2:
            raise PowerError

    with pytest.raises(PowerError):
        teach(encoder, study, tmp_path / "tight", stop_late)
    assert sum("memory ran out" in phase for phase in told) == 2
    sizes.clear()
    _, _, tight = teach(encoder, study, tmp_path / "tight", lambda *values, **_: told.append(values[1]))
    assert max(sizes) == 8, "the second run knows how small batches must be"
    assert "going on from the checkpoint of epoch 1" in told, "and keeps the checkpoint of the first"
    assert (roomy["batches_per_step"], tight["batches_per_step"]) == (1, 4)
    assert tight["epochs"] == roomy["epochs"] == 2


def test_a_network_that_can_recompute_does_so_first_and_learns_the_same(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = fine_tuned(CAMEMBERT, epochs=1)
    _, _, roomy = teach(encoder, study, tmp_path / "roomy")
    sizes = small_memory(monkeypatch, lambda model, _: recomputes(model))
    told: list[str] = []
    _, _, tight = teach(encoder, study, tmp_path / "tight", lambda *values, **_: told.append(values[1]))
    assert "memory ran out; going on with gradient checkpointing" in told
    assert set(sizes[:2]) == {32}, "batches stay as large as they were"
    assert (roomy["gradient_checkpointing"], tight["gradient_checkpointing"]) == (False, True)
    assert tight["batches_per_step"] == 1
    assert tight["weights"] == roomy["weights"], "recomputing costs time and changes nothing"


def test_where_recomputing_does_not_suffice_batches_get_smaller_too(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, lambda model, size: recomputes(model) and size <= 16)
    told: list[str] = []
    _, _, tight = teach(fine_tuned(CAMEMBERT, epochs=1), study, tmp_path, lambda *values, **_: told.append(values[1]))
    assert [phase for phase in told if "memory ran out" in phase] == [
        "memory ran out; going on with gradient checkpointing",
        "memory ran out; going on with gradient checkpointing and 2 smaller batches per step",
    ]
    assert (tight["gradient_checkpointing"], tight["batches_per_step"]) == (True, 2)


def test_a_network_that_cannot_recompute_is_taught_without_it(study: Study, tmp_path: Path) -> None:
    _, _, record = teach(fine_tuned(FLAUBERT, epochs=1, gradient_checkpointing=True), study, tmp_path)
    assert (record["epochs"], record["gradient_checkpointing"]) == (1, False)


def test_networks_of_timm_can_recompute_too() -> None:
    timm = pytest.importorskip("timm")
    backbone = timm.create_model("resnet18", num_classes=0, global_pool="")
    assert ImageNetwork(backbone, 512, 3, 0.0, (0.5,) * 3, (0.5,) * 3).recompute()
    assert backbone.grad_checkpointing
