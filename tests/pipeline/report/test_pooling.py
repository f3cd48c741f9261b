from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from fusecat.pipeline.report.comparison import compare, compare_study
from fusecat.pipeline.report.contrasts import confidence
from fusecat.pipeline.report.pooled import lines, print_pool
from fusecat.pipeline.report.pooling import pool
from fusecat.pipeline.report.repeated import Over, Repeated
from fusecat.pipeline.report.results import Candidate, Study
from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.runs import Products, Run
from fusecat.stages.metrics import MACRO_F1
from fusecat.stages.scores import Outcome
from fusecat.stages.study_record import StudyRecord
from fusecat.stages.workspace import Workspace
from tests.pipeline.report.studies import make_study
from tests.pipeline.report.test_comparison import FEW


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    root = tmp_path_factory.mktemp("studies")
    same = [make_study(root / f"same{seed}", strategies=FEW, seed=seed) for seed in (1, 2, 3)]
    ids = [[f"{seed}-{at}" for at in range(450)] for seed in (4, 5)]
    other = [
        make_study(root / f"other{seed}", strategies=FEW[1:], seed=seed, ids=of) for seed, of in zip((4, 5), ids, strict=True)
    ]
    return same, other


def test_studies_of_one_catalogue_are_repetitions(studies):
    comparisons = [compare(root, resamples=20) for root in studies[0]]
    pooled = pool(comparisons)
    assert pooled.same and pooled.critical is None
    row = pooled.rows[0]
    values = [comparison.row(row.strategy).parts["test"]["macro_f1"].mean for comparison in comparisons]
    assert row.values == pytest.approx(values)
    assert pooled.over is Over.NETWORKS and pooled.units == 1 and row.low < row.mean < row.high
    assert len(lines(pooled)) == len(FEW)


def test_several_catalogues_are_ranked_and_only_there_a_critical_difference_is_drawn(studies):
    pooled = pool([compare(root, resamples=20) for root in (studies[0][0], *studies[1])])
    assert not pooled.same and pooled.critical > 0
    assert pooled.left_out == (FEW[0],)
    count = len(pooled.rows)
    assert sum(row.rank for row in pooled.rows) == pytest.approx(count * (count + 1) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"info": {"metric": "accuracy"}}, "their metrics are macro-f1 and accuracy"),
        ({"products": {"train": 60, "validation": 90}}, "judged on test, the other on validation"),
        ({"codes": list("uvwxyz")}, "carry other type codes"),
        ({"products": {"train": 60, "validation": 90, "test": 120}}, "share 270 product ids"),
    ],
)
def test_anything_else_is_refused_with_the_difference(studies, tmp_path, change, message):
    other = make_study(tmp_path, strategies=FEW, **change)
    with pytest.raises(UsageError, match=message):
        pool([compare(studies[0][0], resamples=20), compare(other, resamples=20)])


def test_no_interval_of_a_pool_contradicts_the_word_beside_it(studies):
    pooled = pool([compare(root, resamples=50) for root in studies[0]])
    told = [row for row in pooled.rows if row.difference is not None]
    assert told and all(row.real == (not row.level_low <= 0 <= row.level_high) for row in told)
    assert all(row.level_low <= row.difference_low <= row.difference_high <= row.level_high for row in told)
    best = next(row for row in pooled.rows if row.strategy != pooled.reference)
    assert f"{confidence(best.level)} interval {MACRO_F1.gains(best.level_low, best.level_high)}" in pooled.verdict


def test_one_workspace_is_no_pool(studies):
    comparison = compare(studies[0][0], resamples=20)
    with pytest.raises(UsageError, match="two or more different"):
        pool([comparison, comparison])


def test_the_pool_is_printed_and_written(studies, capsys):
    print_pool(studies[0])
    assert "one test set" in " ".join(capsys.readouterr().out.split())
    names = {path.name for path in (studies[0][0] / "report").iterdir()}
    assert {"pool.html", "pool.json", "pool.md"} <= names


def in_memory(values, *, split_seed=0, products=400, seed=0):
    """A comparison of two features' networks with these shares of right answers; `split_seed` decides which products judge."""
    fixed, random = np.random.default_rng(split_seed), np.random.default_rng(seed)
    labels = (np.arange(products) % 4).astype(np.int32)
    split = fixed.permutation(np.repeat([0, 1, 2], [products // 2, products // 4, products // 4])).astype(np.uint8)
    ids = np.array([f"{products}-{number}" for number in range(products)])
    known = Products(ids, labels, split, tuple("abcd"), ("train", "validation", "test"), "x")
    rows = {part: known.rows(part) for part in ("validation", "test")}
    candidates = []
    for name, share in values.items():
        said = np.where(random.random(products) < share, labels, (labels + 1) % 4).astype(np.int32)
        outcomes = {
            part: (Outcome(labels[of], said[of], said[of], *[np.full(len(of), 0.5, np.float32)] * 2),)
            for part, of in rows.items()
        }
        marks = {part: {"macro_f1": float(np.mean(said[of] == labels[of]))} for part, of in rows.items()}
        run = Run(f"unimodal/{name}", "unimodal", None, None, (name,), 0, (), 0, 0.0, 0.0, {}, marks)
        candidates.append(Candidate((run,), outcomes))
    study = Study(Workspace(Path(f"{split_seed}-{seed}")), StudyRecord(), known, tuple(candidates), MACRO_F1)
    return compare_study(study, resamples=20)


def test_splits_of_one_catalogue_are_not_independent():
    """Nadeau and Bengio's factor on the spread over splits; the networks of one split are averaged first."""
    shares = {"a.title": 0.8, "b.title": 0.7}
    several = [in_memory(shares, split_seed=split, seed=10 * split + seed) for split in (1, 2, 3) for seed in (0, 1)]
    known = Repeated.of(several, ["unimodal/a.title", "unimodal/b.title"])
    assert known.over is Over.SPLITS and known.units == ((0, 1), (2, 3), (4, 5)) and known.share == pytest.approx(0.5)
    gaps = (known.values[0] - known.values[1]).reshape(3, 2).mean(axis=1)
    error = np.sqrt((1 / 3 + 0.5) * gaps.var(ddof=1))
    found = known.difference(0, 1)
    assert found.value == pytest.approx(gaps.mean())
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 2) * error)
    assert found.p == pytest.approx(2 * t.sf(abs(gaps.mean()) / error, 2))


def test_networks_on_one_test_set_keep_the_doubt_about_its_products():
    """Networks that agree to the letter repeat nothing: what remains is the bootstrap of the products."""
    shares = {"a.title": 0.8, "b.title": 0.7}
    copies = [in_memory(shares) for _ in range(3)]
    alone = copies[0]
    known = Repeated.of(copies, ["unimodal/a.title", "unimodal/b.title"], resamples=1000)
    assert known.over is Over.NETWORKS
    alone = compare_study(alone.study, resamples=1000)
    contrast = next(each for each in alone.contrasts if {each.one, each.other} == {"unimodal/a.title", "unimodal/b.title"})
    assert known.difference(0, 1).error == pytest.approx(contrast.difference.error, rel=1e-6)
    others = [in_memory(shares, seed=seed) for seed in (0, 1, 2)]
    found = Repeated.of(others, ["unimodal/a.title", "unimodal/b.title"], resamples=1000)
    gaps = found.values[0] - found.values[1]
    assert found.difference(0, 1).error ** 2 > gaps.var(ddof=1) / 3


def test_workspaces_of_one_catalogue_are_one_block_among_catalogues():
    shares = {"a.title": 0.8, "b.title": 0.7}
    pooled = pool([in_memory(shares), in_memory(shares, seed=1), in_memory(shares, products=480, seed=2)])
    assert pooled.over is Over.CATALOGUES and pooled.units == 2
