"""Errors that a user can mend, each with the exit code of the command that meets it.

The base class lives here because `cache` is the one package that every other may import.
"""


class FusecatError(Exception):
    """One line that names the file, row, column or flag and says what to do.

    `exit_code` is what the `fusecat` process ends with.
    """

    exit_code = 1


class CacheError(FusecatError):
    """A feature file is missing, stale, damaged, foreign, or does not fit its neighbours."""

    exit_code = 4


class MissingFeature(CacheError):
    """No feature of that name has been sealed in this workspace."""


class DamagedFeature(CacheError):
    """The file is not, byte for byte, what was sealed."""


class DamagedFile(CacheError):
    """A file of a workspace or model, outside of the cache, is not as it was written."""


class ForeignFile(CacheError):
    """The file is not a feature file that this version may open safely."""


class MismatchedFeatures(CacheError):
    """Two features differ in their ids, labels, split or classes, so no row of them can be fused."""


class BusyFeature(CacheError):
    """Another process is writing this feature and the caller asked not to wait."""


class UnusableVectors(CacheError):
    """Vectors or logits hold NaN or infinity, or something where a product has nothing."""
