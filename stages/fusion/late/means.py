"""Late fusion that learns nothing: mean, product (mean of logarithms) and maximum of the class probabilities.

Source: Kittler et al. 1998, "On combining classifiers": sum, product and max rule.
"""

import numpy as np

from fusecat.stages.fusion.late.method import LateMethod
from fusecat.stages.fusion.late.modality_logits import Array, ModalityLogits


class Mean(LateMethod):
    """`mean of p_f over what is present`."""

    def combine(self, modality_logits: ModalityLogits) -> Array:
        """Equal shares of what is present."""
        shares = modality_logits.shares(np.ones(self.features))
        return np.asarray((np.exp(modality_logits.log_probabilities()) * shares[:, :, None]).sum(1))


class Product(LateMethod):
    """`exp of the mean of log p_f over what is present`, normalised."""

    def combine(self, modality_logits: ModalityLogits) -> Array:
        """Equal shares of the logarithms."""
        shares = modality_logits.shares(np.ones(self.features))
        return np.asarray(np.exp((modality_logits.log_probabilities() * shares[:, :, None]).sum(1)))


class Maximum(LateMethod):
    """`max over f of p_f`, normalised."""

    def combine(self, modality_logits: ModalityLogits) -> Array:
        """Absent opinions lose every comparison."""
        return np.asarray((np.exp(modality_logits.log_probabilities()) * modality_logits.present[:, :, None]).max(1))
