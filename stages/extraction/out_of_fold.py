"""Out-of-fold logits: what is said of each training product by a network that never saw it.

Such logits are what late fusion may learn from. They are logits only: embeddings of different folds live in different spaces
and are never mixed. Shapes: N products, n of them in a fold, C classes.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusecat.cache.archive import read_arrays
from fusecat.cache.fingerprint import digest
from fusecat.cache.publish import publish_arrays
from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.dataset import Study
from fusecat.stages.extraction.devices import processes
from fusecat.stages.extraction.embed import FloatArray, Inference, encode
from fusecat.stages.extraction.encoder import Encoder
from fusecat.stages.extraction.fine_tune import fine_tune
from fusecat.stages.extraction.inputs import Inputs
from fusecat.stages.extraction.train_network import Teaching
from fusecat.stages.vocabulary import Part

LOGITS = "logits.npz"
KEPT = (LOGITS, "learning.json")
"""What stays of a fold's network: five more copies of every network would fill the disk for nothing."""


def out_of_fold(
    encoder: Encoder, study: Study, folder: Path, inference: Inference, teaching: Teaching, like: Inputs
) -> FloatArray:
    """Logits (N, C) of the labelled training products that have the field, each from the network of its fold; zero elsewhere.

    A fold's network is fine-tuned as the feature's own is - the same validation products choose its epoch - without the
    products of the fold: it sees neither their labels nor their content. `folder` keeps each finished fold, so that an
    interruption costs one fold's last epoch at most. `like`: the inputs of the feature's own network.

    Raises: UsageError where a fold leaves no product to learn from.
    """
    count, logits = encoder.folds(study), np.zeros((len(study.rows.ids), len(study.catalogue.classes)), np.float32)
    folds, train = study.folds(count), study.labelled(Part.TRAIN, study.present(encoder.field))
    alone, state = encoder.without_folds(), processes()
    for number in range(count):
        held = train[folds[train] == number]
        if len(held) == len(train):
            raise UsageError(
                f"--folds {count}: all {len(train)} training products of {encoder.feature} lie in one fold; use fewer folds"
            )
        if not len(held):
            continue
        rest = study.without(np.flatnonzero(folds == number))
        recipe = alone.recipe(rest, teaching.metric, inference.precision)
        place = folder / f"{number + 1}-of-{count}"
        # how vectors are stored does not decide logits
        decisive = {**recipe, "extraction": {"batch": recipe["extraction"]["batch"]}}
        key = digest(decisive | {"held": [study.rows.ids[row] for row in held]})
        found = _read(place / LOGITS, key)
        if found is None:
            name = f"{encoder.feature} fold {number + 1}/{count}"
            logs = teaching.logs and teaching.logs.named(f"{teaching.logs.name}/{place.name}")
            network, inputs, _ = fine_tune(alone, rest, recipe, place, replace(teaching, logs=logs, name=name), like)
            _, found = encode(network, inputs, held.tolist(), replace(inference, feature=name))
            if state.is_main_process:
                publish_arrays(place / LOGITS, {"key": np.array(key), "logits": found})
            state.wait_for_everyone()
        if state.is_main_process:
            _thin(place)
        logits[held] = found
    return logits


def _read(path: Path, key: str) -> FloatArray | None:
    """The logits of a finished fold, or None where there are none of this key."""
    if not path.exists():
        return None
    try:
        found = read_arrays(path)
        return np.asarray(found["logits"], np.float32) if str(found["key"]) == key else None
    except (ValueError, KeyError):
        return None


def _thin(place: Path) -> None:
    """Remove a finished fold's network."""
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in KEPT:
            path.unlink()
