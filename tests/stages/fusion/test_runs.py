"""Runs on disk: what is not a run that was written is named, with a way out, whatever it is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fusecat.cache.errors import DamagedFile
from fusecat.stages.fusion.runs import FILES, RECORD, Run, Runs

RUN = Run(
    *("baseline/average", "baseline", None, "average", ("camembert.title",), 1, ("train",), 12, 0.5, 0.1),
    probabilities={"validation": np.full((2, 2), 0.5, np.float32)},
    scores={"validation": {"accuracy": 0.5}},
    settings={"best_epoch": 2, "vectors": "0"},
    curve=({"epoch": 1, "loss": 0.7},),
    controls={"without image": {"validation": {"accuracy": float("nan")}}},
    key="k",
)


def test_a_run_is_read_as_it_was_written(tmp_path):
    Runs(tmp_path).write(RUN)
    read = Runs(tmp_path).read("baseline/average", 1)
    assert repr(replace(read, probabilities=dict(read.probabilities))) == repr(RUN)


@pytest.mark.parametrize("value", [None, 5, "x", True, [[]], {"x": {"x": "y"}}], ids=str)
@pytest.mark.parametrize(
    "name", ["features", "fitted_on", "parameters", "scores", "settings", "curve", "controls", "notes", FILES]
)
def test_another_type_is_damage_although_no_digest_tells(tmp_path, name, value):
    path = Runs(tmp_path).write(RUN) / RECORD
    record = json.loads(path.read_text(encoding="utf-8"))
    if (isinstance(value, dict) and name == "settings") or (value in (5, True) and name == "parameters"):
        pytest.skip("that is what it may say")
    path.write_text(
        json.dumps({key: each for key, each in record.items() if key != "sha256"} | {name: value}), encoding="utf-8"
    )
    with pytest.raises(DamagedFile, match=r"run\.json.*fusecat fuse"):
        Runs(tmp_path).check("baseline/average", 1)


def test_what_is_not_said_or_said_too_much_is_damage(tmp_path):
    path = Runs(tmp_path).write(RUN) / RECORD
    record = {key: each for key, each in json.loads(path.read_text(encoding="utf-8")).items() if key != "sha256"}
    for changed in ({key: each for key, each in record.items() if key != "key"}, record | {"probabilities": 1}):
        path.write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(DamagedFile):
            Runs(tmp_path).check("baseline/average", 1)
