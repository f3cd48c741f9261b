"""Do probabilities mean what they say? Expected calibration error and the points of a reliability plot.

Guo et al. (2017): products are put into bins by the probability of their predicted class; the error is the mean gap
between that probability and the share of right answers, weighted by the bins' sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusecat.pipeline.report.results import Candidate
from fusecat.stages.calibration import BINS, binned, calibration_error
from fusecat.stages.scores import Outcome


@dataclass(frozen=True)
class Reliability:
    """`error`: expected calibration error; `confidence`, `accuracy`, `products`: one value per bin that holds products."""

    error: float
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    products: tuple[int, ...]


def reliability(outcomes: Sequence[Outcome], labels: NDArray[np.integer], bins: int = BINS) -> Reliability:
    """All seeds of a strategy together: bins of equal width over (0, 1]."""
    confidence = np.concatenate([outcome.confidence for outcome in outcomes]).astype(np.float64)
    right = np.concatenate([outcome.predicted == labels for outcome in outcomes])
    place = binned(confidence, bins)
    count = np.bincount(place, minlength=bins)
    full = np.flatnonzero(count)
    mean = np.bincount(place, confidence, bins)[full] / count[full]
    share = np.bincount(place, right.astype(float), bins)[full] / count[full]
    error = calibration_error(confidence, right, bins)
    return Reliability(error, tuple(mean.tolist()), tuple(share.tolist()), tuple(count[full].tolist()))


def calibration_errors(candidates: Sequence[Candidate], part: str, labels: NDArray[np.integer]) -> Mapping[str, float]:
    """Strategy -> expected calibration error on a part, the mean over seeds."""
    return {
        candidate.strategy: float(np.mean([reliability([outcome], labels).error for outcome in candidate.outcomes[part]]))
        for candidate in candidates
    }
