"""Late fusion that learns nothing: mean, product (mean of logarithms) and maximum of the class probabilities.

Source: Kittler et al. 1998, "On combining classifiers": sum, product and max rule.
"""

import numpy as np

from stages.heads.late.base import LateMethod
from stages.heads.late.opinions import Array, Opinions


class Mean(LateMethod):
    """`mean of p_f over what is present`."""

    def combine(self, opinions: Opinions) -> Array:
        """Equal shares of what is present."""
        shares = opinions.shares(np.ones(self.features))
        return np.asarray((np.exp(opinions.log_probabilities()) * shares[:, :, None]).sum(1))


class Product(LateMethod):
    """`exp of the mean of log p_f over what is present`, normalised."""

    def combine(self, opinions: Opinions) -> Array:
        """Equal shares of the logarithms."""
        shares = opinions.shares(np.ones(self.features))
        return np.asarray(np.exp((opinions.log_probabilities() * shares[:, :, None]).sum(1)))


class Maximum(LateMethod):
    """`max over f of p_f`, normalised."""

    def combine(self, opinions: Opinions) -> Array:
        """Absent opinions lose every comparison."""
        return np.asarray((np.exp(opinions.log_probabilities()) * opinions.present[:, :, None]).max(1))
