"""Late fusion: the networks' class probabilities become one, by a rule or by something learnt."""

from typing import assert_never

from fusecat.stages.fusion.late.means import Maximum, Mean, Product
from fusecat.stages.fusion.late.method import LateMethod
from fusecat.stages.fusion.late.stacking import LightGBM, Logistic
from fusecat.stages.fusion.late.weighting import Calibrated, Weighted
from fusecat.stages.vocabulary import Late

__all__ = ["LateMethod", "method_class"]


def method_class(late: Late) -> type[LateMethod] | None:
    """The method of that name; None for those that combine other runs (see `ensembles`)."""
    match late:
        case Late.MEAN:
            return Mean
        case Late.WEIGHTED:
            return Weighted
        case Late.PRODUCT:
            return Product
        case Late.MAXIMUM:
            return Maximum
        case Late.CALIBRATED:
            return Calibrated
        case Late.LOGISTIC:
            return Logistic
        case Late.LIGHTGBM:
            return LightGBM
        case Late.SELECTION | Late.VOTE | Late.PROBES:
            return None
        case _:
            assert_never(late)
