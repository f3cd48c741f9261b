"""Names, plans and wirings."""

import itertools
import subprocess
import sys

import pytest

from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.strategy import THESIS_MERGES, Strategy, Unwirable, plan, wire
from fusecat.stages.vocabulary import Architecture, Merge
from tests.stages.fusion.synthetic import SEVEN


def names(found):
    return [strategy.name for strategy in found.strategies]


@pytest.mark.parametrize("strategy", plan("all", SEVEN).strategies, ids=lambda strategy: strategy.name)
def test_a_name_read_back_is_the_strategy(strategy):
    assert Strategy.parse(strategy.name) == strategy


@pytest.mark.parametrize(
    "name", ["", "baseline", "baseline/", "hierarchical/average", "baseline/a/b", "mixture/average", "probe/"]
)
def test_a_name_that_is_none_is_refused_with_the_forms(name):
    with pytest.raises(UsageError, match="hierarchical/FIRST/FINAL"):
        Strategy.parse(name)


def test_one_merge_is_baseline_flat_and_every_thesis_first_merge():
    found = names(plan("average", SEVEN))
    assert found[:5] == [
        "baseline/average",
        "flat/average",
        "hierarchical/concatenation/average",
        "hierarchical/addition/average",
        "hierarchical/average/average",
    ]
    assert {name for name in found if name.startswith("probe/")} == {f"probe/{feature}" for feature in SEVEN}
    assert {name for name in found if name.startswith("unimodal/")} == {f"unimodal/{feature}" for feature in SEVEN}


def test_all_holds_the_twelve_thesis_strategies_their_controls_and_every_merge():
    found = set(names(plan("all", SEVEN)))
    assert {f"hierarchical/{first}/{final}" for first, final in itertools.product(THESIS_MERGES, THESIS_MERGES)} <= found
    assert {f"{kind}/{merge}" for kind, merge in itertools.product(("baseline", "flat"), Merge)} <= found


def test_a_variant_is_part_of_the_final_merges_name():
    strategy = Strategy.parse("hierarchical/average/average+layers")
    assert (strategy.merge, strategy.variant) == ("average", "layers")
    assert Strategy.parse("baseline/gated").variant is None
    with pytest.raises(UsageError, match="choose from dropout, layers"):
        assert Strategy.parse("baseline/average+more").variant
    found = names(plan("gated+dropout", SEVEN))
    assert {"baseline/gated+dropout", "hierarchical/average/gated+dropout"} <= set(found)


def test_options_narrow_the_plan():
    found = names(plan("average", SEVEN, architecture=Architecture.HIERARCHICAL, first="addition"))
    assert [name for name in found if not name.startswith(("probe", "unimodal", "late"))] == ["hierarchical/addition/average"]


@pytest.mark.parametrize(
    ("lost", "reason", "kinds"),
    [
        ("image", "no image feature", {"baseline", "flat", "hierarchical"}),
        ("description", "no text network has both a title and a description feature", {"flat", "hierarchical"}),
        ("title_description", "no text network has a title_description feature", {"baseline"}),
    ],
)
def test_what_lacks_its_features_is_left_out_with_the_reason(lost, reason, kinds):
    found = plan("average", [name for name in SEVEN if not name.endswith(f".{lost}")])
    assert {name.partition("/")[0] for name in found.left_out} == kinds
    assert set(found.left_out.values()) == {reason}
    assert not kinds & {strategy.architecture.value for strategy in found.strategies}


@pytest.mark.parametrize("order", list(itertools.permutations(SEVEN))[::701])
def test_wiring_does_not_depend_on_the_order_of_features(order):
    for kind in (Architecture.BASELINE, Architecture.FLAT, Architecture.HIERARCHICAL):
        assert wire(kind, order) == wire(kind, list(SEVEN))


def test_networks_are_neither_two_nor_named():
    features = [f"{network}.{field}" for network in ("a", "b", "c") for field in ("title", "description", "title_description")]
    features += ["x.image", "y.image", "d.title"]
    wiring = wire(Architecture.HIERARCHICAL, features)
    assert wiring.groups == tuple((f"{network}.title", f"{network}.description") for network in "abc")
    assert wiring.singles == ("x.image", "y.image")
    assert wire(Architecture.BASELINE, features).singles == (
        *(f"{network}.title_description" for network in "abc"),
        "x.image",
        "y.image",
    )
    assert wire(Architecture.FLAT, features).features == wiring.features


def test_features_with_names_of_ones_own_are_all_fused():
    assert wire(Architecture.BASELINE, ["words", "pixels"]).features == ("pixels", "words")
    assert wire(Architecture.HIERARCHICAL, ["words.a", "words.b", "pixels"]).groups == (("words.a", "words.b"),)
    with pytest.raises(Unwirable, match="at least two"):
        wire(Architecture.BASELINE, ["words"])


def test_names_and_plans_need_no_torch():
    code = "import sys, fusecat.stages.fusion.strategy, fusecat.stages.fusion.fit_settings\n"
    code += "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
