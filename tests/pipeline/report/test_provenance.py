from fusecat.pipeline.report.comparison import compare
from fusecat.pipeline.report.provenance import facts
from tests.pipeline.report.studies import make_study
from tests.pipeline.report.test_comparison import FEW


def told(tmp_path, split):
    return dict(facts(compare(make_study(tmp_path, strategies=FEW, info={"split": split}), resamples=20)))


def test_a_split_that_came_with_the_catalogue_has_neither_protocol_nor_seed(tmp_path):
    drawn = {"protocol": "80-20", "seed": 2020, "head_share": 0.2, "subset": None, "own": False}
    assert told(tmp_path / "drawn", drawn)["split"] == "80-20, seed 2020, 20% kept from the networks for heads"
    assert told(tmp_path / "own", drawn | {"own": True})["split"] == "given with the catalogue"


def test_what_nobody_recorded_is_left_out(tmp_path):
    assert "split" not in told(tmp_path, None)
