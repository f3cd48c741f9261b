"""Late fusion that learns one number per network: its weight, and its temperature before that.

Source of the temperature: Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
"""

import numpy as np
from numpy.typing import NDArray

from fusecat.stages.fusion.late.method import LateMethod, State, shaped
from fusecat.stages.fusion.late.modality_logits import SMALLEST, Array, ModalityLogits, Opinions
from fusecat.stages.fusion.predictions import WHOLE, blocks


class Weighted(LateMethod):
    """`sum of w_f p_f over what is present`, w on the simplex, the least log loss on the rows it is fitted on."""

    learns = True

    def __init__(self, features: int, prior: NDArray[np.floating]) -> None:
        super().__init__(features, prior)
        self.weights = np.full(features, 1 / features)
        self.temperatures = np.ones(features)

    def fit(self, modality_logits: ModalityLogits | Opinions, labels: NDArray[np.integer]) -> None:
        """Minimise the log loss over the weights by L-BFGS, from equal weights."""
        from scipy.optimize import minimize  # a second to import, and only fitting needs it
        from scipy.special import softmax

        some = np.flatnonzero(modality_logits.present.any(1))
        modality_logits, labels = modality_logits.rows(some), labels[some]
        truth, start = np.empty(modality_logits.present.shape), 0
        for block in modality_logits.blocks():
            cut = slice(start, start + len(block))
            truth[cut] = np.exp(block.log_probabilities(self.temperatures)[np.arange(len(block)), :, labels[cut]])
            start += len(block)

        def loss(raw: Array) -> tuple[float, Array]:
            weights = softmax(raw)
            masked = modality_logits.present * weights
            total = masked.sum(1)
            mixed = (masked * truth).sum(1) / total
            slope = modality_logits.present * (truth - mixed[:, None]) / (total * mixed)[:, None]
            inner = -slope.mean(0)
            return float(-np.log(mixed).mean()), weights * (inner - (weights * inner).sum())

        found = minimize(loss, np.zeros(self.features), jac=True, method="L-BFGS-B", bounds=[(-8, 8)] * self.features)
        self.weights = softmax(found.x)

    def combine(self, modality_logits: ModalityLogits) -> Array:
        """Weigh what is present."""
        shares = modality_logits.shares(self.weights)
        return np.asarray((np.exp(modality_logits.log_probabilities(self.temperatures)) * shares[:, :, None]).sum(1))

    def state(self) -> State:
        """Weights and temperatures, both (F,)."""
        return {"weights": self.weights, "temperatures": self.temperatures}

    def restore(self, state: State) -> None:
        """Take them back."""
        self.weights, self.temperatures = (shaped(state, name, self.features) for name in ("weights", "temperatures"))
        if not (self.temperatures > 0).all() or not (self.weights >= 0).all():
            raise ValueError("a weight is below 0, or a temperature not above it")


class Calibrated(Weighted):
    """The same after each network's logits are divided by a temperature of its own, the least log loss by itself."""

    def fit(self, modality_logits: ModalityLogits | Opinions, labels: NDArray[np.integer]) -> None:
        """One temperature after the other, then the weights."""
        for place in range(self.features):
            rows = np.flatnonzero(modality_logits.present[:, place])
            # one number needs no more than that, taken evenly: minutes become seconds where there are thousands of classes
            rows = rows[:: -(-len(rows) * len(self.prior) // WHOLE) or 1]
            if len(rows):
                self.temperatures[place] = _temperature(modality_logits.of(place, rows), labels[rows])
        super().fit(modality_logits, labels)


def _temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The divisor of `logits` (n, C) with the least log loss, between 1/20 and 20."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        truth = np.empty(len(labels))
        for cut in blocks(logits.shape):
            scaled = logits[cut].astype(np.float64) / np.exp(log_temperature)
            scaled -= scaled.max(1, keepdims=True)
            truth[cut] = scaled[np.arange(len(scaled)), labels[cut]] - np.log(np.exp(scaled).sum(1))
        return float(-np.maximum(truth, np.log(SMALLEST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))
