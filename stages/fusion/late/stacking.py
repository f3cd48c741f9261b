"""Late fusion by a second classifier on the networks' class probabilities.

Sources: Wolpert 1992, "Stacked generalization"; Verma et al. 2020, "Deep multi-level boosted fusion learning framework for
multi-modal product classification": LightGBM on the class probabilities.
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fusecat.stages.fusion.late.method import LateMethod, State, seen_classes, shaped
from fusecat.stages.fusion.late.modality_logits import Array, ModalityLogits, Opinions
from fusecat.stages.fusion.late.trees import canonical


class Stacking(LateMethod):
    """What both stackers see: log p_f of every feature (the log prior where it is absent) and which features are present."""

    learns = True

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self.features * (len(self.prior) + 1)

    def columns(self, modality_logits: ModalityLogits) -> Array:
        """(n, F * C + F)."""
        prior = np.log(np.maximum(self.prior, 1e-6))
        known = np.where(modality_logits.present[:, :, None], modality_logits.log_probabilities(), prior)
        return np.hstack([known.reshape(len(modality_logits), -1), modality_logits.present.astype(np.float64)])

    def spread(self, found: Array, seen: NDArray[np.integer]) -> Array:
        """(n, classes seen in fitting) -> (n, C), zero for classes that were not seen."""
        result = np.zeros((len(found), len(self.prior)))
        result[:, seen] = found
        return result


class Logistic(Stacking):
    """Multinomial logistic regression, L2."""

    def fit(self, modality_logits: ModalityLogits | Opinions, labels: NDArray[np.integer]) -> None:
        """Fit by lbfgs on centred columns; the penalty is chosen for a few hundred columns of log probabilities."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        columns = self.columns(modality_logits.whole())
        self.center = columns.mean(0)
        model = LogisticRegression(C=0.01, max_iter=300)
        with warnings.catch_warnings():
            # 300 steps are far beyond where its predictions still change
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(columns - self.center, labels)
        self.seen = np.asarray(model.classes_, np.int64)
        self.coefficients, self.intercepts = model.coef_, model.intercept_
        if len(self.seen) == 2:
            self.coefficients = np.vstack([-self.coefficients, self.coefficients]) / 2
            self.intercepts = np.concatenate([-self.intercepts, self.intercepts]) / 2

    def combine(self, modality_logits: ModalityLogits) -> Array:
        """The softmax of the linear scores."""
        scores = (self.columns(modality_logits) - self.center) @ self.coefficients.T + self.intercepts
        return self.spread(softmax(scores, axis=1), self.seen)

    def state(self) -> State:
        """Coefficients, intercepts, the columns' means and the classes seen."""
        return {"coefficients": self.coefficients, "intercepts": self.intercepts, "center": self.center, "seen": self.seen}

    def restore(self, state: State) -> None:
        """Take them back."""
        self.seen = seen_classes(state, len(self.prior))
        self.coefficients = shaped(state, "coefficients", len(self.seen), self.width)
        self.intercepts, self.center = shaped(state, "intercepts", len(self.seen)), shaped(state, "center", self.width)


class LightGBM(Stacking):
    """Gradient-boosted trees."""

    def fit(self, modality_logits: ModalityLogits | Opinions, labels: NDArray[np.integer]) -> None:
        """60 rounds of small trees: there are no rows to spare for early stopping."""
        from lightgbm import Dataset, train

        self.seen, coded = np.unique(labels, return_inverse=True)
        options = {
            "objective": "multiclass",
            "num_class": len(self.seen),
            "learning_rate": 0.1,
            "num_leaves": 7,
            "min_data_in_leaf": 10,
            "feature_fraction": 0.3,
            "lambda_l2": 5.0,
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
            "seed": 1,
        }
        self.text = train(options, Dataset(self.columns(modality_logits.whole()), coded), num_boost_round=60).model_to_string()

    def combine(self, modality_logits: ModalityLogits) -> Array:
        """The trees' probabilities."""
        from lightgbm import Booster

        found = np.asarray(Booster(model_str=self.text).predict(self.columns(modality_logits), num_threads=1), np.float64)
        return self.spread(found.reshape(len(modality_logits), -1), self.seen)

    def state(self) -> State:
        """The trees in LightGBM's own text format, as bytes, and the classes seen."""
        return {"trees": np.frombuffer(self.text.encode(), np.uint8), "seen": self.seen.astype(np.int64)}

    def restore(self, state: State) -> None:
        """Take them back: whoever wrote them, LightGBM gets nothing that it could stumble over."""
        self.seen = seen_classes(state, len(self.prior))
        self.text = canonical(state["trees"].tobytes().decode(), len(self.seen), self.width)
