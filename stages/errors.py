"""Errors of the two stages that a user can mend (those of the cache are in `cache.errors`)."""

from fusecat.cache.errors import FusecatError


class UsageError(FusecatError):
    """A flag, a name or a path on the command line is wrong."""

    exit_code = 2


class DataError(FusecatError):
    """The catalogue cannot be used as it is; the message names file, row and column."""

    exit_code = 3


class ModelError(FusecatError):
    """Weights, a tokenizer or a trained head are missing or unusable."""

    exit_code = 4
