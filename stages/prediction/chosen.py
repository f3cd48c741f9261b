"""The model of a workspace: the strategy that validation chose, or one that is named, or what was refitted."""

from collections.abc import Collection
from dataclasses import replace

from fusecat.cache.records import damaged
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.select import select
from fusecat.stages.metrics import Metric
from fusecat.stages.prediction.model import Model, fitted_temperature, odd_reading
from fusecat.stages.study_record import WAY_OUT, StudyRecord, read_study
from fusecat.stages.workspace import Workspace


def chosen_model(
    place: Workspace,
    *,
    strategy: str | None = None,
    seed: int | None = None,
    metric: Metric | None = None,
    refit: bool = False,
    external: Collection[str] = (),
    merges: Collection[str] = (),
) -> Model:
    """The chosen (or named) strategy with the seeds that the report averages, or what was refitted, and its temperature.

    `metric`: what chooses, by default that of the workspace. `external`: features whose vectors are passed, so that no network
    is needed. `merges`: those of one's own that are named.

    Raises: as `select`, `Model.of_runs` and `read_refit`; DamagedFile; UsageError where what was refitted is to be chosen.
    """
    study = read_study(place) or StudyRecord()
    if odd := odd_reading(study.reading):
        raise damaged(place.study, odd, WAY_OUT)
    if refit:
        from fusecat.stages.prediction.refit import refitted  # it can fit heads, which needs more than to use one

        if strategy or metric or seed is not None:
            raise UsageError(
                "--refit: one strategy was refitted; leave out --strategy, --metric and --run ('fusecat refit' takes two)"
            )
        model = refitted(place, study.class_names, external, merges)
        return _finished(place, model, study)
    chosen = select(Runs(place.runs), metric or study.selects, strategy)
    seeds = chosen.seeds if seed is None else (seed,)
    model = Model.of_runs(place, chosen.strategy, seeds, class_names=study.class_names, external=external, merges=merges)
    return _finished(place, model, study)


def _finished(place: Workspace, model: Model, study: StudyRecord) -> Model:
    """With how to read a catalogue, and the temperature that validation asks for: heads that were refitted take their runs'."""
    heat = fitted_temperature(place, model.strategy, tuple(model.predictors))
    return replace(model, reading=study.reading, temperature=heat)
