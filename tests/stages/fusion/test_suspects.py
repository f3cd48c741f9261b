"""Planted wrong labels are found first; vectors that have learnt the labels are never asked."""

from dataclasses import replace

import numpy as np
import pytest

from fusecat.stages.errors import DataError
from fusecat.stages.fusion.suspects import by_class, confident, suspects
from tests.stages.fusion.synthetic import table


def planted(share: float = 0.05, **options):
    """A table of which some training labels were turned to the next class; those rows."""
    made = table({"a.title": 8, "b.image": 8}, products=800, signal=2.0, **options)
    rows = np.random.default_rng(5).permutation(made.rows("train"))[: round(share * 400)]
    labels = made.labels.copy()
    labels[rows] = (labels[rows] + 1) % 4
    return replace(made, labels=labels), set(rows.tolist())


def test_planted_errors_are_doubted_and_little_else():
    made, wrong = planted()
    found = suspects(made, ["a.title", "b.image"])
    assert found.used == ("a.title", "b.image") and found.examined == len(made.rows("train"))
    assert set(found.rows.tolist()) <= set(made.rows("train").tolist())
    hits = wrong.intersection(found.rows.tolist())
    assert len(hits) >= 0.85 * len(found.rows), "few others"
    assert len(hits) >= 0.6 * len(wrong), "a class's threshold is a mean, which not all reach"
    back = {
        row: suggested for row, suggested in zip(found.rows.tolist(), found.suggested.tolist(), strict=True) if row in wrong
    }
    assert np.mean([(made.labels[row] - 1) % 4 == suggested for row, suggested in back.items()]) > 0.95
    assert sum(by_class(made.labels, found, made.classes).values()) == len(found.rows)


def test_a_copy_does_not_vouch_for_its_own_label():
    made = table({"a.title": 200}, products=400, signal=0.6)
    twice = np.repeat(np.arange(400), 2)
    vectors = made.features["a.title"]
    labels = made.labels.copy()
    wrong = made.rows("train")[:20]
    labels[wrong] = (labels[wrong] + 1) % 4
    copies = replace(
        made,
        ids=np.array([f"{made.ids[row]}-{at % 2}" for at, row in enumerate(twice)]),
        labels=labels[twice],
        split=made.split[twice],
        features={"a.title": replace(vectors, embedding=vectors.embedding[twice], present=vectors.present[twice], logits=None)},
        groups=twice,
    )

    def hits(of):
        return int(np.isin(twice[suspects(of, ["a.title"]).rows], wrong).sum())

    assert hits(copies) > 2 * hits(replace(copies, groups=None))


def test_clean_labels_are_hardly_doubted_and_the_gap_orders_them():
    made, _ = planted(0.0)
    found = suspects(made, ["a.title", "b.image"])
    assert len(found.rows) < 0.05 * found.examined
    assert (np.diff(found.own - found.other) >= 0).all() and (found.other > found.own).all()


def test_only_what_has_not_learnt_the_labels_is_asked():
    made, wrong = planted()
    oof = replace(made.features["a.title"], logits_oof=made.features["a.title"].logits)
    mixed = replace(made, features={"a.title": oof, "b.image": made.features["b.image"]})
    assert suspects(mixed, []).used == ("a.title",)
    with pytest.raises(DataError, match="--labels: no feature has out-of-fold logits"):
        suspects(made, [])
    gone = replace(oof, present=oof.present & (np.arange(800) % 2 == 0))
    assert suspects(replace(mixed, features={"a.title": gone}), []).examined < 300 and wrong


def test_a_class_that_is_hard_to_tell_asks_for_less():
    """Class 1 asks for 0.4, what its own get on average, class 0 for 0.75."""
    told = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.45, 0.55]])
    places, suggested, own, other = confident(told, np.array([0, 0, 1, 1, 0]))
    assert (places.tolist(), suggested.tolist()) == ([4], [1])
    assert (own[0], other[0]) == pytest.approx((0.45, 0.55))
    assert confident(np.array([[0.9, 0.1], [0.9, 0.1], [0.7, 0.3]]), np.array([0, 0, 1]))[0].tolist() == []
