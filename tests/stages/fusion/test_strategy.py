"""Names, plans and wirings."""

import itertools
import subprocess
import sys

import pytest

from fusecat.stages.errors import UsageError
from fusecat.stages.fusion.feasible import feasible
from fusecat.stages.fusion.strategy import FUSED, THESIS_MERGES, Strategy
from fusecat.stages.fusion.strategy_plan import plan
from fusecat.stages.fusion.wiring import Unwirable, canonical, wire
from fusecat.stages.vocabulary import Architecture, Merge
from tests.stages.fusion.synthetic import SEVEN, table


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
    assert [name for name in found if not name.startswith(("probe", "unimodal", "late", "logistic"))] == [
        "hierarchical/addition/average"
    ]


def test_late_fusion_stands_beside_each_set_of_features_on_equal_terms():
    found = [name for name in names(plan("average", SEVEN)) if name.startswith("late/")]
    ways = ("mean", "probes", "calibrated")
    assert found == [f"late/{way}{kind}" for kind in ("", "@flat", "@baseline") for way in ways]
    flat = Strategy.parse("late/mean@flat")
    assert flat.within(SEVEN) == wire(Architecture.FLAT, SEVEN).features and len(flat.within(SEVEN)) == 5
    # where an architecture takes all there is, its set is no other row
    pair = ("words.title", "pixels.image")
    assert [name for name in names(plan("average", pair)) if "late" in name] == [f"late/{way}" for way in ways]


def test_a_logistic_regression_stands_beside_each_set_of_features():
    found = plan("average", SEVEN, architecture=Architecture.LOGISTIC).strategies
    assert [strategy.name for strategy in found if strategy.logistic] == ["logistic/flat", "logistic/baseline"]
    assert not any(strategy.architecture in FUSED for strategy in found)
    with pytest.raises(UsageError, match="logistic/flat"):
        Strategy.parse("logistic/average")
    made = table(dict.fromkeys(("words.title", "pixels.image"), 2000), products=4000, classes=60)
    large = plan("average", made.features)
    assert "--architecture logistic" in feasible(made, large).left_out["logistic/baseline"]
    assert "logistic/baseline" not in feasible(made, large, patient=True).left_out


def test_text_is_what_baseline_takes_without_the_image():
    assert wire(Architecture.TEXT, SEVEN).singles == ("camembert.title_description", "flaubert.title_description")
    assert "text/average" in names(plan("average", SEVEN))
    texts = [name for name in SEVEN if not name.endswith(".image")]
    assert "text/average" not in names(plan("average", texts))
    assert not any(name.startswith("text/") for name in plan("average", texts).left_out)
    assert "no image to leave out" in plan("average", texts, architecture=Architecture.TEXT).left_out["text/average"]
    assert wire(Architecture.TEXT, wire(Architecture.TEXT, SEVEN).features) == wire(Architecture.TEXT, SEVEN)


def test_a_choice_of_features_is_in_the_names_of_what_fuses_them():
    chosen = ("se_resnext50.image", "camembert.title_description")
    subset = "camembert.title_description+se_resnext50.image"
    found = names(plan("average", SEVEN, only=chosen))
    assert f"baseline/average@{subset}" in found and f"late/mean@{subset}" in found
    assert {"probe/se_resnext50.image", "unimodal/camembert.title_description"} <= set(found) and len(found) == 10
    for name in found:
        strategy = Strategy.parse(name)
        assert strategy.name == name and set(strategy.within(SEVEN)) <= set(chosen)
    assert names(plan("average", SEVEN, only=list(SEVEN))) == names(plan("average", SEVEN))
    with pytest.raises(UsageError, match=r"did you mean camembert\.title"):
        plan("average", SEVEN, only=["camembert.titel"])
    assert "baseline/average@a+b+c" in names(plan("average", ["a+b", "c", "d"], only=["a+b", "c"]))
    with pytest.raises(UsageError, match="cannot be chosen by name"):
        plan("average", ["a@b", "c", "d"], only=["a@b", "c"])
    with pytest.raises(UsageError, match="could be others too"):
        plan("average", ["a+b", "a", "b", "c"], only=["a", "b"])
    with pytest.raises(UsageError, match="200 at most"):
        plan("average", [f"{'long' * 20}{at}" for at in range(5)], only=[f"{'long' * 20}{at}" for at in range(4)])


def kinds_of(*features):
    """Architecture -> the features that it takes, groups in tuples; the reason where it takes none."""
    found = {}
    for kind in (kind for kind in FUSED if kind is not Architecture.TEXT):
        try:
            wiring = wire(kind, features)
        except Unwirable as error:
            found[kind.value] = str(error)
        else:
            found[kind.value] = [*wiring.groups, *wiring.singles]
    return found


NO_PARTS = "no network has features of two parts of a product, such as title and description"


def test_two_features_of_any_name_are_fused():
    for pair in (("words.title", "pix.image"), ("a.title", "b.title"), ("words", "pixels"), ("text", "image")):
        pair = list(canonical(pair))
        assert kinds_of(*pair) == {"baseline": pair, "flat": pair, "hierarchical": NO_PARTS}
    assert kinds_of("words.title") == dict.fromkeys(
        ("baseline", "flat"), "a merge needs at least two features, and there is words.title alone"
    ) | {"hierarchical": NO_PARTS}


def test_baseline_takes_the_joined_text_else_what_there_is():
    found = kinds_of("a.title", "a.description", "a.title_description", "b.title", "c.brand", "c.title", "x.image", "mine")
    assert found["baseline"] == ["mine", "a.title_description", "b.title", "c.title", "c.brand", "x.image"]
    assert found["hierarchical"] == [("a.title", "a.description"), ("c.title", "c.brand"), "mine", "b.title", "x.image"]
    assert found["flat"] == ["mine", "a.title", "a.description", "b.title", "c.title", "c.brand", "x.image"]


def test_a_joined_text_without_two_parts_meets_the_one_part():
    found = kinds_of("a.title", "a.title_description", "x.image")
    assert found["baseline"] == ["a.title_description", "x.image"]
    assert found["hierarchical"] == [("a.title", "a.title_description"), "x.image"]


def test_a_picture_is_no_part_of_a_text():
    assert kinds_of("clip.title", "clip.image")["hierarchical"] == NO_PARTS
    assert kinds_of("clip.title", "clip.description")["hierarchical"] == "nothing stands beside the features of clip"


@pytest.mark.parametrize(
    ("lost", "kinds"), [("image", set()), ("description", set()), ("title_description", set()), ("title", set())]
)
def test_a_field_less_leaves_every_architecture(lost, kinds):
    found = plan("average", [name for name in SEVEN if not name.endswith(f".{lost}")])
    assert {name.partition("/")[0] for name in found.left_out} == kinds


def test_what_is_left_out_is_told_once_per_reason():
    found = plan("all", ["words", "pixels"])
    assert found.left_out_lines == [
        f"left out: {len(found.left_out)} of hierarchical, such as hierarchical/concatenation/concatenation ({NO_PARTS})"
    ]
    assert plan("average", ["words", "pixels"], architecture=Architecture.HIERARCHICAL, first="addition").left_out_lines == [
        f"left out: hierarchical/addition/average ({NO_PARTS})"
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(SEVEN))[::701])
def test_wiring_does_not_depend_on_the_order_of_features(order):
    for kind in (Architecture.BASELINE, Architecture.FLAT, Architecture.HIERARCHICAL):
        assert wire(kind, order) == wire(kind, list(SEVEN))


def test_networks_are_neither_two_nor_named():
    features = [f"{network}.{field}" for network in ("a", "b", "c") for field in ("title", "description", "title_description")]
    features += ["x.image", "y.image", "d.title"]
    wiring = wire(Architecture.HIERARCHICAL, features)
    assert wiring.groups == tuple((f"{network}.title", f"{network}.description") for network in "abc")
    assert wiring.singles == ("d.title", "x.image", "y.image")
    assert wire(Architecture.BASELINE, features).singles == (
        *(f"{network}.title_description" for network in "abc"),
        "d.title",
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
