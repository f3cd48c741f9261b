"""A trained head on disk: weights and column statistics in safetensors, everything else in readable JSON. No pickle.

Shapes: n products, C classes.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cache.table import Feature
from stages.errors import ModelError
from stages.heads.build import build_head
from stages.heads.data import Statistics, Vectors, prepare
from stages.heads.fit import predict
from stages.heads.head import Head
from stages.heads.settings import FitSettings
from stages.strategy import Strategy

WEIGHTS = "head.safetensors"
DESCRIPTION = "head.json"


@dataclass(frozen=True)
class TrainedHead:
    """A head that is ready to predict: `features` it needs, `classes` in the order of its output."""

    strategy: Strategy
    head: Head
    scaling: Statistics
    classes: tuple[str, ...]
    settings: FitSettings

    @property
    def features(self) -> tuple[str, ...]:
        """The features that `probabilities` wants."""
        return self.head.features

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """Class probabilities (n, C) of new products, given every feature of `self.features` for them, row for row.

        Raises: ModelError where a feature is missing or has another width than the head was fitted with.
        """
        for name in self.features:
            if name not in features:
                message = f"the head {self.strategy.name} needs the feature {name}, which was not given"
                raise ModelError(message)
            width = len(self.scaling[name][0])
            if features[name].width != width:
                message = f"the head {self.strategy.name} was fitted on {name} with {width} columns, not {features[name].width}"
                raise ModelError(message)
        views = {name: prepare(features[name].embedding, features[name].present, *self.scaling[name]) for name in self.features}
        present = {name: torch.from_numpy(features[name].present.copy()) for name in self.features}
        data = Vectors(views, present)
        return predict(self.head, data, np.arange(len(data)))

    def save(self, folder: Path) -> Path:
        """Write `head.safetensors` and `head.json` into the folder. Returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"head.{name}": tensor.contiguous() for name, tensor in self.head.state_dict().items()}
        for name in self.features:
            mean, scale = self.scaling[name]
            tensors |= {f"mean.{name}": torch.from_numpy(mean), f"scale.{name}": torch.from_numpy(scale)}
        save_file(tensors, folder / f"{WEIGHTS}.part")
        os.replace(folder / f"{WEIGHTS}.part", folder / WEIGHTS)
        description = {
            "strategy": self.strategy.name,
            "widths": {name: len(self.scaling[name][0]) for name in self.features},
            "classes": list(self.classes),
            "settings": asdict(self.settings),
        }
        partial = folder / f"{DESCRIPTION}.part"
        partial.write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(partial, folder / DESCRIPTION)
        return folder


def load_head(folder: Path) -> TrainedHead:
    """The head that was saved in this folder (`workspace/runs/<strategy>/seed-<n>`).

    Raises: ModelError where nothing usable is there.
    """
    if not (folder / DESCRIPTION).is_file() or not (folder / WEIGHTS).is_file():
        message = f"{folder} holds no trained head ({DESCRIPTION} and {WEIGHTS}); run 'fusecat fuse' again"
        raise ModelError(message)
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        strategy = Strategy.parse(description["strategy"])
        settings = FitSettings(**description["settings"])
        head = build_head(strategy, description["widths"], len(description["classes"]), settings)
        weights = {name.removeprefix("head."): tensor for name, tensor in tensors.items() if name.startswith("head.")}
        head.load_state_dict(weights)
        scaling = {name: (tensors[f"mean.{name}"].numpy(), tensors[f"scale.{name}"].numpy()) for name in head.features}
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        message = f"{folder}: the trained head cannot be read ({error}); run 'fusecat fuse' again"
        raise ModelError(message) from error
    head.eval()
    return TrainedHead(strategy, head, scaling, tuple(description["classes"]), settings)
