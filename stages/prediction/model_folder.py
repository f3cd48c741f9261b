"""A model folder: everything that classifies new products, in safetensors and JSON, without the workspace.

`model.json` (strategy, classes, how to read), `heads/seed-<n>/`, `encoders/<feature>/` (network, configuration, tokenizer) and
`README.md`, the model card.
"""

import json
import os
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fusecat.cache.errors import CacheError, DamagedFile
from fusecat.cache.fingerprint import digest
from fusecat.cache.layout import check_name
from fusecat.cache.publish import copy_tree, publish, publishing_folder
from fusecat.cache.records import check_digests, damaged, digests, read_record, write_record
from fusecat.stages.catalogue.data_model import PLACES
from fusecat.stages.errors import ModelError, UsageError, refusing
from fusecat.stages.external.attributes import Attributes
from fusecat.stages.fusion.restore import load
from fusecat.stages.prediction.classifier import Classifier
from fusecat.stages.prediction.fine_tuned_encoder import STORAGE, FineTunedEncoder
from fusecat.stages.prediction.model import Model, Shape, checked
from fusecat.stages.progress import phase

FORMAT = 1
DESCRIPTION = "model.json"
WAY_OUT = "export the model again"
OWN = {DESCRIPTION, "README.md", "heads", "encoders"}
WEIGHTS = "network.safetensors"
LEFT_BEHIND = ("learning.json", "recipe", "checkpoints")
"""What of an encoder's folder tells of the training and is not needed to predict."""
ORIGINS = ("_name_or_path", "name_or_path")
"""Keys in which transformers notes where a network came from: a path of this machine, perhaps."""


@phase("writing the model")
def save_model(model: Model, folder: Path, card: str) -> Path:
    """Write a model folder; `card` is its README. Raises UsageError where the folder holds something else already."""
    folder = folder.resolve()
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if there - OWN:
        raise UsageError(f"{folder} is not empty and no model folder ({sorted(there - OWN)[0]}): name a new folder")
    record = {
        "format": FORMAT,
        "strategy": model.strategy,
        "classes": list(model.classes),
        "class_names": dict(model.class_names),
        "prior": [float(share) for share in model.prior],
        "fitted_on": list(model.fitted_on),
        "seeds": list(model.predictors),
        "features": {name: asdict(shape) for name, shape in model.shapes.items()},
        "encoders": {feature: _portable(fine_tuned.description) for feature, fine_tuned in model.fine_tuned.items()},
        "card": dict(model.card),
        "reading": {name: value for name, value in model.reading.items() if name not in PLACES},
        "attributes": {name: made.record for name, made in model.attributes.items()},
        "temperature": model.temperature,
    }
    with publishing_folder(folder) as new:
        for seed, predictor in model.predictors.items():
            predictor.save(new / "heads" / f"seed-{seed}")
        for feature, fine_tuned in model.fine_tuned.items():
            target = new / "encoders" / feature
            fine_tuned.check()
            copy_tree(fine_tuned.folder, target, LEFT_BEHIND)
            for path in target.rglob("*.json"):
                _forget_origin(path)
        files = digests(new)
        publish(new / "README.md", card)  # anybody may write in it
        write_record(new / DESCRIPTION, record | {"files": files})
    return folder


@refusing
@phase("reading the model")
def load_model(folder: Path, *, merges: Collection[str] = ()) -> Classifier:
    """The model that `save_model` wrote; whoever wrote it, no code is run that the caller has not named.

    `merges`: the merges of one's own, `package.module:Class`, that the caller names. Nothing outside of the folder is read.

    Raises: ModelError where the folder holds no model, or parts of it are missing; UsageError for a merge that the caller has
    not named.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ModelError(f"{folder} holds no model ({DESCRIPTION}); to write one: fusecat export {shlex.quote(str(folder))}")
    record = read_record(path, WAY_OUT)
    try:
        if record["format"] != FORMAT:
            raise ModelError(f"{path}: format {record['format']}, this version reads {FORMAT}; export the model again")
        fail_on_other_files(folder)
        files = {str(name): str(value) for name, value in record.get("files", {}).items()}
        check_digests(folder, {name: value for name, value in files.items() if not name.startswith("encoders/")}, WAY_OUT)
        strategy, classes = str(record["strategy"]), tuple(str(name) for name in record["classes"])
        shapes = {
            check_name(name): Shape(int(each["width"]), STORAGE[each["storage"]], bool(each["logits"]))
            for name, each in record["features"].items()
        }
        heads = {int(seed): folder / "heads" / f"seed-{int(seed)}" for seed in record["seeds"]}
        encoders = {check_name(name): folder / "encoders" / name for name in record["encoders"]}
        return Classifier(
            strategy=strategy,
            classes=classes,
            predictors={seed: checked(load(place, merges=merges), place, strategy, classes) for seed, place in heads.items()},
            shapes=shapes,
            attributes={check_name(name): Attributes.of(made) for name, made in record.get("attributes", {}).items()},
            fine_tuned={
                name: FineTunedEncoder.of(
                    name,
                    place,
                    record["encoders"][name] | {"files": _beside(place)},
                    classes,
                    _below(files, f"encoders/{name}/"),
                )
                for name, place in encoders.items()
            },
            prior=np.array(record["prior"], np.float32),
            fitted_on=tuple(record["fitted_on"]),
            class_names={code: str(name) for code, name in record["class_names"].items()},
            card=dict(record["card"]),
            reading=record["reading"],
            temperature=float(record.get("temperature", 1.0)),  # earlier versions had none
        )
    except DamagedFile:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CacheError) as error:
        raise damaged(path, f"not a model's description, {type(error).__name__}: {error}", WAY_OUT) from error


def fail_on_other_files(folder: Path) -> None:
    """Raise ModelError unless everything in a folder is a file or a folder, and lies in it: no pipe, no link that leads out."""
    inside = Path(os.path.realpath(folder))
    for place, folders, files in os.walk(folder):
        for path in (Path(place) / name for name in [*folders, *files]):
            target = Path(os.path.realpath(path))
            if not target.is_relative_to(inside):
                raise ModelError(f"{path} is a link out of {folder}, which is not followed; put the file itself there")
            if not (target.is_file() or target.is_dir()):
                raise ModelError(f"{path} is neither a file nor a folder; remove it")


def _beside(folder: Path) -> str:
    """Digest of a network's tokenizer and configuration."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return digest({path.relative_to(folder).as_posix(): digest(path) for path in files if path.name != WEIGHTS})


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
