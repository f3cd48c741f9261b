"""All seeds at once are the seeds one by one."""

import dataclasses

import numpy as np
import pytest
import torch

from fusecat.stages.fusion.batched import fit_seeds
from fusecat.stages.fusion.build_head import build_head
from fusecat.stages.fusion.fit import fit, predict
from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import FitSettings, Moments, Scaling
from fusecat.stages.fusion.fuse import fuse, schedule
from fusecat.stages.fusion.parallel import by_seed
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import MACRO_F1
from tests.stages.fusion.synthetic import SEVEN, table

SETTINGS = FitSettings(epochs=4, modality_dropout=0, auxiliary=0, learning_rate=1e-2)
NAMES = ("baseline/average", "hierarchical/concatenation/average", "flat/gated", "baseline/tokens", "probe/camembert.title")


@pytest.mark.parametrize(("moments", "averaging"), [(Moments.WEIGHT, 0), (Moments.LAYER, 0), (Moments.AUTO, 0.9)])
@pytest.mark.parametrize("name", NAMES)
def test_batched_by_seed_equals_one_by_one(name, moments, averaging):
    settings = dataclasses.replace(SETTINGS, moments=moments, averaging=averaging)
    made = table(products=200)
    fit_data = gather(made, sorted(made.features), ("train",), standardise=Scaling.COLUMN)
    strategy = Strategy.parse(name)

    def build():
        return build_head(strategy, SEVEN, 4, settings)

    data = fit_data.vectors.select(build().features)
    arguments = (build, data, made.labels, fit_data.rows["fit"], fit_data.rows["validation"], settings)
    together = fit_seeds(*arguments, seeds=[1, 2, 3], device=torch.device("cpu"))
    for seed, batched in zip([1, 2, 3], together, strict=True):
        alone = fit(*arguments, seed=seed)
        assert batched.best_epoch == alone.best_epoch
        found = [predict(fitted.head, data, fit_data.rows["test"]) for fitted in (batched, alone)]
        np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_modality_dropout_is_drawn_for_each_seed_and_still_learns():
    made = table(products=200, signal=2)
    fit_data = gather(made, sorted(made.features), ("train",), standardise=Scaling.COLUMN)
    settings = dataclasses.replace(SETTINGS, modality_dropout=0.3, auxiliary=0, epochs=10)
    fitted = fit_seeds(
        lambda: build_head(Strategy.parse("baseline/concatenation"), SEVEN, 4, settings),
        fit_data.vectors.select(["camembert.title_description", "flaubert.title_description", "se_resnext50.image"]),
        made.labels,
        fit_data.rows["fit"],
        fit_data.rows["validation"],
        settings,
        seeds=[1, 2],
        device=torch.device("cpu"),
    )
    for each in fitted:
        assert each.curve[each.best_epoch - 1]["accuracy"] > 0.7


def test_runs_of_all_seeds_at_once_are_stored_as_those_of_single_seeds(tmp_path):
    made = table(products=200)
    strategies = [Strategy.parse(name) for name in ("baseline/average", "probe/camembert.title", "unimodal/camembert.title")]
    alone = fuse(made, strategies, Runs(tmp_path / "alone"), SETTINGS, seeds=2)
    jobs = schedule(made, strategies, SETTINGS, seeds=2, metric=MACRO_F1, fit_on=("train",))
    fit_data = gather(made, sorted(made.features), ("train",), standardise=SETTINGS.standardise)
    together = [run for _, run in by_seed(jobs, fit_data, Runs(tmp_path / "together"), torch.device("cpu"))]
    assert [(run.strategy, run.seed) for run in together] == [(run.strategy, run.seed) for run in alone]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.probabilities["test"], other.probabilities["test"], atol=1e-4)
    assert len(list(Runs(tmp_path / "together"))) == len(jobs)
