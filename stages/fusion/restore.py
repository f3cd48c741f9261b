"""A fitted strategy from its folder, whatever it is: a head, a network's own logits, late fusion, an ensemble."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from fusecat.stages.errors import UsageError
from fusecat.stages.fusion import head_files
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.late import method_class
from fusecat.stages.fusion.late.late_predictors import TrainedEnsemble, TrainedLate, TrainedUnimodal, _inside
from fusecat.stages.fusion.late.method import shaped
from fusecat.stages.fusion.predictor import Predictor, TrainedHead, _column, refuse_other_shapes
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.vocabulary import Architecture, Late


def load(folder: Path, *, merges: Collection[str] = (), within: Path | None = None, ensemble: bool = True) -> Predictor:
    """The predictor that was saved in this folder; whoever saved it, no code is run that the caller has not named.

    `merges`: the merges of one's own, `package.module:Class`, that the caller names. `within`: the folder that the members of
    an ensemble must lie in (default: this one). Without `ensemble` one is refused.

    Raises: ModelError where nothing usable is there, UsageError for a merge that the caller has not named.
    """
    description, arrays = head_files.read(folder)
    try:
        strategy = Strategy.parse(description["strategy"], merges)
        classes = tuple(str(name) for name in description["classes"])
        match description["kind"]:
            case "head":
                return _head(strategy, classes, description, arrays)
            case "unimodal" if strategy.architecture is Architecture.UNIMODAL:
                return TrainedUnimodal(strategy, classes, shaped(arrays, "prior", len(classes)))
            case "late":
                return _late(strategy, classes, description, arrays)
            case "ensemble" if not ensemble:
                raise ValueError("an ensemble has no ensemble among its members")
            case "ensemble" if strategy.ensemble:
                paths = [_inside(folder / path, within or folder) for path in description["members"]]
                members = {path: load(path, merges=merges, ensemble=False) for path in paths}
                return _ensemble(strategy, classes, members, arrays)
            case kind:
                raise ValueError(f"a {strategy.name} of the kind '{kind}' makes no sense here")
    except UsageError as error:
        raise type(error)(f"{folder / head_files.DESCRIPTION}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise head_files.unusable(folder, error) from error


def _head(
    strategy: Strategy, classes: tuple[str, ...], description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> TrainedHead:
    if not (strategy.learned or strategy.logistic):
        raise ValueError(f"a {strategy.name} has no trained head")
    settings, widths = FitSettings.exactly(description["settings"]), description["widths"]
    weights = {
        name.removeprefix("head."): torch.from_numpy(array) for name, array in arrays.items() if name.startswith("head.")
    }
    if not strategy.own:
        # without memory first: a width costs nothing to write and all memory to believe
        with torch.device("meta"):
            refuse_other_shapes(build_head(strategy, widths, len(classes), settings), weights)
    head = build_head(strategy, widths, len(classes), settings)
    head.load_state_dict(weights)
    head.eval()
    scaling = {name: (_column(arrays, "mean", name, widths), _column(arrays, "scale", name, widths)) for name in head.features}
    return TrainedHead(strategy, classes, head, scaling, settings)


def _late(
    strategy: Strategy, classes: tuple[str, ...], description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> TrainedLate:
    chosen = method_class(Late(str(strategy.final)))
    if chosen is None:
        raise ValueError(f"{strategy.final} is no method on logits")
    features = tuple(str(name) for name in description["features"])
    method = chosen(len(features), shaped(arrays, "prior", len(classes)))
    method.restore({name: array for name, array in arrays.items() if name != "prior"})
    return TrainedLate(strategy, classes, features, method)


def _ensemble(
    strategy: Strategy, classes: tuple[str, ...], members: Mapping[Path, Predictor], arrays: Mapping[str, NDArray[Any]]
) -> TrainedEnsemble:
    weights = shaped(arrays, "weights", len(members) if strategy.final == Late.SELECTION else 0)
    if strategy.final == Late.PROBES and any(len(member.features) != 1 for member in members.values()):
        raise ValueError("one of its members is no probe")
    if not members or any(member.classes != classes for member in members.values()):
        raise ValueError("its members are none, or know other classes")
    return TrainedEnsemble(strategy, classes, members, weights)
