"""What the tests of the cache write: rows, vectors and one way of sealing them."""

from pathlib import Path

import numpy as np

from fusecat.cache.store import FeatureCache, Rows

PARTS = ("train", "head", "validation", "test")
CLASSES = ("10", "1140", "jeux vidéo")


def study_rows(count: int, **changed) -> Rows:
    random = np.random.default_rng(7)
    columns = {
        "ids": [f"é{number}" for number in range(count)],
        "labels": random.integers(-1, len(CLASSES), count),
        "split": random.choice([0, 1, 2, 3, 255], count),
        "classes": CLASSES,
        "parts": PARTS,
    }
    return Rows(**(columns | changed))


def study_vectors(count: int, width: int = 24, seed: int = 1):
    """Embedding, logits and presence; absent rows hold noise, which must not be stored."""
    random = np.random.default_rng(seed)
    embedding = random.normal(size=(count, width)).astype(np.float32)
    return embedding, random.normal(size=(count, len(CLASSES))).astype(np.float32), random.random(count) > 0.2


def write_feature(
    cache: FeatureCache, feature: str, rows: Rows, recipe=None, *, vectors=None, block=256, logits=True, **seal
) -> Path:
    embedding, scores, present = vectors or study_vectors(len(rows.ids))
    writer = cache.writer(feature, recipe or {"network": feature}, rows, block=block)
    for number, of in writer.missing():
        cut = slice(of.start, of.stop)
        writer.put(number, embedding[cut], scores[cut] if logits else None, present[cut])
    return writer.seal(**({"weights": "0" * 64, "fitted_on": ["train"], "versions": {"h5py": "3"}} | seal))
