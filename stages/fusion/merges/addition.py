"""Addition: an absent vector adds nothing."""

from fusecat.stages.fusion.merges.base import LinearMerge


class Addition(LinearMerge):
    """`sum of x_m over what is present`: (B, M, D) -> (B, D)."""
