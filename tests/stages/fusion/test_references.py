"""A reference is compared with the others, and enters no merge, no late fusion and no ensemble."""

import re

import numpy as np
import pytest

from fusecat.pipeline.compare import compare
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy_plan import plan
from fusecat.stages.fusion.wiring import stands_alone, wire
from fusecat.stages.vocabulary import Architecture

FEATURES = ("camembert.title", "camembert.description", "camembert.title_description", "se_resnext50.image")
REFERENCES = ("reference.tfidf.title", "reference.tfidf.description", "reference.tfidf.title_description")


@pytest.mark.parametrize("architecture", [Architecture.BASELINE, Architecture.FLAT, Architecture.HIERARCHICAL])
def test_merges_are_what_they_were_without_it(architecture: Architecture) -> None:
    assert wire(architecture, (*FEATURES, *REFERENCES)) == wire(architecture, FEATURES)


def test_it_has_rows_of_its_own() -> None:
    names = {strategy.name for strategy in plan("all", (*FEATURES, *REFERENCES)).strategies}
    without = {strategy.name for strategy in plan("all", FEATURES).strategies}
    assert names - without == {f"{kind}/{name}" for kind in ("unimodal", "probe") for name in REFERENCES}


def test_every_run_but_its_own_is_the_same_with_and_without_it_and_the_verdict_names_it(tmp_path) -> None:
    dice = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    views = {name: dice.normal(size=(180, 4)) + labels[:, None] for name in ("a.text", "b.image", "reference.c.text")}
    views["reference.c.text"] -= labels[:, None]  # noise: something else is chosen
    logits = {name: np.eye(3)[labels] + dice.normal(size=(180, 3)) for name in views}
    logits["reference.c.text"] = dice.normal(size=(180, 3))
    quick, found = FitSettings(epochs=2), []
    for names in (["a.text", "b.image"], list(views)):
        chosen = {name: views[name] for name in names}
        own = {name: logits[name] for name in names}
        found.append(compare(chosen, labels, logits=own, settings=quick, seeds=2, workspace=tmp_path))
    rows = [{row.strategy: row.parts["test"]["macro_f1"].values for row in each.rows} for each in found]
    assert rows[1].items() >= rows[0].items()
    assert rows[1].keys() - rows[0].keys() == {"unimodal/reference.c.text", "probe/reference.c.text"}
    assert any(name.startswith("late/selection") for name in rows[0])
    for strategy, seed in Runs(tmp_path / "runs").finished():
        run = Runs(tmp_path / "runs").read(strategy, seed)
        assert run is not None and (not any(map(stands_alone, run.features)) or len(run.features) == 1)
    assert "reference" not in found[0].verdict
    assert re.search(r"strategy is [\d.]+ points better than \w+/reference\.c\.text, the reference", found[1].verdict)
