"""The comparison of a notebook."""

from functools import partial

import numpy as np
import pytest

from fusecat.pipeline.compare import compare as several
from fusecat.pipeline.report.comparison import compare as report
from fusecat.pipeline.report.pooling import pool
from fusecat.pipeline.report.repeated import Over
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.estimator import FusionClassifier
from fusecat.stages.fusion.fit_settings import FitSettings

CHECKED = FitSettings(learning_rate=5e-2, epochs=25, least_steps=8)

compare = partial(several, splits=1)


def arrays(n=240, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    words = np.eye(3)[labels] @ random.normal(size=(3, 5)) * 2 + random.normal(size=(n, 5))
    pixels = np.eye(3)[labels] @ random.normal(size=(3, 8)) + random.normal(size=(n, 8))
    return {"words": words, "pixels": pixels}, np.array(["x", "y", "z"])[labels]


WRONG = """
from fusecat import MergeModule


class Shape(MergeModule):
    def forward(self, vectors, present):
        return vectors


class Signature(MergeModule):
    def forward(self, vectors):
        return vectors.mean(1)


class Foreign:
    pass
"""


@pytest.mark.parametrize(
    ("merge", "told"),
    [
        ("Shape", "the result must be"),
        ("Signature", "positional argument"),
        ("Foreign", "inherits from fusecat.MergeModule"),
        ("Gone", "no merge at"),
    ],
)
def test_a_wrong_merge_is_refused_from_the_call_itself(tmp_path, monkeypatch, merge, told):
    (tmp_path / "wrong_merges.py").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    features, labels = arrays(60)
    name, columns = f"wrong_merges:{merge}", {"words": slice(0, 5), "pixels": slice(5, 13)}
    model = FusionClassifier(f"baseline/{name}", features=columns)
    for call in (
        lambda: several(features, labels, fusion=name),
        lambda: model.fit(np.hstack([*features.values()]), labels),
    ):
        with pytest.raises(UsageError, match=told) as refused:
            call()
        assert "\n" not in str(refused.value) and refused.value.__cause__ is None
        assert len(refused.traceback) <= 4, "a caller reads the line, not our frames"


def test_a_dict_of_arrays_gives_a_comparison():
    features, labels = arrays()
    logits = {name: array[:, :3] for name, array in features.items()}
    found = compare(features, labels, logits=logits, fusion="average", seeds=2, settings=CHECKED)
    names, scores = ([line[key] for line in found.table] for key in ("strategy", "validation"))
    assert {"baseline/average", "probe/words", "unimodal/pixels", "late/mean", "late/probes"} <= set(names)
    # two features have no parts: flat is the same function, and no row of its own
    assert found.row("flat/average").candidate.names == ("baseline/average", "flat/average")
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.7
    assert names[0] == found.chosen.strategy


def test_a_notebook_sees_intervals_tests_and_the_verdict_of_the_report(tmp_path):
    features, labels = arrays()
    found = compare(features, labels, fusion="average", seeds=2, settings=CHECKED, workspace=tmp_path)
    kept = report(tmp_path)
    assert found.table == kept.table and found.verdict == kept.verdict
    against = {line["strategy"]: line["p"] for line in found.table}
    assert against[found.reference] is None and against[found.headline.one] == found.headline.p
    assert all(line["low"] <= line["test"] <= line["high"] for line in found.table)
    lines = str(found).splitlines()
    assert len(lines) == len(found.table) + 2 + len(found.left_out) and found.verdict in lines
    shown = compare({"<b>": features["words"], "pixels": features["pixels"]}, labels, fusion="average", seeds=1)._repr_html_()
    assert "<table>" in shown and "probe/&lt;b&gt;" in shown and "<b>" not in shown
    assert found.to_html().startswith("<!doctype html>") and found.verdict.split(". ")[0] in found.to_html()


def test_absent_rows_of_a_dict_do_not_matter():
    features, labels = arrays()
    mask = np.random.default_rng(1).random(len(labels)) < 0.5
    garbage = {**features, "pixels": np.where(mask[:, None], features["pixels"], 1e3)}
    options = {"present": {"pixels": mask}, "fusion": "average", "seeds": 1, "settings": CHECKED}
    assert compare(features, labels, **options).table == compare(garbage, labels, **options).table


def test_arrays_that_do_not_agree_are_refused():
    features, labels = arrays()
    with pytest.raises(ValueError, match=r"'words' has shape \(240, 5\); it must be \(100, width\)"):
        compare(features, labels[:100])
    with pytest.raises(ValueError, match="NaN"):
        compare({**features, "words": features["words"] * np.nan}, labels)


def test_runs_of_a_notebook_can_be_kept_for_the_report(tmp_path):
    features, labels = arrays()
    compare(features, labels, fusion="average", seeds=1, settings=CHECKED, workspace=tmp_path)
    assert (tmp_path / "runs" / "baseline" / "average" / "seed-1" / "run.json").is_file()


def test_the_names_of_the_readme_are_fused():
    """A feature called "image" is the user's own, and no image of a product, as long as no network stands before the dot."""
    features, labels = arrays()
    named = {"text": features["words"], "image": features["pixels"]}
    found = compare(named, labels, fusion="average", seeds=1, settings=CHECKED)
    assert {"baseline/average", "flat/average"} <= {name for row in found.rows for name in row.candidate.names}


def test_what_is_left_out_is_named():
    features, labels = arrays()
    found = compare(features, labels, fusion="average", seeds=1, settings=CHECKED)
    assert any("no network has features of two parts" in line for line in found.left_out)
    assert "left out: 3 of hierarchical, such as hierarchical/concatenation/average (no network" in str(found)


def test_other_labels_never_meet_the_runs_of_before(tmp_path):
    features, labels = arrays()
    options = {"fusion": "average", "seeds": 1, "settings": CHECKED}
    first = compare(features, labels, workspace=tmp_path, **options)
    labels[0] = "x" if labels[0] != "x" else "y"
    again, alone = compare(features, labels, workspace=tmp_path, **options), compare(features, labels, **options)
    assert again.table == alone.table != first.table


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"fusion": "nonsense"}, UsageError, "no merge is called 'nonsense'"),
        ({"seeds": 0}, ValueError, "at least one"),
        ({"metric": "beauty"}, ValueError, "beauty"),
        ({"metric": max}, ValueError, "a name or a Metric is needed"),
        ({"seeds": 1.5}, ValueError, "seeds=1.5: a whole number is needed"),
        ({"splits": "3"}, ValueError, "splits='3': a whole number"),
        ({"random_state": None}, ValueError, "random_state=None: a whole number"),
        ({"random_state": -1}, ValueError, "a seed is 0 or more"),
        ({"processes": 0}, ValueError, "processes=0"),
        ({"fusion": ["average"]}, ValueError, "the name of one merge"),
        ({"settings": "fast"}, ValueError, "settings='fast' is not known; choose from default"),
        ({"settings": {"epochs": 3}}, ValueError, "or a FitSettings is needed"),
        ({"only": "words"}, ValueError, r"pass a list of features, \['words'\]"),
        ({"workspace": __file__}, ValueError, "is a file; pass a folder"),
        ({"features": {}}, ValueError, "no feature to compare"),
        ({"present": {"wrods": np.ones(240, bool)}}, ValueError, "present names 'wrods', which is no feature"),
        ({"present": {"words": np.ones(7, bool)}}, ValueError, r"present\['words'\] has shape \(7,\); it must be \(240,\)"),
        ({"logits": {"words": np.ones((240, 1))}}, ValueError, r"has shape \(240, 1\); it must be \(240, 3\)"),
        ({"logits": {"words": np.full((240, 3), np.nan)}}, ValueError, "NaN"),
        ({"labels": np.full(240, np.nan)}, ValueError, "NaN"),
        ({"labels": np.zeros((240, 2))}, ValueError, "1d array"),
    ],
)
def test_what_cannot_be_compared_is_refused(options, error, reason):
    features, labels = arrays()
    given = {"features": features, "labels": labels} | options
    with pytest.raises(error, match=reason):
        compare(given.pop("features"), given.pop("labels"), **given)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\\b", "words.", " words", "a\nb", "x" * 201])
def test_a_name_that_is_no_file_s_is_refused(name, tmp_path):
    features, labels = arrays()
    with pytest.raises(ValueError, match="must be a file's"):
        compare({name: features["words"]}, labels, workspace=tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_copies_on_both_sides_are_warned_of_and_with_groups_noise_stays_noise():
    random = np.random.default_rng(0)
    noise, labels = (
        {"words": random.normal(size=(300, 150)), "pixels": random.normal(size=(300, 150))},
        random.integers(0, 5, 300),
    )
    twice, labels, copies = {name: np.r_[rows, rows] for name, rows in noise.items()}, np.r_[labels, labels], np.r_[:300, :300]
    options = {"fusion": "average", "seeds": 1, "settings": CHECKED, "metric": "accuracy"}
    with pytest.warns(UserWarning, match=r"validation and test rows have the vectors of a row of train .*pass groups="):
        flattered = compare(twice, labels, **options)
    honest = compare(twice, labels, groups=copies, **options)  # warnings are errors here
    majority = np.bincount(labels).max() / len(labels)
    assert flattered.table[0]["test"] > majority + 0.3
    assert honest.table[0]["test"] < majority + 0.1
    assert any("pass groups=" in line for line in flattered.left_out) and "pass groups=" in str(flattered)
    assert "near" not in str(honest) and "pass groups=" in flattered._repr_html_()


def test_a_notebook_sees_the_table_without_asking():
    features, labels = arrays()
    found = compare(features, labels, fusion="average", seeds=1, settings=CHECKED)
    assert repr(found) == str(found) and repr(found).startswith("strategy")


def test_rare_and_many_classes_run_as_on_the_command_line():
    features, labels = arrays()
    options = {"fusion": "average", "seeds": 1, "settings": CHECKED, "metric": "accuracy"}
    with pytest.warns(UserWarning, match="1 single member classes, first type code w: one product only: kept in train"):
        assert compare(features, np.r_[["w"], labels[1:]], **options).table
    assert compare(features, np.arange(240) % 40, **options).table
    for few, reason in ((np.zeros(240), "at least two classes"), ([None, *labels[1:]], "labels: row 0 has none")):
        with pytest.raises(ValueError, match=reason):
            compare(features, few, **options)


def test_a_split_of_ones_own_without_test_is_judged_on_validation():
    features, labels = arrays()
    parts = np.array(["train", "train", "train", "val"])[np.arange(240) % 4]
    found = compare(features, labels, split=parts, fusion="average", seeds=1, settings=CHECKED)
    assert found.report_part == "validation" and "test" not in found.table[0]


def test_vectors_are_compared_over_five_splits_each_of_which_chooses_by_itself(tmp_path):
    features, labels = arrays(400)
    random = np.random.default_rng(2)
    features = {name: array + 3 * random.normal(size=array.shape) for name, array in features.items()}
    options = {"fusion": "average", "seeds": 2, "settings": CHECKED}
    found = several(features, labels, workspace=tmp_path, **options)
    assert len(found.splits) == 5 and found.pool.over is Over.SPLITS and found.pool.units == 5
    tests = [frozenset(each.study.products.rows("test")) for each in found.splits]
    assert len(set(tests)) == 5
    alone = several(features, labels, splits=1, random_state=1, **options)
    assert alone.table == found.splits[1].table
    assert found.pool == pool([report(tmp_path / f"split-{number}") for number in range(1, 6)])
    best = found.table[0]
    assert best["strategy"] == found.chosen and best["low"] < best["test"] < best["high"] and len(best["splits"]) == 5
    assert sum(line["chosen"] for line in found.table) == 5
    gains = [
        each.chosen.parts["test"]["macro_f1"].mean
        - next(row for row in each.rows if row.candidate.single).parts["test"]["macro_f1"].mean
        for each in found.splits
    ]
    assert found.pool.gain.value == pytest.approx(np.mean(gains))
    share = len(alone.study.products.rows("test")) / len(alone.study.products.rows("train"))
    assert found.pool.gain.error == pytest.approx(np.std(gains, ddof=1) * np.sqrt(1 / 5 + share))
    assert 0 <= found.pool.of_seeds <= 1 and "of the variance between splits" in found.verdict
    assert found.verdict in str(found) and "<table>" in found._repr_html_() and found.to_html().startswith("<!doctype html>")


def test_groups_stay_together_in_every_split():
    features, labels = arrays(120)
    twice = {name: np.repeat(array, 2, axis=0) for name, array in features.items()}
    found = several(twice, np.repeat(labels, 2), groups=np.arange(240) // 2, splits=2, fusion="average", seeds=1)
    for each in found.splits:
        assert (each.study.products.split[::2] == each.study.products.split[1::2]).all()


@pytest.mark.parametrize("given", ["split", "logits"])
def test_what_fixes_the_rows_is_one_split(given):
    features, labels = arrays()
    fixed = {"split": np.resize(["train", "train", "validation", "test"], 240), "logits": {"words": features["words"][:, :3]}}
    options = {given: fixed[given], "fusion": "average", "seeds": 1, "settings": CHECKED}
    assert not hasattr(several(features, labels, **options), "splits")
    with pytest.raises(ValueError, match=f"{given}= fixes where rows are"):
        several(features, labels, splits=3, **options)
    with pytest.raises(ValueError, match="at least one"):
        several(features, labels, splits=0)
