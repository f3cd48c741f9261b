"""Rakuten-shaped feature tables whose true posterior is known, so that a fusion head can be judged against the best there is.

Three frozen, seeded generators: `additive` (every field adds its own evidence), `multiplicative` (part of what decides the
class is said by neither text nor image alone) and `missing` (descriptions are missing by class, as in the real catalogue).
Seven features named as stage one names them: 6 x 768 columns of text, 2,048 of image; 27 classes of very different size; 55,025
products, 37,417 / 6,603 / 11,005 of them in train / validation / test.

A view is what one network sees in one field: 16 latent numbers, independent between views given the class (and the signs of the
multiplicative generator). Its vector is `latent @ mixing + noise` with the noise orthogonal to the mixing: the latent can be
read off exactly, and given the latents the posterior is a closed formula.

    python -m benchmarks.generators [PRODUCTS]     # prints the macro-F1 of the true posterior and of each modality alone
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusecat.cache.table import Feature, FeatureTable

LATENT, CLASSES, PRODUCTS = 16, 27, 55_025
PARTS = ("train", "head", "validation", "test")
NETWORKS = ("camembert", "flaubert")
WIDTHS = (768, 2048)
"""Columns of a text feature and of the image."""
IMAGE = "se_resnext50.image"
NOISE = 0.05
"""Standard deviation outside the latent directions: most of a fine-tuned network's variance is about the class."""
OVERCONFIDENCE = 1.5
"""Networks trust themselves too much: their logits are the true log posterior of what they see, times this."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Synthetic:
    """A table, and for each of its products the true posterior (N, C) of everything and of each modality alone."""

    table: FeatureTable
    posterior: NDArray[np.float32]
    alone: Mapping[str, NDArray[np.float32]]


def additive(products: int = PRODUCTS, *, seed: int = 1, widths: tuple[int, int] = WIDTHS) -> Synthetic:
    """Evidence of title, description and image adds up: a linear head on everything is the true posterior."""
    return _gaussian(products, seed, widths, np.full(CLASSES, 0.35))


def missing(products: int = PRODUCTS, *, seed: int = 3, widths: tuple[int, int] = WIDTHS) -> Synthetic:
    """The additive one, but whether there is a description depends on the class: 2 to 97 per cent of its products lack it."""
    absent = np.clip(np.random.default_rng(seed).permutation(np.linspace(-0.3, 1.05, CLASSES)), 0.02, 0.97)
    return _gaussian(products, seed, widths, absent)


def multiplicative(products: int = PRODUCTS, *, seed: int = 2, widths: tuple[int, int] = WIDTHS) -> Synthetic:
    """Nine groups of three classes; which of the three it is: (a sign in the text + a sign in the image) modulo 3.

    Either modality alone knows the group and nothing of the three, so no sum of one score per modality can tell them apart.
    """
    random = np.random.default_rng(seed)
    labels = _labels(random, products)
    described = random.random(products) >= 0.35
    group, third = labels // 3, labels % 3
    signs = {"text": random.integers(0, 3, products)}
    signs["image"] = (third - signs["text"]) % 3
    corners = np.array([[1.0, 0.0], [-0.5, 3**0.5 / 2], [-0.5, -(3**0.5) / 2]])
    latents: dict[str, Array] = {}
    evidence: dict[str, Array] = {}
    for view in _views():
        kind = "image" if view == IMAGE else "text"
        apart, sign_apart = (0.45, 1.9) if kind == "image" else (0.55, 1.3)
        means = np.zeros((9, 3, LATENT))
        means[:, :, :2] = sign_apart * corners
        means[:, :, 2:] = apart * random.normal(size=(9, 1, LATENT - 2))
        latents[view] = means[group, signs[kind]] + random.normal(size=(products, LATENT))
        flat = means.reshape(27, LATENT)
        evidence[view] = _where(view, described, latents[view] @ flat.T - (flat**2).sum(1) / 2).reshape(-1, 9, 3)
    prior = np.log(_prior()).reshape(9, 3)

    def posterior(views: Sequence[str]) -> Array:
        none = np.zeros((products, 9, 3))
        text = sum((evidence[view] for view in views if view != IMAGE), none)
        image = evidence[IMAGE] if IMAGE in views else none
        # class (g, c) is every pair of signs whose sum is c: add up over the sign of the text
        pairs = [text[:, :, [sign]] + np.roll(image, sign, axis=2) for sign in range(3)]
        return (np.logaddexp.reduce(pairs, axis=0) + prior).reshape(-1, CLASSES)

    return _assemble(random, labels, described, latents, posterior, widths)


def skewed(products: int = 1000, *, classes: int = 14, ratio: float = 30.0, seed: int = 4) -> FeatureTable:
    """Frozen vectors of a small catalogue: skewed classes, spectra that decay, and a wide image that knows next to nothing.

    The largest class has `ratio` times the products of the smallest; the first columns of a text know the class, as leading
    components do, the others are its noise. A third of the descriptions is missing.
    """
    random = np.random.default_rng(seed)
    shares = np.geomspace(ratio, 1, classes)
    labels = np.repeat(np.arange(classes), np.maximum(6, np.round(products * shares / shares.sum())).astype(int)).astype(
        np.int32
    )
    described = random.random(len(labels)) >= 0.33
    features = {}
    for name, width, known in (("words.title", 256, 0.5), ("words.description", 256, 0.5), ("pixels.image", 1280, 0.12)):
        spread = (1 + np.arange(width) / 4) ** -0.5
        means = known * random.normal(size=(classes, width)) * (np.arange(width) < 48)
        vectors = ((means[labels] + random.normal(size=(len(labels), width))) * spread).astype(np.float32)
        present = described if name.endswith("description") else np.ones(len(labels), bool)
        features[name] = Feature(name, vectors * present[:, None], present, fitted_on=None)
    both = np.asarray(features["words.title"].embedding + features["words.description"].embedding)
    features["words.title_description"] = Feature("words.title_description", both, np.ones(len(labels), bool), fitted_on=None)
    split = np.zeros(len(labels), np.uint8)
    for label in range(classes):
        rows = random.permutation(np.flatnonzero(labels == label))
        held = max(1, round(0.12 * len(rows))), max(2, round(0.2 * len(rows)))
        split[rows[: held[0]]], split[rows[held[0] : sum(held)]] = 2, 3
    ids, names = np.arange(len(labels)).astype(str), tuple(f"{label:02d}" for label in range(classes))
    return FeatureTable(ids, labels, split, names, PARTS, features, f"skewed-{classes}-{products}-{seed}")


GENERATORS: Mapping[str, Callable[..., Synthetic]] = {
    "additive": additive,
    "multiplicative": multiplicative,
    "missing": missing,
}


def _gaussian(products: int, seed: int, widths: tuple[int, int], absent: Array) -> Synthetic:
    """One Gaussian per class and view; `absent` (C,) is the share of each class without a description."""
    random = np.random.default_rng(seed)
    labels = _labels(random, products)
    described = random.random(products) >= absent[labels]
    latents: dict[str, Array] = {}
    evidence: dict[str, Array] = {}
    for view in _views():
        means = (0.45 if view == IMAGE else 0.36) * random.normal(size=(CLASSES, LATENT))
        latents[view] = means[labels] + random.normal(size=(products, LATENT))
        evidence[view] = _where(view, described, latents[view] @ means.T - (means**2).sum(1) / 2)
    seen = np.where(described[:, None], np.log1p(-absent), np.log(absent))

    def posterior(views: Sequence[str]) -> Array:
        known = seen if any(view.endswith("description") for view in views) else 0.0
        return np.log(_prior()) + sum(evidence[view] for view in views) + known

    return _assemble(random, labels, described, latents, posterior, widths)


def _assemble(
    random: np.random.Generator,
    labels: NDArray[np.int32],
    described: NDArray[np.bool_],
    latents: Mapping[str, Array],
    posterior: Callable[[Sequence[str]], Array],
    widths: tuple[int, int],
) -> Synthetic:
    """Turn latents into vectors and log posteriors into logits."""
    products = len(labels)
    seen = {view: [view] for view in _views()}
    seen |= {f"{network}.title_description": [f"{network}.title", f"{network}.description"] for network in NETWORKS}
    features = {}
    for name, views in sorted(seen.items()):
        width = widths[1] if name == IMAGE else widths[0]
        latent = np.hstack([_where(view, described, latents[view]) for view in views]).astype(np.float32)
        present = described.copy() if name.endswith(".description") else np.ones(products, bool)
        vectors = _mix(np.random.default_rng(random.integers(2**32)), latent, width)
        vectors[~present] = 0
        logits = np.where(present[:, None], OVERCONFIDENCE * posterior(views), 0).astype(np.float32)
        features[name] = Feature(name, vectors, present, logits=logits, fitted_on=("train",))
    split = _split(random, products)
    ids, classes = np.array([f"p{number}" for number in range(products)]), tuple(f"{number:02d}" for number in range(CLASSES))
    table = FeatureTable(ids, labels, split, classes, PARTS, features, fingerprint=f"synthetic-{products}-{labels.sum()}")
    texts = [view for view in _views() if view != IMAGE]
    alone = {"text": _softmax(posterior(texts)), "image": _softmax(posterior([IMAGE]))}
    return Synthetic(table, _softmax(posterior(_views())), alone)


def _mix(random: np.random.Generator, latent: NDArray[np.float32], width: int) -> NDArray[np.float16]:
    """(N, k) -> (N, width) float16: the latent in k directions drawn at random, independent noise in all others."""
    directions = np.linalg.qr(random.normal(size=(width, latent.shape[1])))[0].astype(np.float32)
    found = np.empty((len(latent), width), np.float16)
    for start in range(0, len(latent), 8192):
        part = slice(start, start + 8192)
        noise = random.standard_normal((len(latent[part]), width), dtype=np.float32)
        noise -= (noise @ directions) @ directions.T
        found[part] = latent[part] @ directions.T + NOISE * noise
    return found


def _views() -> list[str]:
    return [*(f"{network}.{field}" for network in NETWORKS for field in ("title", "description")), IMAGE]


def _where(view: str, described: NDArray[np.bool_], values: Array) -> Array:
    """Zero for products that lack the field of this view."""
    return np.where(described[:, None], values, 0) if view.endswith(".description") else values


def _prior() -> Array:
    """Class shares as in the catalogue: the largest class 13 times the smallest."""
    sizes = 764 * (10_209 / 764) ** (np.linspace(0, 1, CLASSES) ** 2)
    return sizes / sizes.sum()


def _labels(random: np.random.Generator, products: int) -> NDArray[np.int32]:
    return random.choice(CLASSES, products, p=_prior()).astype(np.int32)


def _split(random: np.random.Generator, products: int) -> NDArray[np.uint8]:
    """68 / 12 / 20 per cent, which is 37,417 / 6,603 / 11,005 of 55,025."""
    validation, test = round(0.12 * products), round(0.2 * products)
    codes = np.repeat(np.array([0, 2, 3], np.uint8), [products - validation - test, validation, test])
    return random.permutation(codes)


def _softmax(scores: Array) -> NDArray[np.float32]:
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    return (shifted / shifted.sum(1, keepdims=True)).astype(np.float32)


def main() -> None:
    from fusecat.stages.scores import scores

    products = int(sys.argv[1]) if len(sys.argv) > 1 else PRODUCTS
    for name, make in GENERATORS.items():
        made = make(products, widths=(40, 40))
        rows = made.table.rows("test")
        labels = made.table.labels[rows]
        figures = {"all": made.posterior, **made.alone}
        figures |= {feature: value.logits for feature, value in sorted(made.table.features.items()) if value.logits is not None}
        text = ", ".join(f"{kind} {scores(labels, found[rows])['macro_f1']:.3f}" for kind, found in figures.items())
        print(f"{name}: macro-F1 of the true posterior on {len(rows)} test products: {text}")


if __name__ == "__main__":
    main()
