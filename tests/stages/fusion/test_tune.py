"""Tuning: on validation only, resumable, never worse than where it began."""

import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from fusecat.cache.errors import DamagedFile
from fusecat.stages.fusion.fit_settings import SETTINGS, THESIS, TUNED, FitSettings
from fusecat.stages.fusion.fuse import fuse
from fusecat.stages.fusion.runs import Runs
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.fusion.tune import read_tuned, space, tune
from tests.names import HOSTILE
from tests.stages.fusion.synthetic import table
from tests.stages.fusion.test_merges import OWN

STRATEGIES = [Strategy.parse("baseline/average"), Strategy.parse("flat/gated")]
BASE = FitSettings(epochs=3)


def test_tuned_is_never_worse_than_untuned_on_validation_and_marked(tmp_path):
    made = table(products=160)
    best = tune(made, STRATEGIES, tmp_path / "tuning", trials=4, base=BASE)
    assert set(best) == {strategy.name for strategy in STRATEGIES}
    assert read_tuned(tmp_path / "tuning") == best
    plain = fuse(made, STRATEGIES, Runs(tmp_path / "plain"), BASE, seeds=2)
    tuned = fuse(made, STRATEGIES, Runs(tmp_path / "tuned"), BASE, seeds=2, tuned=best)
    for strategy in STRATEGIES:
        scores = [
            np.mean([run.scores["validation"]["macro_f1"] for run in runs if run.strategy == strategy.name])
            for runs in (plain, tuned)
        ]
        assert scores[1] >= scores[0] - 1e-9
    assert all(run.tuned for run in tuned)
    assert not any(run.tuned for run in plain)


def test_a_search_goes_on_where_it_ended(tmp_path):
    made = table(products=160)
    calls = []

    def count(*call):
        calls.append(call[1])

    tune(made, STRATEGIES[:1], tmp_path, trials=2, base=BASE, progress=count)
    tune(made, STRATEGIES[:1], tmp_path, trials=3, base=BASE, progress=count)
    assert calls == [1, 2, 3]
    tune(table(products=160, seed=5), STRATEGIES[:1], tmp_path, trials=1, base=BASE, progress=count)
    assert calls == [1, 2, 3, 1]


@pytest.mark.parametrize("name", HOSTILE)
def test_the_trials_lie_in_the_workspace_whatever_it_is_called(tmp_path, monkeypatch, name):
    monkeypatch.setattr("fusecat.stages.fusion.tune._value", lambda *_: 0.5)
    calls = []
    for trials in (2, 3):  # found again
        tune(
            table(products=160),
            STRATEGIES[:1],
            tmp_path / name / "tuning",
            trials=trials,
            base=BASE,
            progress=lambda *call: calls.append(call[1]),
        )
    assert calls == [1, 2, 3]
    assert (tmp_path / name / "tuning" / "trials.sqlite").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_test_labels_change_nothing(tmp_path):
    made = table(products=160)
    labels = made.labels.copy()
    labels[made.rows("test")] = 0
    other = dataclasses.replace(made, labels=labels, fingerprint="other")
    found = [tune(each, STRATEGIES[:1], tmp_path / each.fingerprint, trials=3, base=BASE) for each in (made, other)]
    assert found[0] == found[1]


def study_in(folder):
    return optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'trials.sqlite'}")


def settings_of(folder):
    return [trial.params for trial in study_in(folder).get_trials() if trial.state is TrialState.COMPLETE]


def test_in_several_calls_it_tries_what_it_tries_in_one(tmp_path):
    made = table(products=160)
    tune(made, STRATEGIES[:1], tmp_path / "one", trials=5, base=BASE)
    for trials in (2, 5):
        tune(made, STRATEGIES[:1], tmp_path / "two", trials=trials, base=BASE)
    tried = settings_of(tmp_path / "two")
    assert tried == settings_of(tmp_path / "one")
    assert len({str(each) for each in tried}) == 5


def test_the_base_is_tried_although_its_trial_was_killed(tmp_path, monkeypatch):
    made, base = table(products=160), dataclasses.replace(THESIS, epochs=3)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fusecat.stages.fusion.tune._value", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(made, STRATEGIES[:1], tmp_path, trials=2, base=base)
    study_in(tmp_path).ask()
    tune(made, STRATEGIES[:1], tmp_path, trials=1, base=base)
    assert settings_of(tmp_path) == [{name: getattr(base, name) for name in TUNED}]


def test_a_search_that_was_killed_tries_what_it_would_have_tried(tmp_path, monkeypatch):
    """SIGKILL leaves a trial running, here the third and the one after random sampling: both are done again."""
    made = table(products=160)
    monkeypatch.setattr(
        "fusecat.stages.fusion.tune._value", lambda *call: -abs(call[-1].learning_rate - 1e-3) - call[-1].dropout
    )
    tune(made, STRATEGIES[:1], tmp_path / "whole", trials=15, base=BASE)
    for trials in (2, 11, 15):
        tune(made, STRATEGIES[:1], tmp_path / "killed", trials=trials, base=BASE)
        study_in(tmp_path / "killed").ask()
    assert settings_of(tmp_path / "killed") == settings_of(tmp_path / "whole")
    tune(made, STRATEGIES[:1], tmp_path / "killed", trials=15, base=BASE)
    assert not study_in(tmp_path / "killed").get_trials(states=(TrialState.RUNNING,))


@pytest.mark.parametrize("decay", [0.0, 2.0])
def test_the_first_trial_is_the_base_itself_wherever_it_lies(tmp_path, monkeypatch, decay):
    tried, base = [], FitSettings(learning_rate=1e-5, weight_decay=decay, dropout=0.9)
    monkeypatch.setattr("fusecat.stages.fusion.tune._value", lambda *call: tried.append(call[-1]) or -float(len(tried)))
    assert tune(table(products=160), STRATEGIES[:1], tmp_path, trials=3, base=base) == {"baseline/average": base}
    assert tried[0] == base
    assert len(set(tried)) == 3


def test_a_fit_that_diverges_is_a_trial_and_never_the_best(tmp_path, monkeypatch):
    values = iter([float("nan"), 0.5, float("nan")])
    monkeypatch.setattr(
        "fusecat.stages.fusion.fit_data.fit", lambda *_, **__: SimpleNamespace(best_epoch=1, curve=[{"macro_f1": next(values)}])
    )
    monkeypatch.setattr("fusecat.stages.fusion.tune.SEEDS", (1,))
    tune(table(products=160), STRATEGIES[:1], tmp_path, trials=3, base=BASE)
    assert study_in(tmp_path).best_trial.number == 1


@pytest.mark.parametrize("base", [FitSettings(), THESIS], ids=["default", "thesis"])
def test_every_setting_can_be_searched_from_where_it_stands(base):
    ranges = space(base, SETTINGS)
    assert list(ranges) == [field.name for field in dataclasses.fields(FitSettings)]
    for name, within in ranges.items():
        assert within._contains(within.to_internal_repr(getattr(base, name))), name
        assert not within.single(), name


def test_other_settings_are_another_search_and_those_that_cannot_stand_together_never_win(tmp_path):
    search = ("loss", "missing_vector", "modality_dropout", "standardise", "patience")
    base = dataclasses.replace(BASE, modality_dropout=0.0)
    best = tune(table(products=160), STRATEGIES[:1], tmp_path, trials=8, base=base, search=search)["baseline/average"]
    tried = settings_of(tmp_path)
    assert {frozenset(each) for each in tried} == {frozenset(search)}
    assert len({each["loss"] for each in tried}) > 1 and len({each["standardise"] for each in tried}) > 1
    assert best.learning_rate == base.learning_rate and read_tuned(tmp_path) == {"baseline/average": best}


def test_a_second_process_waits_until_the_first_has_searched(tmp_path):
    made, said, second = table(products=160), [], []
    with ThreadPoolExecutor(1) as beside:

        def during(*_):
            if not second:
                call = {"trials": 2, "base": BASE, "waiting": lambda: said.append("waiting")}
                second.append(beside.submit(tune, made, STRATEGIES[:1], tmp_path, **call))
                while not said and not second[0].done():
                    time.sleep(0.01)

        first = tune(made, STRATEGIES[:1], tmp_path, trials=2, base=BASE, progress=during)
    assert second[0].result() == first
    assert said == ["waiting"]
    assert len(study_in(tmp_path).trials) == 2


def test_a_merge_of_ones_own_that_was_edited_is_tuned_anew(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("fusecat.stages.fusion.tune._value", lambda *_: 0.5)
    code, calls = tmp_path / "edited_for_tuning.py", []
    for text in (OWN, OWN, OWN.replace("-1e9", "-1e8")):
        code.write_text(text, encoding="utf-8")
        own = [Strategy.parse("baseline/edited_for_tuning:Halves", None)]
        tune(table(products=160), own, tmp_path / "tuning", trials=1, base=BASE, progress=lambda *call: calls.append(call[1]))
    assert calls == [1, 1]


@pytest.mark.parametrize(
    ("change", "sealed"),
    [
        (lambda data: b"", True),
        (lambda data: b"not SQLite", True),
        (lambda data: data[:5000], True),
        (lambda data: data.replace(b"dropout", b"dropouT"), True),
        (lambda data: b"not SQLite", False),  # as a search that was killed leaves it, without a digest
        (lambda data: data[:5000], False),
    ],
)
def test_damaged_trials_are_set_aside_and_searched_anew(tmp_path, monkeypatch, change, sealed):
    monkeypatch.setattr("fusecat.stages.fusion.tune._value", lambda *words: words[-1].learning_rate)
    made, told = table(products=60), []
    first = tune(made, STRATEGIES[:1], tmp_path, trials=3, base=BASE)
    path = tmp_path / "trials.sqlite"
    path.write_bytes(change(path.read_bytes()))
    if not sealed:
        path.with_name("trials.sqlite.sha256").unlink()
    assert tune(made, STRATEGIES[:1], tmp_path, trials=3, base=BASE, damaged=told.append) == first
    assert len(told) == 1
    assert str(path) in told[0]
    assert path.with_name("trials.sqlite.damaged").exists()


def test_settings_of_another_type_are_named(tmp_path):
    record = {"strategy": "baseline/average", "settings": {"learning_rate": "quick"}}
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "average.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(DamagedFile, match=r"average.json.*fusecat tune"):
        read_tuned(tmp_path)
