"""Poolings and layers of sentence-transformers' folders, against their definitions written out in numpy."""

import numpy as np
import pytest
import torch

from fusecat.stages.extraction.sentence_modules import POOLINGS

EXPECTED = {
    "cls": lambda states: states[0],
    "max": lambda states: states.max(0),
    "mean": lambda states: states.mean(0),
    "mean_sqrt_len_tokens": lambda states: states.sum(0) / np.sqrt(len(states)),
    "weightedmean": lambda states: np.average(states, axis=0, weights=np.arange(1, len(states) + 1)),
    "lasttoken": lambda states: states[-1],
}


@pytest.mark.parametrize("name", POOLINGS)
def test_poolings_read_the_tokens_and_no_padding(name):
    lengths, states = [1, 3, 5], torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(7))
    mask = (torch.arange(5) < torch.tensor(lengths)[:, None]).long()
    found = POOLINGS[name](states, mask).numpy()
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(found[row], EXPECTED[name](states[row, :length].numpy()), rtol=1e-5, atol=1e-6)
