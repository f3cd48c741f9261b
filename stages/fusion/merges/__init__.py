"""One small module per merge, all on one contract (`base.MergeModule`)."""

from typing import assert_never

from fusecat.stages.fusion.merges.addition import Addition
from fusecat.stages.fusion.merges.attention import Attention
from fusecat.stages.fusion.merges.average import Average
from fusecat.stages.fusion.merges.base import LinearMerge, MergeModule
from fusecat.stages.fusion.merges.bilinear import Bilinear
from fusecat.stages.fusion.merges.concatenation import Concatenation
from fusecat.stages.fusion.merges.film import FiLM
from fusecat.stages.fusion.merges.gated import Gated
from fusecat.stages.fusion.merges.highway import Highway
from fusecat.stages.fusion.merges.low_rank import LowRank
from fusecat.stages.fusion.merges.maximum import Maximum
from fusecat.stages.fusion.merges.mlp import MLP
from fusecat.stages.fusion.merges.product import Product
from fusecat.stages.fusion.merges.tensor import TensorFusion
from fusecat.stages.fusion.merges.tokens import Tokens
from fusecat.stages.fusion.merges.weighted import Weighted
from fusecat.stages.vocabulary import Merge

__all__ = ["LinearMerge", "MergeModule", "merge_class"]


def merge_class(merge: Merge) -> type[MergeModule]:
    """The module of a merge; a new merge is one module, one member of the enum and one arm here."""
    match merge:
        case Merge.CONCATENATION:
            return Concatenation
        case Merge.ADDITION:
            return Addition
        case Merge.AVERAGE:
            return Average
        case Merge.MAXIMUM:
            return Maximum
        case Merge.PRODUCT:
            return Product
        case Merge.WEIGHTED:
            return Weighted
        case Merge.ATTENTION:
            return Attention
        case Merge.GATED:
            return Gated
        case Merge.FILM:
            return FiLM
        case Merge.HIGHWAY:
            return Highway
        case Merge.LOW_RANK:
            return LowRank
        case Merge.BILINEAR:
            return Bilinear
        case Merge.TOKENS:
            return Tokens
        case Merge.MLP:
            return MLP
        case Merge.TENSOR:
            return TensorFusion
        case _:
            assert_never(merge)
