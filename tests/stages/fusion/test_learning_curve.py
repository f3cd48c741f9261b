"""Curves rise where labels help, draws are nested and hold every class, and a planted power law is continued."""

from itertools import pairwise

import numpy as np
import pytest

from fusecat.stages.fusion.fit_data import gather
from fusecat.stages.fusion.fit_settings import DEFAULT, FitSettings
from fusecat.stages.fusion.learning_curve import doubled, learning_curve, part_of
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import MACRO_F1
from tests.stages.fusion.synthetic import table

QUICK = FitSettings(epochs=8, steps=0)


def test_a_smaller_draw_lies_inside_a_larger_one_and_holds_every_class():
    labels = np.repeat(np.arange(4), [1, 5, 30, 64])
    rows = np.arange(100) + 7
    draws = [set(part_of(rows, labels, share, 3).tolist()) for share in (0.1, 0.2, 0.5, 1.0)]
    assert all(small <= large for small, large in pairwise(draws)) and len(draws[-1]) == 100
    assert [len(draw) for draw in draws[:3]] == [1 + 1 + 3 + 6, 1 + 1 + 6 + 13, 1 + 2 + 15 + 32]
    assert {int(labels[row - 7]) for row in draws[0]} == {0, 1, 2, 3}
    assert draws[0] != set(part_of(rows, labels, 0.1, 4).tolist())


def test_more_labels_help_a_head_that_has_few():
    data = gather(table({"a.title": 30, "b.image": 30}, products=800, signal=0.35), ["a.title", "b.image"], ("train",),
                  standardise=DEFAULT.standardise)  # fmt: skip
    told = []
    strategy = Strategy.parse("flat/average")
    points = learning_curve(data, strategy, QUICK, MACRO_F1, "test", progress=lambda *at: told.append(at), held={})
    assert [point.share for point in points] == [0.1, 0.2, 0.5, 1.0] and points[-1].labels == len(data.rows["fit"])
    means = [np.mean([MACRO_F1.of(outcome) for outcome in point.outcomes]) for point in points]
    assert means[-1] > means[0] + 0.05
    assert told[-1] == (12, 12)
    alone = data.fit(Strategy.parse("flat/average"), QUICK, seed=1, metric=MACRO_F1)
    assert alone.head.features == ("a.title", "b.image")


def test_a_power_law_is_continued_and_nothing_promises_a_loss():
    labels = [100, 200, 500, 1000]
    errors = 0.9 * np.array(labels, float) ** -0.3
    assert doubled(labels, errors) == pytest.approx(0.9 * 2000**-0.3)
    both = np.stack([errors, errors[::-1]], axis=1)
    assert doubled(labels, both) == pytest.approx([0.9 * 2000**-0.3, errors[0]])
