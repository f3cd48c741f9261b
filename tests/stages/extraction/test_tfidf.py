"""The classical network is scikit-learn's, to the rounding; it is kept, found, folded and used like every other."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from fusecat.cache.errors import DamagedFile
from fusecat.cache.store import FeatureCache
from fusecat.stages.catalogue.data_model import ReadingOptions
from fusecat.stages.catalogue.read import read_catalogue
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction import fit_tfidf as fit_tfidf_module
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.extract import encoders, explain, extract
from fusecat.stages.extraction.fit_tfidf import fit_tfidf
from fusecat.stages.extraction.plan import estimate, plan
from fusecat.stages.extraction.settings import Balance, Library, Network, Training
from fusecat.stages.extraction.tfidf import TextBytes, TfidfNetwork
from fusecat.stages.extraction.trainer import TrainingData
from fusecat.stages.extraction.weights import read_state
from fusecat.stages.fields import Field
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import LOG_LOSS, MACRO_F1
from fusecat.stages.prediction import Model, load_model, predict, save_model
from fusecat.stages.prediction.refit import refit, refitted
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace
from tests.conftest import cut_sample
from tests.stages.extraction.small import EXTRACTION, TEXTS, open_study

TFIDF = Network(
    name="tfidf",
    library=Library.SCIKIT_LEARN,
    model="tfidf",
    fields=TEXTS,
    reference=True,
    lowercase=True,
    vocabulary=30000,
    width=16,
    training=Training(balance=Balance.INVERSE_FREQUENCY),
)
FEATURE = "reference.tfidf.title_description"
ALONE = (f"unimodal/{FEATURE}", f"probe/{FEATURE}")


@pytest.fixture(scope="module")
def study(sample_cut: Path) -> Study:
    return open_study(sample_cut)


@pytest.fixture(scope="module")
def place(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = Workspace(tmp_path_factory.mktemp("classical"))
    extract(study, encoders([TFIDF], EXTRACTION), place)
    table = FeatureCache(place.features).table()
    fuse(table, [Strategy.parse(name) for name in ALONE], Runs(place.runs), FitSettings(epochs=4), seeds=1, processes=1)
    return place


def parts(study: Study, field: Field = Field.TITLE_DESCRIPTION) -> tuple[np.ndarray, np.ndarray]:
    present = study.present(field)
    return study.labelled(Part.TRAIN, present), study.labelled(Part.VALIDATION, present)


def fitted(texts: list[str | None], labels: list[int], classes: int, network: Network = TFIDF) -> TfidfNetwork:
    rows = np.arange(len(texts))
    return fit_tfidf(network, TrainingData("x.title", TextBytes(texts), np.array(labels), classes, rows, rows))[0]


def test_its_logits_are_those_of_scikit_learn(study: Study, place: Workspace) -> None:
    texts = [text or "" for text in study.texts(Field.TITLE_DESCRIPTION)]
    train, _ = parts(study)
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    model = make_pipeline(
        make_union(words, characters), LogisticRegression(C=10, class_weight="balanced", max_iter=200, tol=1e-3)
    )
    model.fit([texts[row] for row in train], study.rows.labels[train])
    logits = FeatureCache(place.features).table([FEATURE]).features[FEATURE].logits
    # to what the optimiser leaves: it stops where slopes are small, here in single and there in double precision
    np.testing.assert_allclose(logits, model.decision_function(texts), atol=0.05)
    assert (np.asarray(logits).argmax(1) == model.predict(texts)).mean() > 0.99


@pytest.mark.parametrize("classes", [5, 60])
def test_long_texts_of_many_classes_are_learnt(classes: int) -> None:
    """Their loss is so flat at first that a fixed tolerance would end before the first step."""
    dice = np.random.default_rng(0)
    labels = [row % classes for row in range(12 * classes)]
    texts = [" ".join(f"w{word}" for word in dice.integers(9000, size=200)) for _ in labels]  # to be learnt by heart
    network = fitted(texts, labels, classes)
    kept = TextBytes(texts)
    _, logits = network.encode(**kept.collate([kept.example(row, None) for row in range(len(texts))]))
    assert (logits.argmax(1).numpy() == labels).mean() > 0.95


def test_vectors_are_the_best_plane_through_the_training_texts(study: Study, place: Workspace) -> None:
    """Truncated SVD: cosines of a text with itself shortened stay high, and the columns of train are orthogonal."""
    train, _ = parts(study)
    vectors = FeatureCache(place.features).table([FEATURE]).features[FEATURE].embedding[train].astype(np.float64)
    products = vectors.T @ vectors
    lengths = np.sqrt(np.diag(products))
    np.testing.assert_allclose(products / np.outer(lengths, lengths), np.eye(len(lengths)), atol=0.02)
    assert (np.diff(lengths) < 1e-2).all()
    assert np.isclose(np.square(vectors).mean(), 1, rtol=0.01), "of size one, so that half precision holds them"


def test_a_text_is_encoded_alike_alone_and_among_others(study: Study, place: Workspace) -> None:
    network = TfidfNetwork(read_state(place.encoders / FEATURE / "network.safetensors"), lowercase=True)
    inputs = TextBytes([*study.texts(Field.TITLE_DESCRIPTION)[:20], "", "☃", "Été\u00a0ÉTÉ 2"])
    together = network.encode(**inputs.collate([inputs.example(row, None) for row in range(23)]))
    for row in range(23):
        alone = network.encode(**inputs.collate([inputs.example(row, None)]))
        assert all(torch.equal(one[0], many[row]) for one, many in zip(alone, together, strict=True))
    assert not together[0][20].any() and torch.equal(together[1][20], network.intercept), "no text, no term"


def test_only_training_texts_and_labels_decide_it_and_a_second_extraction_computes_nothing(
    study: Study, place: Workspace, tmp_path: Path
) -> None:
    chosen = encoders([TFIDF], EXTRACTION)
    assert {outcome.state for outcome in extract(study, chosen, place)} == {"hit"}
    again = explain(study, encoders([dataclasses.replace(TFIDF, length=7)], EXTRACTION), place, LOG_LOSS)
    assert {verdict.state for verdict in again.values()} == {"hit"}, "neither a metric nor tokens decide anything here"
    wider = explain(study, encoders([dataclasses.replace(TFIDF, width=17)], EXTRACTION), place, MACRO_F1)
    assert {verdict.changed for verdict in wider.values()} == {("network.width",)}
    products = [
        product if part is Part.TRAIN else dataclasses.replace(product, title=f"{product.title} autre")
        for product, part in zip(study.catalogue.products, study.split.parts, strict=True)
    ]
    other = dataclasses.replace(study, catalogue=dataclasses.replace(study.catalogue, products=tuple(products)))
    extract(other, chosen[:1], Workspace(tmp_path))
    weights = [FeatureCache(each.features).header("reference.tfidf.title").weights for each in (place, Workspace(tmp_path))]
    assert weights[0] == weights[1]


def test_out_of_fold_logits_are_those_of_who_never_saw_the_text(study: Study, place: Workspace) -> None:
    feature = FeatureCache(place.features).table([FEATURE]).features[FEATURE]
    assert feature.logits is not None and feature.logits_oof is not None
    own, unseen = np.asarray(feature.logits), np.asarray(feature.logits_oof)
    train, validation = parts(study)
    labels = study.rows.labels
    assert (own[train].argmax(1) == labels[train]).mean() > 0.99 > (unseen[train].argmax(1) == labels[train]).mean() + 0.05
    np.testing.assert_array_equal(own[validation], unseen[validation])


def test_classes_and_products_may_be_few(tmp_path: Path) -> None:
    two = fitted(["rouge vif", "bleu nuit", "rouge sang", "bleu ciel"], [0, 2, 0, 2], 3)
    inputs = TextBytes(["du rouge", "du bleu"])
    logits = two.encode(**inputs.collate([inputs.example(row, None) for row in (0, 1)]))[1]
    assert logits.argmax(1).tolist() == [0, 2]
    nothing = two.encode(**inputs.collate([b""]))[1].softmax(1)[0]
    assert nothing[1] < nothing[0] / 4 and torch.isclose(nothing[0], nothing[2], rtol=0.1), "nobody has seen an example of 1"
    assert fitted(["un", "un"], [0, 0], 1).width == 1
    with pytest.raises(UsageError, match=r"x\.title"):
        fitted(["", " "], [0, 1], 2)
    few = cut_sample(tmp_path / "few", classes=2, each=12)
    outcomes = extract(open_study(few), encoders([TFIDF], EXTRACTION), Workspace(tmp_path / "w"))
    assert {outcome.state for outcome in outcomes} <= {"extracted", "left out"} and outcomes[0].state == "extracted"


def test_many_texts_are_drawn_from_and_many_classes_told_from_the_vector(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_tfidf_module, "COEFFICIENTS", 1000)
    monkeypatch.setattr(fit_tfidf_module, "MOST", 60)
    said: list[str] = []
    train, validation = parts(study)
    inputs = TextBytes(study.texts(Field.TITLE_DESCRIPTION))
    data = TrainingData("x.title", inputs, study.rows.labels, len(study.rows.classes), train, validation)
    network, learnt = fit_tfidf(TFIDF, data, lambda feature, phase, done, total, note="": said.append(phase))
    assert said == [f"fitted on 60 of {len(train)} training texts, drawn at random"]
    assert tuple(network.coefficients.shape) == (16, len(study.rows.classes))
    assert learnt.validation["accuracy"] > 1.5 / len(study.rows.classes)
    vector, logits = network.encode(**inputs.collate([inputs.example(row, None) for row in validation]))
    assert torch.allclose(logits, vector @ network.coefficients + network.intercept)


@pytest.mark.parametrize("strategy", ALONE)
def test_it_predicts_is_exported_and_refitted_like_a_network(
    place: Workspace, sample_cut: Path, tmp_path: Path, strategy: str
) -> None:
    seeds = [run for name, run in Runs(place.runs).finished() if name == strategy]
    stored = Runs(place.runs).read(strategy, seeds[0])
    assert stored is not None
    rows = Runs(place.runs).products().rows("test")
    catalogue = read_catalogue(sample_cut, ReadingOptions(labels=False))
    model = Model.of_runs(place, strategy, seeds, class_names={})
    exported = load_model(save_model(model, tmp_path / "model", "a card"))
    assert not list((tmp_path / "model").rglob("*.pkl"))
    refit(place, strategy, seeds)
    for number, each in enumerate((model, exported)):
        found = np.concatenate([batch.probabilities for batch in predict(each, catalogue, tmp_path / f"store {number}")])
        np.testing.assert_array_equal(found[rows], stored.probabilities["test"])
    products = [{"title": product.title, "description": product.description} for product in catalogue.products]
    np.testing.assert_array_equal(exported(products).probabilities[rows], stored.probabilities["test"])
    again = np.concatenate([batch.probabilities for batch in predict(refitted(place, {}), catalogue, tmp_path / "store 0")])
    assert again.shape == found.shape and np.isfinite(again).all()


def test_weights_that_do_not_go_together_are_refused(place: Workspace) -> None:
    state = read_state(place.encoders / FEATURE / "network.safetensors")
    lines = bytes(state["terms"].numpy()).split(b"\n")
    twice = torch.tensor(list(b"\n".join([lines[1], *lines[1:]])), dtype=torch.uint8)
    wrong = [
        ("terms", state["terms"][:-40]),
        ("terms", twice),
        ("idf", state["idf"][1:]),
        ("sizes", state["sizes"] + 1),
        ("ngrams", torch.tensor([1, 2, 3, 10**9])),
        ("ngrams", torch.tensor([2, 1, 3, 5])),
    ]
    for name, value in wrong:
        with pytest.raises(ValueError, match="do not go together"):
            TfidfNetwork(state | {name: value}, lowercase=True)
    model = Model.of_runs(place, ALONE[0], [0], class_names={})
    path = place.encoders / FEATURE / "network.safetensors"
    held = path.read_bytes()
    try:
        path.write_bytes(held[:-4] + b"\0\0\0\1")
        with pytest.raises(DamagedFile, match="network"):
            model.fine_tuned[FEATURE].load()
    finally:
        path.write_bytes(held)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shape": {"word": 1}}, "shape.word is none of"),
        ({"shape": {"words": 99}}, "shape.words = 99"),
        ({"shape": {"words": 0, "characters": 0}}, "needs words"),
        ({"weights": "folder"}, "takes no weights"),
        ({"model": "svm"}, "tfidf"),
        ({"fields": (Field.IMAGE,)}, "texts"),
        ({"width": 0}, "width"),
    ],
)
def test_settings_that_mean_nothing_are_refused(change: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        encoders([dataclasses.replace(TFIDF, **change)], EXTRACTION)


def test_it_is_planned_without_steps_and_not_timed(study: Study, tmp_path: Path) -> None:
    chosen = encoders([TFIDF], EXTRACTION)
    plans = plan(study, chosen, Workspace(tmp_path), MACRO_F1)
    assert {each.steps for each in plans} == {0} and {each.verdict.state for each in plans} == {"missing"}
    assert estimate(study, chosen, plans, MACRO_F1) == []
