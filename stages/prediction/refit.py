"""The chosen strategy fitted once more, on every labelled product: more to learn from, and nothing left to test on.

Settings and number of epochs of a head are those of the run that was compared; the networks stay as they are: fitted on train.
A late fusion learns from what no network has seen. An ensemble's members are fitted again, its weights stay.
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from fusecat.cache.publish import publishing_folder
from fusecat.cache.records import check_digests, digests, expecting, read_record, write_record
from fusecat.cache.store import FeatureCache
from fusecat.cache.table import FeatureTable
from fusecat.stages.errors import ModelError, UsageError
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, FitSettings, Scaling
from fusecat.stages.fusion.late import method_class
from fusecat.stages.fusion.late.crossfit import fit_on_all
from fusecat.stages.fusion.late.late_predictors import TrainedEnsemble, TrainedLate, TrainedUnimodal
from fusecat.stages.fusion.logistic import Choice, fit_logistic
from fusecat.stages.fusion.predictor import Predictor, TrainedHead
from fusecat.stages.fusion.restore import load
from fusecat.stages.fusion.runs import MEMBERS, Run, Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.unimodal import prior
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.prediction.model import Model, class_shares
from fusecat.stages.progress import phase
from fusecat.stages.vocabulary import Architecture, Late, Part
from fusecat.stages.workspace import Workspace

RECORD = "refit.json"
WAY_OUT = "run 'fusecat refit' again"


@phase("reading the runs")
def refit(place: Workspace, strategy: str, seeds: Sequence[int], *, merges: Collection[str] = ()) -> Path:
    """Fit these runs again and write what they have learnt to `refit/`; returns that folder. What it held before is replaced.

    `merges`: the merges of one's own, `package.module:Class`, that the caller names: a run that was read may not name code.

    Raises: ModelError where a run is missing, or where a late fusion finds no product that its networks have not seen;
    UsageError for a merge that the caller has not named.
    """
    runs = {seed: Runs(place.runs).existing(strategy, seed) for seed in seeds}
    first = runs[seeds[0]]
    names = sorted({name for run in runs.values() for name in run.features})
    # balanced batches draw single rows, which nothing on disk can serve, and a logistic regression sees all at once
    fits = [each for run in runs.values() for each in _fits(place, run)]
    single = any(each.settings.get("balanced_batches") or each.architecture == Architecture.LOGISTIC for each in fits)
    with FeatureCache(place.features).opened(names, streamed=False if single else None) as table:
        again = _Again(place, table, merges)
        # what learns nothing still answers an absent field with the shares of the classes, and those learn
        before = first.fitted_on or [part for part in (Part.TRAIN, Part.HEAD) if part in table.parts]
        record = {
            "strategy": strategy,
            "runs": {str(seed): run.key for seed, run in runs.items()},
            "epochs": {str(seed): run.settings["best_epoch"] for seed, run in runs.items() if "best_epoch" in run.settings},
            "learns": bool(first.fitted_on),
            "compared_on": len(table.rows(*before)),
            "scores": None,
        }
        with publishing_folder(place.root / "refit") as folder:
            for seed in seeds:
                with phase(f"{strategy}, seed {seed}: fitting on all labelled products"):
                    again.fit(strategy, seed).save(folder / f"seed-{seed}")
            learnt = {"fitted_on": again.learnt_on, "products": len(table.rows(*again.learnt_on))}
            write_record(folder / RECORD, record | learnt | {"files": digests(folder)})
    return place.root / "refit"


class _Again:
    """Fits single runs again. `learnt_on`: the parts whose labels the last of them has seen."""

    def __init__(self, place: Workspace, table: FeatureTable, merges: Collection[str]) -> None:
        self.runs, self.table, self.merges = Runs(place.runs), table, merges
        self.parts = [part.value for part in Part if part in table.parts and len(table.rows(part))]
        self.prior = prior(table.labels[table.rows(*self.parts)], len(table.classes))
        self.learnt_on = self.parts
        self._material = cache(lambda features, standardise: gather(table, features, self.parts, standardise=standardise))

    def fit(self, name: str, seed: int) -> Predictor:
        """One run; an ensemble is its members, fitted again."""
        run = self.runs.existing(name, seed)
        try:
            strategy = Strategy.parse(name, self.merges)
        except UsageError as error:
            raise UsageError(f"{self.runs.path(name, seed)}: {error}") from error
        if strategy.learned:
            return self._head(strategy, run)
        if strategy.logistic:
            fit_data = self._material(run.features, Scaling.FEATURE)
            fitted = fit_logistic(strategy, fit_data, MACRO_F1, choice=Choice.of(run.settings)).fitted
            return TrainedHead(strategy, self.table.classes, fitted.head, fit_data.scaling, DEFAULT)
        if strategy.ensemble:
            return self._ensemble(strategy, run)
        if strategy.architecture is Architecture.UNIMODAL:
            return TrainedUnimodal(strategy, self.table.classes, self.prior)
        return self._late(strategy, run)

    def _head(self, strategy: Strategy, run: Run) -> TrainedHead:
        settings = _settings(run)
        fit_data = self._material(run.features, settings.standardise)
        fitted = fit_data.fit(strategy, settings, seed=run.seed, choose=False)  # nothing is left that could choose an epoch
        return TrainedHead(strategy, self.table.classes, fitted.head, fit_data.scaling, settings)

    def _ensemble(self, strategy: Strategy, run: Run) -> TrainedEnsemble:
        place = self.runs.path(run.strategy, run.seed)
        known = load(place, merges=self.merges, within=self.runs.folder)
        if not isinstance(known, TrainedEnsemble):
            raise ModelError(f"{place} holds no {run.strategy}; run 'fusecat fuse' again")
        members = {
            path: self.fit(member.strategy.name, int(path.name.removeprefix("seed-"))) for path, member in known.members.items()
        }
        return TrainedEnsemble(strategy, self.table.classes, members, known.weights)

    def _late(self, strategy: Strategy, run: Run) -> TrainedLate:
        method = method_class(Late(str(strategy.final)))
        assert method is not None, "ensembles are fitted elsewhere"
        make, rows = partial(method, len(run.features), self.prior), {part: self.table.rows(part) for part in self.parts}
        fitted, parts = fit_on_all(make, self.table.features, run.features, self.table.labels, rows)
        if fitted.learns and not parts:
            raise ModelError(
                f"{run.strategy}: its networks have seen every labelled product, so nothing is left that it could learn from"
            )
        self.learnt_on = list(parts) or self.parts
        return TrainedLate(strategy, self.table.classes, run.features, fitted)


def read_refit(place: Workspace) -> dict[str, Any]:
    """What was refitted: `refit.json`. Raises ModelError where nothing was, or its runs have been fitted anew since."""
    path = place.root / "refit" / RECORD
    if not path.is_file():
        raise ModelError(
            f"{path} does not exist: nothing was refitted yet; run: fusecat refit --workspace {shlex.quote(str(place.root))}"
        )
    record = read_record(path, WAY_OUT)
    with expecting(path, WAY_OUT):
        check_digests(path.parent, record.pop("files", {}), WAY_OUT)
        known = {int(seed): str(key) for seed, key in record["runs"].items()}
        strategy, _ = str(record["strategy"]), [str(part) for part in record["fitted_on"]]
    for seed, key in known.items():
        if Runs(place.runs).existing(strategy, seed).key != key:
            raise ModelError(f"{path}: {strategy} has been fitted anew since; {WAY_OUT}")
    return record


def refitted(
    place: Workspace, class_names: Mapping[str, str], external: Collection[str] = (), merges: Collection[str] = ()
) -> Model:
    """The model with what was refitted. Raises as `read_refit` and `Model.of_runs`."""
    record = read_refit(place)
    seeds = [int(seed) for seed in record["runs"]]
    model = Model.of_runs(
        place,
        record["strategy"],
        seeds,
        class_names=class_names,
        heads=place.root / "refit",
        fitted_on=record["fitted_on"],
        external=external,
        merges=merges,
    )
    return replace(model, prior=class_shares(Runs(place.runs).products(), tuple(Part)))


def _fits(place: Workspace, run: Run) -> list[Run]:
    """The run, and of an ensemble the members that are there."""
    members = [name.rpartition(" ") for name in run.settings.get(MEMBERS, {})]
    found = [Runs(place.runs).read(strategy, int(seed)) for strategy, _, seed in members]
    return [run, *(each for each in found if each)]


def _settings(run: Run) -> FitSettings:
    """The run's own, with its best epoch as the number of epochs."""
    return replace(FitSettings.of(run.settings), epochs=int(run.settings["best_epoch"]), steps=0, patience=0)
