"""Out-of-fold logits: each row's come from a network that never saw the row, and late fusion learns from them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fusecat.cache.store import FeatureCache
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.dataset import Study, stratified_group_folds
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.extract import encoders, explain, extract
from fusecat.stages.extraction.plan import plan
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1, METRICS
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.small import CAMEMBERT, EXTRACTION, FLAUBERT, open_study

FOLDS = 3
FEATURE = "flaubert.title"
QUICK = tuple(
    dataclasses.replace(network, training=dataclasses.replace(network.training, epochs=1)) for network in (FLAUBERT, CAMEMBERT)
)


def chosen(folds: int, *networks) -> list[Encoder]:
    return encoders(networks or QUICK[:1], dataclasses.replace(EXTRACTION, folds=folds), [Field.TITLE])


@pytest.fixture(scope="module")
def study(sample_cut: Path) -> Study:
    return open_study(sample_cut)


@pytest.fixture(scope="module")
def folded(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("folded"))
    (outcome,) = extract(study, chosen(FOLDS), workspace)
    assert set(outcome.out_of_fold) == {metric.key for metric in METRICS.values()}
    return workspace


def unseen(workspace: Workspace, feature: str = FEATURE) -> np.ndarray:
    logits = FeatureCache(workspace.features).table([feature]).features[feature].logits_oof
    assert logits is not None
    return logits


def relabelled(study: Study, row: int) -> Study:
    """The study with another label on one row."""
    products = list(study.catalogue.products)
    other = next(code for code in study.catalogue.classes if code != products[row].code)
    products[row] = dataclasses.replace(products[row], code=other)
    catalogue = dataclasses.replace(study.catalogue, products=tuple(products))
    assert catalogue.labels[row] != study.catalogue.labels[row]
    return dataclasses.replace(study, catalogue=catalogue)


def test_folds_are_stratified_and_keep_groups_together() -> None:
    labels = np.repeat(np.arange(4, dtype=np.int32), 25)
    groups = np.arange(100)
    groups[10:16] = 10
    groups[60:64] = 60
    rows = np.arange(5, 100)
    ids = [f"id {number}" for number in range(100)]
    folds = stratified_group_folds(ids, labels, groups, rows, 5, 2020)
    assert set(folds[:5]) == {-1}
    assert set(folds[rows]) == set(range(5))
    assert len(set(folds[10:16])) == len(set(folds[60:64])) == 1
    counts = np.array([[np.sum((folds == fold) & (labels == label)) for label in range(4)] for fold in range(5)])
    assert np.ptp(counts[:, 1]) <= 1
    assert np.ptp(counts[:, 3]) <= 1
    assert np.ptp(counts.sum(1)) <= 5
    order = np.random.default_rng(0).permutation(100)
    ranks = np.argsort(order)
    moved = stratified_group_folds([ids[at] for at in order], labels[order], groups[order], np.flatnonzero(order >= 5), 5, 2020)
    assert np.array_equal(moved[ranks], folds)
    assert not np.array_equal(stratified_group_folds(ids, labels, groups, rows, 5, 1), folds)


def test_every_product_has_logits_of_a_network_that_did_not_see_its_label(study: Study, folded: Workspace) -> None:
    feature = FeatureCache(folded.features).table([FEATURE]).features[FEATURE]
    train = study.labelled(Part.TRAIN, study.present(Field.TITLE))
    others = np.setdiff1d(np.arange(len(feature.present)), train)
    assert feature.logits_oof is not None
    assert feature.logits is not None
    assert (feature.logits_oof[train] != feature.logits[train]).any(axis=1).all()
    assert np.array_equal(feature.logits_oof[others], feature.logits[others])


def test_the_label_of_a_product_reaches_only_the_logits_of_other_folds(
    study: Study, folded: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = study.folds(FOLDS)
    row = int(study.labelled(Part.TRAIN, study.present(Field.TITLE))[0])
    monkeypatch.setattr(Study, "folds", lambda self, count: folds)  # else the new label would deal other folds
    extract(relabelled(study, row), chosen(FOLDS), Workspace(tmp_path))
    same = (unseen(Workspace(tmp_path)) == unseen(folded)).all(axis=1)
    own = folds == folds[row]
    assert same[own].all()
    assert not same[(folds >= 0) & ~own].any()


def test_features_are_stale_exactly_when_the_number_of_folds_changes(study: Study, folded: Workspace) -> None:
    def state(folds: int) -> str:
        return explain(study, chosen(folds), folded, MACRO_F1)[FEATURE].state

    assert [state(FOLDS), state(FOLDS + 1), state(0)] == ["hit", "stale", "stale"]


class PowerError(Exception):
    """The power goes out."""


def test_an_interruption_costs_no_finished_fold_and_changes_nothing(study: Study, folded: Workspace, tmp_path: Path) -> None:
    def stop(feature: str, phase: str, done: int, total: int, note: str = "") -> None:
        if "fold 2" in feature:
            raise PowerError

    with pytest.raises(PowerError):
        extract(study, chosen(FOLDS), Workspace(tmp_path), progress=stop)
    told: list[tuple[str, str]] = []
    extract(study, chosen(FOLDS), Workspace(tmp_path), progress=lambda *values, **_: told.append(values[:2]))
    assert {name for name, phase in told if phase == "fine-tuning"} == {f"{FEATURE} fold {k}/{FOLDS}" for k in (2, 3)}
    paths = [FeatureCache(place.features).path(FEATURE) for place in (folded, Workspace(tmp_path))]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert not list((tmp_path / "folds").rglob("*.safetensors")), "five more copies of every network"


def test_folds_leave_the_network_itself_alone(study: Study, tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    (plain,) = extract(study, chosen(0), place)
    told: list[str] = []
    (with_folds,) = extract(study, chosen(2), place, progress=lambda *values, **_: told.append(" ".join(values[:2])))
    assert with_folds.learning == plain.learning
    assert f"{FEATURE} fine-tuning" not in told
    assert f"{FEATURE} fold 1/2 fine-tuning" in told


def test_late_fusion_learns_from_them(study: Study, tmp_path: Path) -> None:
    from fusecat.stages.fusion.fit_settings import FitSettings
    from fusecat.stages.fusion.fuse import fuse
    from fusecat.stages.fusion.runs import Runs
    from fusecat.stages.fusion.strategy import Strategy

    place = Workspace(tmp_path)
    extract(study, chosen(2, *QUICK), place)
    runs = Runs(place.runs)
    strategy = Strategy.parse("late/logistic")
    fuse(FeatureCache(place.features).table(), [strategy], runs, FitSettings(epochs=2), seeds=1, processes=1)
    (run,) = [run for run in runs if run.strategy == "late/logistic"]
    assert run.fitted_on == ("train",)
    assert any("out-of-fold logits of train" in note for note in run.notes)


def test_the_plan_counts_the_steps_of_all_folds(study: Study, tmp_path: Path) -> None:
    (alone,), (with_folds,) = (plan(study, chosen(count), Workspace(tmp_path), MACRO_F1) for count in (0, FOLDS))
    assert alone.steps < with_folds.steps <= alone.steps * (FOLDS + 1)


def test_impossible_numbers_of_folds_are_refused(study: Study) -> None:
    for count in (1, 10_000):
        with pytest.raises(UsageError, match="--folds"):
            study.folds(count)
