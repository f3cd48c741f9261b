"""Strategies in plain words."""

import pytest

from fusecat.pipeline.report.plain import in_words

TEXTS = ("camembert.title_description", "flaubert.title_description")


@pytest.mark.parametrize(
    ("strategy", "features", "said"),
    [
        ("baseline/average", (*TEXTS, "se.image"), "two text networks and the picture, merged by average"),
        ("baseline/gated", TEXTS[:1], "one text network, merged by gated"),
        ("flat/mlp", ("a.title", "a.description", "b.image", "c.image"), "one text network and two image networks"),
        ("hierarchical/average/gated", ("a.title", "a.description", "b.image"), "merged by average, then all by gated"),
        ("late/mean", (*TEXTS, "se.image"), "the answers of three networks, combined by mean"),
        (
            "late/mean@flat",
            ("a.title", "a.description", "b.title", "b.description", "c.image"),
            "the answers of two text networks and the picture on five features, combined by mean",
        ),
        (
            "late/probes@flat",
            (*TEXTS, "se.image"),
            "the mean of three linear layers, each on one feature of two text networks and the",
        ),
        ("late/vote", (*TEXTS, "se.image"), "the vote of all heads on two text networks and the picture"),
        ("late/selection", TEXTS, "the mean of strategies that validation selects, on two text networks"),
        ("late/calibrated", [f"n{at}.title" for at in range(12)], "the answers of 12 networks, combined by calibrated"),
        ("probe/a.title", ("a.title",), "a on the title, with a linear layer"),
        ("unimodal/a.brand", ("a.brand",), "a on the brand, alone"),
        ("unimodal/reference.tfidf.title", ("reference.tfidf.title",), "the reference tfidf on the title, alone"),
        ("something/else", ("a.title",), "something/else"),
    ],
)
def test_a_strategy_is_said_in_words(strategy: str, features: tuple[str, ...], said: str) -> None:
    assert said in in_words(strategy, features)
