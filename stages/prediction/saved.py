"""A model folder: everything that classifies new products, in safetensors and JSON, without the workspace.

`model.json` (strategy, classes, how to read), `heads/seed-<n>/`, `encoders/<feature>/` (network, configuration, tokenizer) and
`README.md`, the model card.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cache.publish import copy_tree, publish, publishing_folder
from cache.records import check_digests, damaged, digests, read_record, write_record
from stages.errors import ModelError, UsageError
from stages.heads.saved import load
from stages.prediction.model import Model, Shape
from stages.prediction.taught import Taught

FORMAT = 1
DESCRIPTION = "model.json"
WAY_OUT = "export the model again"
OWN = {DESCRIPTION, "README.md", "heads", "encoders"}
LEFT_BEHIND = ("learning.json", "recipe", "checkpoints")
"""What of an encoder's folder tells of the training and is not needed to predict."""
STORAGE = {name: name for name in ("float16", "float32")}
ORIGINS = ("_name_or_path", "name_or_path")
"""Keys in which transformers notes where a network came from: a path of this machine, perhaps."""


def save_model(model: Model, folder: Path, card: str) -> Path:
    """Write a model folder; `card` is its README. Raises UsageError where the folder holds something else already."""
    folder = folder.resolve()
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if there - OWN:
        message = f"{folder} is not empty and no model folder ({sorted(there - OWN)[0]}): name a new folder"
        raise UsageError(message)
    record = {
        "format": FORMAT,
        "strategy": model.strategy,
        "classes": list(model.classes),
        "class_names": dict(model.class_names),
        "prior": [float(share) for share in model.prior],
        "fitted_on": list(model.fitted_on),
        "seeds": list(model.predictors),
        "features": {name: asdict(shape) for name, shape in model.shapes.items()},
        "encoders": {feature: _portable(taught.description) for feature, taught in model.taught.items()},
        "card": dict(model.card),
        "reading": dict(model.reading),
    }
    with publishing_folder(folder) as new:
        for seed, predictor in model.predictors.items():
            predictor.save(new / "heads" / f"seed-{seed}")
        for feature, taught in model.taught.items():
            target = new / "encoders" / feature
            taught.check()
            copy_tree(taught.folder, target, LEFT_BEHIND)
            for path in target.rglob("*.json"):
                _forget_origin(path)
        files = digests(new)
        publish(new / "README.md", card)  # anybody may write in it
        write_record(new / DESCRIPTION, record | {"files": files})
    return folder


def load_model(folder: Path) -> Model:
    """The model that `save_model` wrote. Raises ModelError where the folder holds none, or parts of it are missing."""
    folder = Path(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        message = f"{folder} holds no model ({DESCRIPTION}); 'fusecat export {folder}' writes one"
        raise ModelError(message)
    record = read_record(path, WAY_OUT)
    try:
        if record["format"] != FORMAT:
            message = f"{path}: format {record['format']}, this version reads {FORMAT}; export the model again"
            raise ModelError(message)
        files = {str(name): str(value) for name, value in record.get("files", {}).items()}
        check_digests(folder, {name: value for name, value in files.items() if not name.startswith("encoders/")}, WAY_OUT)
        classes = tuple(str(name) for name in record["classes"])
        shapes = {
            _plain(name): Shape(int(each["width"]), STORAGE[each["storage"]], bool(each["logits"]))
            for name, each in record["features"].items()
        }
        return Model(
            strategy=str(record["strategy"]),
            classes=classes,
            predictors={int(seed): load(folder / "heads" / f"seed-{int(seed)}") for seed in record["seeds"]},
            shapes=shapes,
            taught={
                name: Taught.of(
                    name, folder / "encoders" / _plain(name), description, classes, _below(files, f"encoders/{name}/")
                )
                for name, description in record["encoders"].items()
            },
            prior=np.array(record["prior"], np.float32),
            fitted_on=tuple(record["fitted_on"]),
            class_names=record["class_names"],
            card=record["card"],
            reading=record["reading"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, f"not a model's description, {type(error).__name__}: {error}", WAY_OUT) from error


def _portable(description: Mapping[str, Any]) -> dict[str, Any]:
    """Without paths of this machine: of local weights only the name is kept."""
    settings = dict(description["settings"])
    if Path(settings["weights"]).exists():
        settings["weights"] = Path(settings["weights"]).name
    return dict(description) | {"settings": settings}


def _forget_origin(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(record, dict) and any(name in record for name in ORIGINS):
        kept = {name: value for name, value in record.items() if name not in ORIGINS}
        path.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")


def _below(files: Mapping[str, str], folder: str) -> dict[str, str]:
    return {name.removeprefix(folder): value for name, value in files.items() if name.startswith(folder)}


def _plain(feature: str) -> str:
    """The feature's name, refused where it would lead out of the model folder."""
    if Path(feature).name != feature:
        message = f"'{feature}' is no name of a feature"
        raise ValueError(message)
    return feature
