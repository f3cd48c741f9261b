"""A network on its own: the softmax of its own logits, and what to say of a product that lacks its field."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature
from fusecat.stages.fusion.predictions import blocks


def prior(labels: NDArray[np.integer], classes: int) -> NDArray[np.float32]:
    """(C,) share of each class among these labels: all that is known of a product without the field."""
    counts = np.bincount(labels, minlength=classes).astype(np.float32)
    return np.asarray(counts / max(counts.sum(), 1), np.float32)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Over the last axis, without overflow."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True), np.float32)


def probabilities(feature: Feature, rows: NDArray[np.intp], fallback: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, C): the network's own opinion of these rows, `fallback` (C,) where the field is absent."""
    if feature.logits is None:
        raise ValueError(f"{feature.name} has no logits")
    return np.where(feature.present[rows, None], softmax(feature.logits[rows]), fallback).astype(np.float32)


def probability_blocks(
    feature: Feature, rows: NDArray[np.intp], fallback: NDArray[np.float32]
) -> Iterator[NDArray[np.float32]]:
    """The same, block after block."""
    yield from (probabilities(feature, rows[cut], fallback) for cut in blocks((len(rows), len(fallback)), 2))
