"""The runs that there are to do, as values."""

from dataclasses import dataclass

from fusecat.stages.fusion.fit_settings import FitSettings
from fusecat.stages.fusion.strategy import Strategy
from fusecat.stages.metrics import Metric


@dataclass(frozen=True)
class Job:
    """One run to do.

    `key` is the digest of everything that decides its result, `vectors` that of the vectors alone.
    """

    strategy: Strategy
    seed: int
    settings: FitSettings
    metric: Metric
    key: str
    vectors: str = ""
    tuned: bool = False
