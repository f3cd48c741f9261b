"""Zero-shot: the names of the classes against the images, as the joint network's own library would have it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from click.testing import CliRunner
from pydantic import TypeAdapter

from fusecat.cache.store import FeatureCache
from fusecat.cache.table import Feature
from fusecat.pipeline.cli import cli
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.extraction.classical import encoder_of
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.embed import Inference, encode
from fusecat.stages.extraction.extract import encoders, extract
from fusecat.stages.extraction.plan import plan
from fusecat.stages.extraction.settings import Extraction, Network
from fusecat.stages.extraction.training_record import read_learning
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.prediction.fine_tuned_encoder import FineTunedEncoder
from fusecat.stages.scores import scores
from fusecat.stages.vocabulary import Part
from fusecat.stages.workspace import Workspace
from tests.conftest import cut_sample, read_table, write_table
from tests.stages.extraction.families import TEXT_FAMILIES, padded_text_features, text_features, write_text
from tests.stages.extraction.image_families import SHORT, SQUARE
from tests.stages.extraction.small import open_study

PROMPTS = ("lampe {}", "le {} de la table")
SMALL = Path(__file__).parents[2] / "small.toml"
ENTRY = """
[networks.zero_shot]
library = "transformers"
model = "clip"
weights = "w"
tower = "image"
prompts = ["le {}"]
reference = true
fields = ["image"]
"""
NAMES = ("chat", "livre", "jeu", "petit chat", "grand livre", "chat rouge")
KINDS = ("clip", "siglip", "siglip2")


@pytest.fixture(scope="module")
def study(sample_cut: Path) -> Study:
    """Products of six classes, which are called by words that the small tokenizers know."""
    found = open_study(sample_cut)
    return called(found, dict(zip(found.catalogue.classes, NAMES, strict=True)))


def called(study: Study, names: dict[str, str]) -> Study:
    return replace(study, catalogue=replace(study.catalogue, class_names=names))


def checkpoint(kind: str, folder: Path) -> Any:
    """A random joint network in the layout of its hub folder."""
    (family,) = (each for each in TEXT_FAMILIES if each.name == kind)
    model = write_text(family, folder)
    processor = {
        "clip": lambda: hf.CLIPImageProcessor(**SHORT),
        "siglip": lambda: hf.SiglipImageProcessor(**SQUARE),
        "siglip2": lambda: hf.Siglip2ImageProcessor(patch_size=8, max_num_patches=16),
    }[kind]()
    processor.save_pretrained(folder)
    return model


def network(folder: Path, **more: Any) -> Network:
    settings = {
        "tower": "image",
        "reference": True,
        "prompts": list(PROMPTS),
        "fields": ["image"],
        "size": 32,
        "resize": 32,
    } | more
    return TypeAdapter(Network).validate_python(
        {"name": "zero_shot", "library": "transformers", "model": "clip", "weights": str(folder), **settings}
    )


def stored(place: Workspace) -> Feature:
    name = "reference.zero_shot.image"
    return FeatureCache(place.features).table([name]).features[name]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_librarys_own(kind: str, study: Study, tmp_path: Path) -> None:
    """Averaged over prompts by hand here; with one prompt that is `logits_per_image`."""
    model = checkpoint(kind, tmp_path / "w")
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
    model.save_pretrained(tmp_path / "w")
    place = Workspace(tmp_path / "ws")
    # SigLIP2's processor keeps the shape of an image, so how it is made a square has to be said
    said = {"crop": "squash", "interpolation": "bilinear", "channels": "rgb", "mean": [0.5] * 3, "std": [0.5] * 3}
    entry = network(tmp_path / "w", **said if kind == "siglip2" else {})
    chosen = encoders([entry], Extraction(storage="float32"))
    (outcome,) = extract(study, chosen, place)
    assert outcome.state == "extracted"
    feature = stored(place)
    rows = np.flatnonzero(feature.present)[:6]
    inputs = chosen[0].inputs(study, tmp_path, saved=True)
    pixels = torch.cat([inputs.collate(inputs.views(row))["pixels"][:1] for row in rows])
    built = chosen[0].rebuild(len(study.catalogue.classes), place.encoders / chosen[0].feature)
    with torch.no_grad():
        images = torch.nn.functional.normalize(built.backbone.backbone(built.normalise(pixels)))
        tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "w")
        read = text_features if kind == "clip" else padded_text_features
        texts = []
        for code in study.catalogue.classes:
            asked = [prompt.replace("{}", study.catalogue.class_names[code]) for prompt in PROMPTS]
            tokens = [tokenizer(each, return_tensors="pt") for each in asked]
            found = [read(model, each["input_ids"], each["attention_mask"]) for each in tokens]
            texts.append(torch.nn.functional.normalize(torch.nn.functional.normalize(torch.cat(found)).mean(0), dim=0))
        expected = images @ torch.stack(texts).T * np.exp(2.0) + float(getattr(model, "logit_bias", 0.0))
    assert feature.logits is not None
    assert np.abs(feature.logits[rows] - expected.numpy()).max() < 1e-3
    assert np.allclose(np.linalg.norm(feature.embedding[rows], axis=1), 1, atol=1e-3)
    assert np.ptp(feature.logits[rows], 1).min() > 0.01
    assert feature.fitted_on == ()
    # scored on validation alone, by the very logits that are kept
    held = study.labelled(Part.VALIDATION, feature.present)
    found = scores(study.rows.labels[held], torch.from_numpy(feature.logits[held]).softmax(1).numpy())
    assert outcome.learning["validation"]["accuracy"] == pytest.approx(found["accuracy"])
    assert outcome.learning["prompts"][study.catalogue.classes[-1]] == ["lampe chat rouge", "le chat rouge de la table"]


def test_one_prompt_is_logits_per_image(study: Study, tmp_path: Path) -> None:
    model = checkpoint("clip", tmp_path / "w")
    encoder = encoder_of(network(tmp_path / "w", prompts=["le {}"]), Field.IMAGE, Extraction(storage="float32"))
    place = Workspace(tmp_path / "ws")
    extract(study, [encoder], place)
    feature = stored(place)
    row = int(np.flatnonzero(feature.present)[0])
    pixels = encoder.inputs(study, tmp_path, saved=True).views(row)[0]
    built = encoder.rebuild(len(study.catalogue.classes), place.encoders / encoder.feature)
    tokens = hf.AutoTokenizer.from_pretrained(tmp_path / "w")(
        [f"le {study.catalogue.class_names[code]}" for code in study.catalogue.classes], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"],
            pixel_values=built.normalise(torch.from_numpy(pixels)[None]),
        ).logits_per_image  # fmt: skip
    assert feature.logits is not None
    assert np.abs(feature.logits[row] - theirs.numpy()).max() < 1e-3


def test_it_has_a_row_in_the_report_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the commands: names come from the taxonomy, the row stands alone, its prompts in the page, it classifies."""
    checkpoint("clip", tmp_path / "w")
    catalogue = cut_sample(tmp_path / "catalogue", classes=4, each=20)
    codes = sorted({row["Prdtypecode"] for row in read_table(catalogue / "Y_train.tsv")})
    names = [
        {"Prdtypecode": code, "Top level category": "all", "Category": name} for code, name in zip(codes, NAMES, strict=False)
    ]
    write_table(catalogue / "catalog_english_taxonomy.tsv", names)
    (tmp_path / "mine.toml").write_text(SMALL.read_text("utf-8") + ENTRY)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, [*words, "--workspace", "ws"])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    run("extract", "catalogue", "--preset", "mine.toml", "--networks", "se_resnext50,camembert,zero_shot")
    run("fuse", "--seeds", "1")
    rows = {row["strategy"]: row for row in json.loads(run("report", "--json"))["rows"]}
    assert {"unimodal/reference.zero_shot.image", "probe/reference.zero_shot.image"} <= set(rows)
    merged = [row for name, row in rows.items() if not name.startswith(("unimodal/", "probe/"))]
    assert merged and not any("reference.zero_shot.image" in row["features"] for row in merged)
    assert "zero-shot: le {}" in (tmp_path / "ws" / "report" / "index.html").read_text(encoding="utf-8")
    run("predict", "catalogue", "--strategy", "unimodal/reference.zero_shot.image", "--output", "told.csv")
    assert len((tmp_path / "told.csv").read_text(encoding="utf-8").splitlines()) > 80


def test_it_is_a_network_like_any_other(study: Study, tmp_path: Path) -> None:
    """A hit the second time, whatever would change training; other names or prompts are another feature; it is found again."""
    checkpoint("clip", tmp_path / "w")
    place, metric = Workspace(tmp_path / "ws"), MACRO_F1
    first = encoders([network(tmp_path / "w")], Extraction(folds=2))
    extract(study, first, place)
    taught = replace(network(tmp_path / "w"), training=replace(network(tmp_path / "w").training, epochs=3, seed=1))
    assert plan(study, encoders([taught], Extraction(folds=2)), place, metric)[0].verdict.state == "hit"
    other = plan(study, encoders([network(tmp_path / "w", prompts=["la {}"])], Extraction()), place, metric)[0]
    assert (other.verdict.state, other.steps) == ("stale", 0)
    names = {code: f"{name} bleu" for code, name in study.catalogue.class_names.items()}
    assert plan(called(study, names), first, place, metric)[0].verdict.state == "stale"
    known = FineTunedEncoder.in_workspace(place, first[0].feature, study.catalogue.classes)
    assert known is not None
    rows = [int(row) for row in np.flatnonzero(study.present(Field.IMAGE))[:4]]
    inference = Inference("again", len(names), 8, torch.device("cpu"), "fp32")
    _, logits = encode(known.load(), first[0].inputs(study, tmp_path, saved=True), rows, inference)
    kept = stored(place).logits
    assert kept is not None
    assert np.abs(logits - kept[rows]).max() < 1e-3
    assert read_learning(place.encoders / first[0].feature) is not None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (lambda codes: {}, "have no name that could be asked for"),
        (lambda codes: {code: "Chat" if code == codes[1] else "chat" for code in codes}, "have one name"),
    ],
    ids=["codes alone", "one name twice"],
)
def test_classes_without_names_of_their_own_leave_it_out(names: Any, reason: str, study: Study, tmp_path: Path) -> None:
    checkpoint("clip", tmp_path / "w")
    nameless = called(study, names(study.catalogue.classes))
    (outcome,) = extract(nameless, encoders([network(tmp_path / "w")], Extraction()), Workspace(tmp_path / "ws"))
    assert outcome.state == "left out"
    assert reason in outcome.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"reference": False}, "reference = true"),
        ({"tower": "text", "fields": ["title"]}, 'tower = "image"'),
        ({"tower": None}, 'tower = "image"'),
        ({"weights": "new"}, "has nothing to say"),
        ({"prompts": ["a photo"]}, "needs {} once"),
        ({"prompts": ["le {} {}"]}, "needs {} once"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], reason: str, tmp_path: Path) -> None:
    checkpoint("clip", tmp_path)
    with pytest.raises(UsageError, match=reason):
        encoders([network(tmp_path, **settings)], Extraction())


def test_a_prompt_longer_than_the_network_reads_is_refused(study: Study, tmp_path: Path) -> None:
    checkpoint("clip", tmp_path / "w")
    long = encoders([network(tmp_path / "w", prompts=[f"{'le ' * 70}{{}}"])], Extraction())
    with pytest.raises(UsageError, match=r"has 7. tokens, the network reads 64"):
        extract(study, long, Workspace(tmp_path / "ws"))


def test_names_that_the_tokenizer_reads_alike_are_refused(study: Study, tmp_path: Path) -> None:
    checkpoint("clip", tmp_path / "w")
    strange = called(
        study, dict(zip(study.catalogue.classes, ("λάμπα", "γάτα", "βιβλίο", "τραπέζι", "κόκκινο", "μπλε"), strict=True))
    )
    with pytest.raises(UsageError, match=r"reads the names of the classes .* alike"):
        extract(strange, encoders([network(tmp_path / "w")], Extraction()), Workspace(tmp_path / "ws"))


def test_a_checkpoint_without_its_scale_is_refused(study: Study, tmp_path: Path) -> None:
    """Its probabilities would be those of a temperature that nobody learnt."""
    from safetensors.torch import load_file, save_file

    checkpoint("clip", tmp_path / "w")
    state = load_file(tmp_path / "w" / "model.safetensors")
    del state["logit_scale"]
    save_file(state, tmp_path / "w" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="lacks 'logit_scale'"):
        extract(study, encoders([network(tmp_path / "w")], Extraction()), Workspace(tmp_path / "ws"))
