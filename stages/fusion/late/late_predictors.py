"""Uni-modal rows, late fusion and ensembles, ready to predict.

Shapes: n products, C classes.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature
from fusecat.stages.fusion import head_files
from fusecat.stages.fusion.late import LateMethod
from fusecat.stages.fusion.late.ensembles import mean_of_present, mix, vote
from fusecat.stages.fusion.late.modality_logits import gather
from fusecat.stages.fusion.predictor import Predictor, given
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.unimodal import probabilities
from fusecat.stages.vocabulary import Late


@dataclass(frozen=True)
class TrainedUnimodal:
    """A network's own opinion; `prior` (C,) for products without its field."""

    strategy: Strategy
    classes: tuple[str, ...]
    prior: NDArray[np.float32]

    @property
    def features(self) -> tuple[str, ...]:
        """The one feature."""
        return (str(self.strategy.feature),)

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """The softmax of the logits."""
        given(features, self.features, self.strategy, logits=True)
        feature = features[self.features[0]]
        return probabilities(feature, np.arange(len(feature.present)), self.prior)

    def save(self, folder: Path) -> Path:
        """The prior is all there is."""
        return head_files.write(folder, "unimodal", self.strategy, self.classes, {"prior": self.prior})


@dataclass(frozen=True)
class TrainedLate:
    """A late fusion method with what it has learnt."""

    strategy: Strategy
    classes: tuple[str, ...]
    features: tuple[str, ...]
    method: LateMethod

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """Combine the networks' logits."""
        given(features, self.features, self.strategy, logits=True)
        found = self.method.predict_blocks(gather(features, self.features))
        return np.concatenate([np.empty((0, len(self.classes)), np.float32), *found])

    def save(self, folder: Path) -> Path:
        """The method's arrays and the prior."""
        arrays = {"prior": self.method.prior, **self.method.state()}
        return head_files.write(folder, "late", self.strategy, self.classes, arrays, features=list(self.features))


@dataclass(frozen=True)
class TrainedEnsemble:
    """Other runs, combined: `members` maps a run folder to its predictor, `weights` (M,) only of a selection."""

    strategy: Strategy
    classes: tuple[str, ...]
    members: Mapping[Path, Predictor] = field(default_factory=dict)
    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def features(self) -> tuple[str, ...]:
        """Everything that some member needs."""
        return tuple(sorted({name for member in self.members.values() for name in member.features}))

    def probabilities(self, features: Mapping[str, Feature]) -> NDArray[np.float32]:
        """Ask every member, then combine."""
        found = [member.probabilities(features) for member in self.members.values()]
        if self.strategy.final == Late.PROBES:
            present = [features[member.features[0]].present for member in self.members.values()]
            return mean_of_present(found, np.stack(present, axis=1))
        return mix(found, self.weights) if len(self.weights) else vote(found)

    def save(self, folder: Path) -> Path:
        """Copy the members into the folder, so that it needs no other."""
        copies = {member.save(folder / "members" / f"{number}"): member for number, member in enumerate(self.members.values())}
        return refer(folder, self.strategy, self.classes, list(copies), self.weights)


def refer(
    folder: Path, strategy: Strategy, classes: tuple[str, ...], members: Sequence[Path], weights: NDArray[np.float64]
) -> Path:
    """Remember in `folder` where the members of an ensemble are, relative to it, without copying them."""
    paths = [Path(os.path.relpath(path, folder)).as_posix() for path in members]
    return head_files.write(folder, "ensemble", strategy, classes, {"weights": weights}, members=paths)


def _inside(path: Path, folder: Path) -> Path:
    """The path itself, refused where it leads out of the folder, by `..` or by a link."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"its member {path} lies outside of {folder}")
    return path
