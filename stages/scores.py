"""Scores over products (never means over batches), by scikit-learn.

Shapes: n products, C classes.
"""

import numpy as np
from numpy.typing import NDArray

SCORES = ("accuracy", "macro_f1", "weighted_f1", "log_loss")
"""The keys of every mapping of scores."""


def scores(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> dict[str, float]:
    """Score `probabilities` (n, C) against `labels` (n,), indices of classes.

    F1 runs over the classes that occur in `labels`, so that every strategy is averaged over the same classes on the same
    products; a class that is never predicted counts 0. Log loss clips probabilities at float32's machine epsilon.
    """
    return scores_of(labels, probabilities.argmax(axis=1), probabilities[np.arange(len(labels)), labels])


def scores_of(labels: NDArray[np.integer], predicted: NDArray[np.integer], truth: NDArray[np.floating]) -> dict[str, float]:
    """The same from what little of the probabilities it takes: `predicted` (n,), and `truth` (n,), that of the label."""
    from sklearn.metrics import accuracy_score, f1_score

    classes = np.unique(labels)
    truth = truth.astype(np.float64)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
        "weighted_f1": float(f1_score(labels, predicted, labels=classes, average="weighted", zero_division=0)),
        "log_loss": float(-np.log(np.clip(truth, np.finfo(np.float32).eps, 1)).mean()),
    }
