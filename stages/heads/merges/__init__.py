"""One small module per merge, all on one contract (`base.MergeModule`)."""

from typing import assert_never

from stages.heads.merges.base import LinearMerge, MergeModule
from stages.vocabulary import Merge

__all__ = ["LinearMerge", "MergeModule", "merge_class"]


def merge_class(merge: Merge) -> type[MergeModule]:
    """The module of a merge; a new merge is one module, one member of the enum and one arm here."""
    match merge:
        case Merge.CONCATENATION:
            from stages.heads.merges.concatenation import Concatenation as Chosen
        case Merge.ADDITION:
            from stages.heads.merges.addition import Addition as Chosen  # type: ignore[assignment]
        case Merge.AVERAGE:
            from stages.heads.merges.average import Average as Chosen  # type: ignore[assignment]
        case _:
            assert_never(merge)
    return Chosen
