"""A study and a model in seconds, as somebody might send them: vectors without a network, and a network that learnt nothing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from fusecat.cache.store import FeatureCache, Rows
from fusecat.cache.table import FeatureTable
from fusecat.stages.extraction.build_network import build_image_network, build_text_network, build_tokenizer
from fusecat.stages.extraction.image_sources import with_pixels
from fusecat.stages.extraction.settings import Network
from fusecat.stages.extraction.weights import tensors_digest
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.predictor import TrainedHead
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.prediction import Model, save_model
from fusecat.stages.prediction.fine_tuned_encoder import FineTunedEncoder
from fusecat.stages.prediction.model import Shape
from tests.stages.extraction.small import CAMEMBERT, SE_RESNEXT50
from tests.stages.fusion.synthetic import table

WIDTHS = {"mine.title_description": 6, "mine.image": 8}
CLASSES = ("a", "b", "c")
TEXTS = ("un chat noir", "un chien blanc", "la lune et le soleil", "une pomme rouge", "le train de nuit")
HONEST = """
import torch
from fusecat.stages.fusion.merges import MergeModule

class Halves(MergeModule):
    def forward(self, vectors, present):
        return 0.5 * (vectors * present.unsqueeze(-1)).sum(1)
"""
EVIL = """
from pathlib import Path
Path(__file__).with_name("was run").touch()
class X: ...
"""


def imported(root: Path) -> FeatureTable:
    """Features of a workspace that were brought, as `fusecat import` leaves them."""
    made = table(WIDTHS, products=120, signal=3)
    rows = Rows(list(made.ids), made.labels, made.split, made.classes, made.parts)
    cache = FeatureCache(root / "features")
    for feature in made.features.values():
        writer = cache.writer(feature.name, {"made": "by a test"}, rows, block=len(rows.ids))
        writer.put(0, feature.embedding, np.asarray(feature.logits), feature.present)
        writer.seal(weights="", fitted_on=("train",), versions={})
    return cache.table()


def bring(folder: Path, made: FeatureTable) -> list[str]:
    """The options of `fusecat predict` that bring the vectors and logits of all products."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ids.csv").write_text("id\n" + "\n".join(made.ids.tolist()), encoding="utf-8")
    options = ["--ids", str(folder / "ids.csv")]
    for name, feature in made.features.items():
        np.save(folder / f"{name}.npy", feature.embedding.astype(np.float32))
        np.save(folder / f"{name}.logits.npy", np.asarray(feature.logits))
        options += ["--vectors", f"{name}={folder / f'{name}.npy'}", "--logits", f"{name}={folder / f'{name}.logits.npy'}"]
    return options


def model_folder(folder: Path, network: Network = CAMEMBERT) -> Path:
    """A model of one small network with random weights, which looks at titles or at pictures."""
    field = "image" if network.is_image else "title"
    feature, place = f"{network.name}.{field}", folder.with_name("made") / network.name
    place.mkdir(parents=True, exist_ok=True)
    if network.is_image:
        taught: Any = build_image_network(network, len(CLASSES))
    else:
        taught = build_text_network(network, build_tokenizer(network, TEXTS * 20, place), len(CLASSES))
        taught.backbone.config.save_pretrained(place / "backbone")
    state = {name: tensor.detach().contiguous() for name, tensor in taught.state_dict().items()}
    save_file(state, place / "network.safetensors")
    description = {
        "settings": json.loads(json.dumps(asdict(network))),
        "extraction": {"storage": "float16", "block": 64, "batch": 8},
        "precision": "fp32",
        "weights": tensors_digest(state),
        "width": taught.width,
    }
    strategy, settings, widths = Strategy.parse(f"probe/{feature}"), FitSettings(), {feature: taught.width}
    scaling = {feature: (np.zeros(taught.width, np.float32), np.ones(taught.width, np.float32))}
    head = TrainedHead(strategy, CLASSES, build_head(strategy, widths, len(CLASSES), settings), scaling, settings)
    model = Model(
        strategy=strategy.name,
        classes=CLASSES,
        predictors={1: head},
        shapes={feature: Shape(taught.width, "float16", logits=False)},
        fine_tuned={feature: FineTunedEncoder.of(feature, place, description, CLASSES)},
        prior=np.full(len(CLASSES), 1 / len(CLASSES), np.float32),
        fitted_on=("train",),
        reading={"columns": {"id": "id", "title": "title"}, "images": "none"},
    )
    return save_model(model, folder, "a card")


def image_model(folder: Path) -> Path:
    """The same that looks at pictures."""
    return model_folder(folder, with_pixels(SE_RESNEXT50))


def edit(path: Path, **changed: Any) -> None:
    """Change keys of a JSON file, and leave out every digest that would tell: so earlier versions wrote, and so may anybody."""
    _write(path, json.loads(path.read_text(encoding="utf-8")) | changed)
    unseal(path)


def unseal(path: Path) -> None:
    """Leave out the digests of a file that lies in a run, a model, a network or a refit."""
    for folder in path.parents[:4]:
        for name in ("run.json", "model.json", "learning.json", "refit.json"):
            if (folder / name).is_file():
                record = json.loads((folder / name).read_text(encoding="utf-8"))
                _write(folder / name, {key: value for key, value in record.items() if key != "files"})


def _write(path: Path, record: dict[str, Any]) -> None:
    text = json.dumps({key: value for key, value in record.items() if key != "sha256"})
    path.write_text(text, encoding="utf-8")
