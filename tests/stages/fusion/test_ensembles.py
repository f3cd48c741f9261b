"""Ensembles as runs: the same bytes however the work was shared or interrupted, and every seed of them counts in a report."""

import dataclasses
import json

import pytest

from fusecat.cache.records import read_record, write_record
from fusecat.pipeline.report.comparison import compare
from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.runs import LIBRARY, MEMBERS, Runs
from fusecat.stages.fusion.strategy import Strategy
from tests.stages.fusion.synthetic import SEVEN, table

QUICK = FitSettings(epochs=4)
ENSEMBLES = ("late/vote", "late/selection")
STRATEGIES = [
    Strategy.parse(name)
    for name in (
        "hierarchical/concatenation/average",
        "baseline/concatenation",
        "baseline/average",
        "flat/addition",
        "probe/camembert.title",
        "unimodal/camembert.title",
        *ENSEMBLES,
    )
]


@pytest.fixture(scope="module")
def planted():
    return table(SEVEN, products=400, signal=0.7)


@pytest.fixture(scope="module")
def done(planted, tmp_path_factory):
    runs = Runs(tmp_path_factory.mktemp("study") / "runs")
    fuse(planted, STRATEGIES, runs, QUICK, seeds=3, processes=1)
    return runs


def stored(runs):
    """Every byte of every ensemble, apart from the times that its members took; the order of members counts."""
    found = {}
    for path in [path for name in ENSEMBLES for path in sorted(runs.folder.glob(f"{name}/*/*"))]:
        found[path.relative_to(runs.folder)] = path.read_bytes()
        if path.name == "run.json":
            record = read_record(path, "")
            timeless = {key: value for key, value in record.items() if not key.endswith("_seconds")}
            found[path.relative_to(runs.folder)] = json.dumps(timeless).encode()
    return found


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_gives_the_same_bytes(planted, done, tmp_path, monkeypatch, processes):
    monkeypatch.setattr("fusecat.stages.fusion.parallel.WORTH_SPREADING", 0.0)
    runs = Runs(tmp_path / "runs")
    fuse(planted, STRATEGIES, runs, QUICK, seeds=3, processes=processes)
    assert stored(runs) == stored(done)


def test_an_interrupted_study_that_goes_on_gives_the_same_bytes(planted, done, tmp_path):
    runs = Runs(tmp_path / "runs")

    def interrupt(run, count, total):
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fuse(planted, STRATEGIES, runs, QUICK, seeds=3, processes=1, progress=interrupt)
    # the first of all is done again after others that are there
    (runs.path("hierarchical/concatenation/average", 1) / "run.json").unlink()
    fuse(planted, STRATEGIES, runs, QUICK, seeds=3, processes=1)
    assert stored(runs) == stored(done)


def test_what_was_added_up_in_another_order_is_made_again_and_nothing_else(planted, done, tmp_path):
    """Earlier versions took the members as they were finished."""
    runs = Runs(tmp_path / "runs")
    fuse(planted, STRATEGIES, runs, QUICK, seeds=3, processes=1)
    path = runs.path("late/vote", 2) / "run.json"
    record = read_record(path, "")
    record["settings"][MEMBERS] = dict(reversed(record["settings"][MEMBERS].items()))
    del record["settings"][LIBRARY]
    write_record(path, record)
    again = []
    fuse(planted, STRATEGIES, runs, QUICK, seeds=3, processes=1, progress=lambda run, *_: again.append(run))
    assert [(run.strategy, run.seed) for run in again] == [("late/vote", 2)]
    assert stored(runs) == stored(done)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_every_seed_counts_in_a_report(done, name):
    comparison = compare(done.folder.parent, resamples=20)
    assert not comparison.study.failed
    candidate = comparison.study.candidate(name)
    assert candidate.seeds == (1, 2, 3)
    assert candidate.ensemble is not None
    # the draws differ, so do features and notes: all of them are told
    assert set(candidate.features) == {feature for run in candidate.runs for feature in run.features}


def changed(source, target, seed, change, name):
    """A copy of the runs in which `change` was done to the record of one."""
    for path in source.folder.rglob("*"):
        if path.is_file():
            copy = target.folder / path.relative_to(source.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    path = target.path(name, seed) / "run.json"
    record = read_record(path, "")
    change(record)
    write_record(path, record)
    return [line.partition(":")[0] for line in compare(target.folder.parent, resamples=20).study.failed]


@pytest.mark.parametrize("name", ENSEMBLES)
def test_an_ensemble_of_other_strategies_is_no_repetition(done, tmp_path, name):
    def fewer(record):
        record["settings"][LIBRARY] = record["settings"][LIBRARY][1:]

    assert changed(done, Runs(tmp_path / "runs"), 2, fewer, name) == [f"{name}, seed 2"]


def test_an_ensemble_of_members_on_other_terms_is_no_repetition(done, tmp_path):
    def longer(record):
        record["settings"]["epochs"] = 50

    failed = changed(done, Runs(tmp_path / "runs"), 3, longer, "baseline/average")
    assert {"baseline/average, seed 3", "late/vote, seed 3"} <= set(failed)


def test_ensembles_that_do_not_say_what_they_chose_from_count_all_the_same(done, tmp_path):
    """Those of earlier versions."""
    runs = Runs(tmp_path / "runs")
    for run in done:
        settings = {key: value for key, value in run.settings.items() if key != LIBRARY}
        runs.write(dataclasses.replace(run, settings=settings))
    (runs.folder / "products.npz").write_bytes((done.folder / "products.npz").read_bytes())
    study = compare(tmp_path, resamples=20).study
    assert not study.failed
    assert all(study.candidate(name).seeds == (1, 2, 3) for name in ENSEMBLES)
