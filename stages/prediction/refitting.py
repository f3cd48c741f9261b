"""The chosen strategy's heads fitted once more, on every labelled product: more to learn from, and nothing left to test on.

Settings and number of epochs are those of the runs that were compared. The networks stay as they are: fitted on train.
"""

import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cache.store import FeatureCache
from stages.errors import ModelError, UsageError
from stages.heads.build import build_head, wiring_of
from stages.heads.fit import fit
from stages.heads.material import gather
from stages.heads.saved import TrainedHead
from stages.heads.settings import FitSettings
from stages.prediction.model import Model
from stages.runs import Run, Runs
from stages.strategy import Strategy
from stages.vocabulary import Part
from stages.workspace import Workspace

RECORD = "refit.json"


def refit(place: Workspace, strategy: str, seeds: Sequence[int]) -> Path:
    """Fit the heads of these runs again and write them to `refit/`; returns that folder. What it held before is replaced.

    Raises: UsageError for a strategy without a head of its own; ModelError where a run is missing.
    """
    wanted = Strategy.parse(strategy)
    if not wanted.learned:
        message = f"{strategy} has no trained head of its own, so there is nothing to refit; name another with --strategy"
        raise UsageError(message)
    runs = {seed: _run(place, strategy, seed) for seed in seeds}
    features = next(iter(runs.values())).features
    table = FeatureCache(place.features).table(features)
    parts = [part.value for part in Part if part in table.parts and len(table.rows(part))]
    folder, unfinished = place.root / "refit", place.root / "refit.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    # the report takes only runs of the same settings for seeds of one strategy
    material = gather(table, features, parts, standardise=_settings(runs[seeds[0]]).standardise)
    widths = {name: len(mean) for name, (mean, _) in material.scaling.items()}
    for seed, run in runs.items():
        settings = _settings(run)
        fitted = fit(
            partial(build_head, wanted, widths, len(table.classes), settings),
            material.vectors.select(wiring_of(wanted, widths).features),
            material.labels,
            material.rows["fit"],
            np.empty(0, np.intp),  # nothing is left that could choose an epoch
            settings,
            seed=seed,
        )
        TrainedHead(wanted, table.classes, fitted.head, material.scaling, settings).save(unfinished / f"seed-{seed}")
    record = {
        "strategy": strategy,
        "runs": {str(seed): run.key for seed, run in runs.items()},
        "epochs": {str(seed): run.settings["best_epoch"] for seed, run in runs.items()},
        "fitted_on": parts,
        "products": len(table.rows(*parts)),
        "compared_on": len(table.rows(*runs[seeds[0]].fitted_on)),
        "scores": None,
    }
    (unfinished / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)
    return folder


def read_refit(place: Workspace) -> dict[str, Any]:
    """What was refitted: `refit.json`. Raises ModelError where nothing was, or its runs have been fitted anew since."""
    path = place.root / "refit" / RECORD
    if not path.is_file():
        message = f"{path} does not exist: nothing was refitted yet (run 'fusecat refit --workspace {place.root}')"
        raise ModelError(message)
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for seed, key in record["runs"].items():
        if _run(place, record["strategy"], int(seed)).key != key:
            message = f"{path}: {record['strategy']} has been fitted anew since; run 'fusecat refit' again"
            raise ModelError(message)
    return record


def refitted(place: Workspace, class_names: Mapping[str, str], brought: Collection[str] = ()) -> Model:
    """The model with the refitted heads. Raises as `read_refit` and `Model.of_runs`."""
    record = read_refit(place)
    seeds = [int(seed) for seed in record["runs"]]
    return Model.of_runs(
        place,
        record["strategy"],
        seeds,
        class_names=class_names,
        heads=place.root / "refit",
        fitted_on=record["fitted_on"],
        brought=brought,
    )


def _run(place: Workspace, strategy: str, seed: int) -> Run:
    run = Runs(place.runs).read(strategy, seed)
    if run is None:
        message = f"{Runs(place.runs).path(strategy, seed)}: there is no such run; 'fusecat report' lists what there is"
        raise ModelError(message)
    return run


def _settings(run: Run) -> FitSettings:
    """The run's own, with its best epoch as the number of epochs."""
    known = {name: value for name, value in run.settings.items() if name in FitSettings.__dataclass_fields__}
    return replace(FitSettings(**known), epochs=int(run.settings["best_epoch"]), steps=0, patience=0)
