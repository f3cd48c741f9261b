"""The texts that stage one is timed on are as long as the catalogue's that they stand for."""

import numpy as np
import pytest
import torch

from benchmarks.product_texts import Padded, lengths


def test_made_up_lengths_have_the_known_medians_and_the_known_share_without_description() -> None:
    titles, bodies = lengths(50_000)
    assert np.median(titles) == 11
    assert np.median(titles + bodies) == pytest.approx(35, abs=2)
    assert (bodies == 0).mean() == pytest.approx(29_800 / 84_916, abs=0.01)
    assert 1000 < (titles + bodies).max() < 3000


def test_the_usual_way_pads_every_text_to_256_and_masks_what_it_added() -> None:
    tokens = [np.array([5, 9, 6], np.int32)]
    batch = Padded(tokens, 1, 3, frozenset({5, 6}), 0.0, 0, 256).collate([tokens[0].astype(np.int64)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (1, 256)
    assert batch["attention_mask"].sum() == 3
    assert torch.equal(batch["input_ids"] == 1, batch["attention_mask"] == 0)
