"""Uni-modal rows, late fusion and ensembles, ready to predict.

Shapes: n products, C classes.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.table import Feature
from stages.heads import storage
from stages.heads.late import LateMethod, method_class
from stages.heads.late.base import shaped
from stages.heads.late.ensembles import mix, vote
from stages.heads.late.opinions import gather
from stages.heads.saved import Predictor, given, load
from stages.heads.unimodal import probabilities
from stages.strategy import Strategy
from stages.vocabulary import Architecture, Late


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
        description = {"kind": "unimodal", "strategy": self.strategy.name, "classes": list(self.classes)}
        return storage.write(folder, description, {"prior": self.prior})


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
        return self.method.predict(gather(features, self.features))

    def save(self, folder: Path) -> Path:
        """The method's arrays and the prior."""
        description = {
            "kind": "late",
            "strategy": self.strategy.name,
            "classes": list(self.classes),
            "features": list(self.features),
        }
        return storage.write(folder, description, {"prior": self.method.prior, **self.method.state()})


@dataclass(frozen=True)
class TrainedEnsemble:
    """Other runs, combined: `members` maps a run folder to its predictor, `weights` (M,) is empty for a vote."""

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
    description = {"kind": "ensemble", "strategy": strategy.name, "classes": list(classes), "members": paths}
    return storage.write(folder, description, {"weights": weights})


def restore(
    folder: Path,
    strategy: Strategy,
    classes: tuple[str, ...],
    description: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    *,
    merges: Collection[str],
    within: Path,
) -> Predictor:
    """From what `storage.read` gave to the predictor; `merges` and `within` as `load` takes them.

    Raises: ValueError or KeyError where it does not make sense.
    """
    match description["kind"]:
        case "unimodal" if strategy.architecture is Architecture.UNIMODAL:
            return TrainedUnimodal(strategy, classes, shaped(arrays, "prior", len(classes)))
        case "late":
            chosen = method_class(Late(str(strategy.final)))
            if chosen is None:
                message = f"{strategy.final} is no method on logits"
                raise ValueError(message)
            features = tuple(str(name) for name in description["features"])
            method = chosen(len(features), shaped(arrays, "prior", len(classes)))
            method.restore({name: array for name, array in arrays.items() if name != "prior"})
            return TrainedLate(strategy, classes, features, method)
        case "ensemble" if strategy.ensemble:
            paths = [_inside(folder / path, within) for path in description["members"]]
            members = {path: load(path, merges=merges, ensemble=False) for path in paths}
            weights = shaped(arrays, "weights", 0 if strategy.final == Late.VOTE else len(members))
            if not members or any(member.classes != classes for member in members.values()):
                message = "its members are none, or know other classes"
                raise ValueError(message)
            return TrainedEnsemble(strategy, classes, members, weights)
        case kind:
            message = f"a {strategy.name} of the kind '{kind}' makes no sense here"
            raise ValueError(message)


def _inside(path: Path, folder: Path) -> Path:
    """The path itself, refused where it leads out of the folder, by `..` or by a link."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        message = f"its member {path} lies outside of {folder}"
        raise ValueError(message)
    return path
