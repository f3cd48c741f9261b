"""One small module per merge, all on one contract (`base.MergeModule`)."""

from typing import assert_never

from stages.heads.merges.addition import Addition
from stages.heads.merges.attention import Attention
from stages.heads.merges.average import Average
from stages.heads.merges.base import LinearMerge, MergeModule
from stages.heads.merges.bilinear import Bilinear
from stages.heads.merges.concatenation import Concatenation
from stages.heads.merges.film import FiLM
from stages.heads.merges.gated import Gated
from stages.heads.merges.highway import Highway
from stages.heads.merges.low_rank import LowRank
from stages.heads.merges.maximum import Maximum
from stages.heads.merges.mlp import MLP
from stages.heads.merges.product import Product
from stages.heads.merges.tensor import TensorFusion
from stages.heads.merges.tokens import Tokens
from stages.heads.merges.weighted import Weighted
from stages.vocabulary import Merge

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
