"""Small feature tables with a planted signal, so that stage two can be tested without stage one."""

import numpy as np

from fusecat.cache.table import Feature, FeatureTable

TEXT, IMAGE = 6, 10
SEVEN = {
    **{
        f"{network}.{field}": TEXT
        for network in ("camembert", "flaubert")
        for field in ("title", "description", "title_description")
    },
    "se_resnext50.image": IMAGE,
}
"""Feature -> width, named as stage one names them."""


def table(
    widths=SEVEN,
    *,
    products=240,
    classes=4,
    signal=1.5,
    missing=0.3,
    seed=0,
    parts=("train", "head", "validation", "test"),
    head=0.0,
) -> FeatureTable:
    """Gaussian vectors around a class mean per feature; `missing` of the products have no description."""
    random = np.random.default_rng(seed)
    labels = (np.arange(products) % classes).astype(np.int32)
    shares = {"train": 0.5 - head, "head": head, "validation": 0.25, "test": 0.25}
    split = random.permutation(np.repeat(np.arange(len(parts)), [round(shares[part] * products) for part in parts])).astype(
        np.uint8
    )
    described = random.random(products) >= missing
    features = {}
    for name, width in widths.items():
        means = random.normal(size=(classes, width))
        vectors = signal * means[labels] + random.normal(size=(products, width))
        present = described if name.endswith(".description") else np.ones(products, bool)
        vectors[~present] = 0
        logits = np.where(present[:, None], vectors @ means.T, 0).astype(np.float32)
        features[name] = Feature(name, vectors.astype(np.float16), present.copy(), logits=logits, fitted_on=("train",))
    ids = np.array([f"p{number}" for number in range(products)])
    return FeatureTable(
        ids, labels, split, tuple(f"c{number}" for number in range(classes)), parts, features, fingerprint=f"seed{seed}"
    )
