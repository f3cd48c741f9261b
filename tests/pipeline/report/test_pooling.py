import numpy as np
import pytest
from scipy.stats import t

from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.pooled import lines, print_pool
from fusecat.pipeline.report.pooling import pool
from fusecat.stages.errors import UsageError
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
    half = t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert (row.low, row.high) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
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


def test_one_workspace_is_no_pool(studies):
    comparison = compare(studies[0][0], resamples=20)
    with pytest.raises(UsageError, match="two or more different"):
        pool([comparison, comparison])


def test_the_pool_is_printed_and_written(studies, capsys):
    print_pool(studies[0])
    assert "one catalogue" in " ".join(capsys.readouterr().out.split())
    names = {path.name for path in (studies[0][0] / "report").iterdir()}
    assert {"pool.html", "pool.json", "pool.md"} <= names
