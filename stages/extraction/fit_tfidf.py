"""How the classical network is fitted: terms and their weights, truncated SVD, logistic regression; by scikit-learn.

Shapes: n texts, V terms, D width of the vector, C classes.
"""

import time
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from fusecat.stages.errors import UsageError
from fusecat.stages.extraction.progress import Progress, silent
from fusecat.stages.extraction.settings import Balance, Network
from fusecat.stages.extraction.tfidf import TextBytes, TfidfNetwork, TfidfShape, counter_of, weighed
from fusecat.stages.extraction.train_network import TrainingResult
from fusecat.stages.extraction.trainer import TrainingData
from fusecat.stages.scores import scores

ITERATIONS = 200
"""Of L-BFGS, at most: on texts of the sample 30 do, on ten thousand long ones 60."""
FLAT = 0.03
"""Share of the steepest slope at the start at which L-BFGS stops: see `_slope`."""
MOST = 100_000
"""Training texts, of more a random part: ten thousand of 80 words take 13 s, and what they hold 70 MB."""
AT_ONCE = 2 * 10**8
"""Training texts times classes: one such array of floats is 0.8 GB."""
COEFFICIENTS = 5 * 10**6
"""Terms times classes, of which L-BFGS keeps twenty doubles each, 0.8 GB; of more classes the vector tells instead."""


def fit_tfidf(network: Network, data: TrainingData, progress: Progress = silent) -> tuple[TfidfNetwork, TrainingResult]:
    """Fit on the training rows of `data`; its validation rows are only scored."""
    from sklearn.utils.extmath import randomized_svd

    begin, shape, texts = time.monotonic(), TfidfShape.of(network), data.inputs
    assert isinstance(texts, TextBytes), "what TfidfEncoder.inputs gives"
    train, most = data.train, min(MOST, AT_ONCE // data.classes)
    if len(train) > most:
        train = np.sort(np.random.default_rng(network.training.seed).permutation(train)[:most])
        progress(data.feature, f"fitted on {most:,} of {len(data.train):,} training texts, drawn at random", 0, 0)
    learnt = [texts.texts[row] or "" for row in train]
    ngrams = ((min(1, shape.words), shape.words), (min(3, shape.characters), shape.characters))
    found = [_terms_of(kind, pair, learnt, network) for kind, pair in zip(("word", "char_wb"), ngrams, strict=True)]
    counts, terms = [block for block, _ in found if block is not None], [term for _, block in found for term in block]
    if not terms:
        raise UsageError(f"networks.{network.name}: no training text of {data.feature} holds a word or three characters")
    holders = np.concatenate([np.bincount(block.indices, minlength=block.shape[1]) for block in counts])
    idf = (np.log((1 + len(learnt)) / (1 + holders)) + 1).astype(np.float32)
    rows = weighed(counts, idf)
    width = max(1, min(network.width, *(side - 1 for side in rows.shape)))
    _, _, axes = randomized_svd(rows, width, n_iter=4, random_state=network.training.seed)
    axes /= np.sqrt(np.square(rows @ axes.T).mean()) or 1  # so that half precision holds the vectors
    told = rows if len(terms) * data.classes <= COEFFICIENTS else np.asarray(rows @ axes.T, np.float32)
    coefficients, intercept, iterations = _regression(told, data.labels[train], data.classes, network, shape)
    state = {
        "ngrams": torch.tensor(ngrams).flatten(),
        "sizes": torch.tensor([len(block) for _, block in found]),
        "terms": torch.from_numpy(np.frombuffer("\n".join(terms).encode(), np.uint8).copy()),
        "idf": torch.from_numpy(idf),
        "projection": torch.from_numpy(np.ascontiguousarray(axes.T, np.float32)),
        "coefficients": torch.from_numpy(coefficients),
        "intercept": torch.from_numpy(intercept),
    }
    fitted = TfidfNetwork(state, lowercase=network.lowercase)
    with torch.inference_mode():
        _, logits = fitted.encode(**texts.collate([texts.example(row, None) for row in data.validation]))
    validation = scores(data.labels[data.validation], logits.softmax(1).numpy())
    return fitted, TrainingResult(iterations, iterations, time.monotonic() - begin, (), validation)


def _terms_of(
    kind: str, ngrams: tuple[int, int], texts: Sequence[str], network: Network
) -> tuple[sparse.csr_matrix | None, list[str]]:
    """Counts (n, V) of the terms of one kind, and the terms: those that most texts hold, in alphabetical order."""
    if not ngrams[1]:
        return None, []
    counter = counter_of(kind, ngrams, network.lowercase)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # scikit-learn's word for texts without a single term
        return None, []
    holders = np.bincount(counts.indices, minlength=counts.shape[1])
    kept = np.sort(np.argsort(-holders, kind="stable")[: network.vocabulary])
    return counts[:, kept], counter.get_feature_names_out()[kept].tolist()


def _regression(
    rows: sparse.csr_matrix | NDArray[np.float32],
    labels: NDArray[np.integer],
    classes: int,
    network: Network,
    shape: TfidfShape,
) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Coefficients (V or D, C), intercept (C,) and iterations; a class without a training text has next to no share."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    coefficients = np.zeros((rows.shape[1], classes), np.float32)
    seen = np.unique(labels)
    intercept = np.zeros(classes, np.float32)
    iterations = 0
    if len(seen) > 1:
        weights = "balanced" if network.training.balance is Balance.INVERSE_FREQUENCY else None
        tolerance = FLAT * _slope(rows, labels, weights)
        model = LogisticRegression(C=shape.inverse_penalty, class_weight=weights, max_iter=ITERATIONS, tol=tolerance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of iterations stands in the record
            model.fit(rows, labels)
        pairs = len(seen) == 2  # of two classes scikit-learn keeps the difference
        coefficients[:, seen] = np.vstack([-model.coef_ / 2, model.coef_ / 2]).T if pairs else model.coef_.T
        intercept[seen] = np.hstack([-model.intercept_ / 2, model.intercept_ / 2]) if pairs else model.intercept_
        iterations = int(model.n_iter_.max())
    intercept[np.setdiff1d(np.arange(classes), seen)] = intercept[seen].min() - np.log(1 + len(labels))
    return coefficients, intercept, iterations


def _slope(rows: sparse.csr_matrix | NDArray[np.float32], labels: NDArray[np.integer], weights: str | None) -> float:
    """The steepest slope of the loss before the first step, as scikit-learn's tolerance is measured.

    It is a mean over texts, and shrinks with the shares of terms and classes: on long texts of 27 classes it is below 1e-3.
    """
    from sklearn.utils.class_weight import compute_sample_weight

    held, codes = np.unique(labels, return_inverse=True)
    share = np.ones(len(labels)) if weights is None else compute_sample_weight(weights, labels)
    share = share / share.sum()
    own = rows.T @ sparse.csr_matrix((share, (np.arange(len(labels)), codes)), (len(labels), len(held)))
    slopes = (own.toarray() if sparse.issparse(own) else np.asarray(own)) - (rows.T @ share / len(held))[:, None]
    return float(max(np.abs(slopes).max(), np.finfo(np.float32).tiny))
