"""What a probe says of the whole of stage one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fusecat.stages.extraction import plan
from fusecat.stages.extraction.extract import encoders
from fusecat.stages.extraction.inputs import Texts
from fusecat.stages.extraction.probe import Timing, _first_is_longest
from fusecat.stages.fields import Field
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.workspace import Workspace
from tests.stages.extraction.small import EXTRACTION, FLAUBERT, open_study


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("folds", [0, 3])
def test_hours_are_those_of_all_steps_and_products(
    folds: int, freeze: bool, sample_cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = Timing("flaubert.title", 20, 36.0, 10, 3.6, 0.36, "", 1, 0)
    monkeypatch.setattr(plan, "probe", lambda *_, **__: timing)
    study = open_study(sample_cut)
    network = dataclasses.replace(FLAUBERT, training=dataclasses.replace(FLAUBERT.training, freeze=freeze))
    chosen = encoders((network,), dataclasses.replace(EXTRACTION, folds=folds), [Field.TITLE])
    plans = plan.plan(study, chosen, Workspace(tmp_path), MACRO_F1)
    (found,) = plan.estimate(study, chosen, plans, MACRO_F1)
    products, validation, train, epochs = 180, study.split.counts["validation"], study.split.counts["train"], 2
    once, each_epoch = validation * (1 + folds) + train * max(1, folds), validation * epochs * (1 + folds)
    scored = once if freeze else each_epoch
    assert found.steps == plans[0].steps
    assert found.fine_tuning == pytest.approx(found.steps * 0.01 + scored * 0.001 + products * 0.0001)
    assert found.extraction == pytest.approx((products + (train if folds else 0)) * 0.001)


def test_the_longest_batch_that_is_not_timed_is_reckoned_with() -> None:
    tokens = [np.zeros(length, np.int32) for length in (10, 2, 4, 9, 2, 3)]
    inputs = Texts(tokens, pad=1, unknown=3, special=frozenset(), dropout=0.0, room=0, length=16)
    # batches of two: 10 + 9, 4 + 3, 2 + 2, each as long as its longest
    assert _first_is_longest(inputs, np.arange(6), 2) == pytest.approx(((10 + 4 + 2) / 3) / ((4 + 2) / 2))
