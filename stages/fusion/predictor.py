"""A fused strategy's trained head (or a probe's), ready to predict.

Shapes: n products, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fusecat.cache.table import Feature
from fusecat.stages.errors import ModelError
from fusecat.stages.fusion import head_files
from fusecat.stages.fusion.fit import predict
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.head import Head
from fusecat.stages.fusion.in_memory import Statistics, Vectors, prepare
from fusecat.stages.fusion.strategy import Strategy


class Predictor(Protocol):
    """What every run leaves behind: from features to class probabilities."""

    @property
    def strategy(self) -> Strategy:
        """The strategy that was fitted."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of `probabilities`."""

    @property
    def features(self) -> tuple[str, ...]:
        """The features that `probabilities` wants."""

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """Class probabilities (n, C) of new products, given every feature of `self.features` for them, row for row.

        Raises: ModelError where a feature is missing or does not fit.
        """

    def save(self, folder: Path) -> Path:
        """Write everything that is needed into the folder, so that `load_head(folder)` predicts the same."""


class Shared(dict[str, Feature]):
    """Features that several heads look at: each is standardised once for all heads with the same column statistics."""

    def __init__(self, features: Mapping[str, Feature]) -> None:
        super().__init__(features)
        self._views: dict[tuple[str, bytes, bytes], torch.Tensor] = {}

    def view(self, name: str, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> torch.Tensor:
        """Standardised vectors (n, W) of one feature; not to be written to."""
        key = name, mean.tobytes(), scale.tobytes()
        if key not in self._views:
            self._views[key] = prepare(self[name].embedding, self[name].present, mean, scale)
        return self._views[key]


@dataclass(frozen=True)
class TrainedHead:
    """A fused head or a probe with the column statistics of its fit rows."""

    strategy: Strategy
    classes: tuple[str, ...]
    head: Head
    scaling: Statistics
    settings: FitSettings

    @property
    def features(self) -> tuple[str, ...]:
        """The features whose vectors it merges."""
        return self.head.features

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """Class probabilities (n, C) from vectors; logits are not looked at."""
        given(features, self.features, self.strategy)
        for name in self.features:
            width = len(self.scaling[name][0])
            if features[name].width != width:
                raise ModelError(
                    f"the head {self.strategy.name} was fitted on {name} with {width} columns, not {features[name].width}"
                )
        shared = features if isinstance(features, Shared) else Shared(features)
        views = {name: shared.view(name, *self.scaling[name]) for name in self.features}
        present = {name: torch.from_numpy(features[name].present.copy()) for name in self.features}
        data = Vectors(views, present)
        return predict(self.head, data, np.arange(len(data)))

    def save(self, folder: Path) -> Path:
        """Weights and column statistics as arrays; strategy, widths, classes and settings as JSON."""
        arrays = {f"head.{name}": tensor.numpy() for name, tensor in self.head.state_dict().items()}
        for name in self.features:
            arrays |= {f"mean.{name}": self.scaling[name][0], f"scale.{name}": self.scaling[name][1]}
        widths, settings = {name: len(self.scaling[name][0]) for name in self.features}, self.settings.record()
        return head_files.write(folder, "head", self.strategy, self.classes, arrays, widths=widths, settings=settings)


def given(features: Mapping[str, Feature], wanted: Sequence[str], strategy: Strategy, *, logits: bool = False) -> None:
    """Check that every wanted feature is there. Raises ModelError that names the first that is not."""
    for name in wanted:
        if name not in features:
            raise ModelError(f"the strategy {strategy.name} needs the feature {name}, which was not given")
        if logits and features[name].logits is None:
            raise ModelError(f"the strategy {strategy.name} needs the logits of {name}, which has none")


def refuse_other_shapes(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError, naming the first, where a state does not have the tensors of a module in the same shapes."""
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in sorted(own.keys() | state.keys()):
        there = tuple(state[name].shape) if name in state else None
        if own.get(name) != there:
            raise ValueError(f"its weights '{name}' are {there or 'missing'}, where {own.get(name, 'none')} are expected")


def _column(arrays: Mapping[str, NDArray[Any]], what: str, name: str, widths: Mapping[str, int]) -> NDArray[np.float32]:
    """Mean or scale (W,) of a feature's columns."""
    array = arrays[f"{what}.{name}"]
    if array.shape != (widths[name],):
        raise ValueError(f"'{what}.{name}' has the shape {array.shape}, not ({widths[name]},)")
    return array.astype(np.float32)
