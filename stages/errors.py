"""Errors of the two stages that a user can mend (those of the cache are in `cache.errors`)."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from fusecat.cache.errors import FusecatError

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def refusing(call: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """A call of Python's users whose refusals stand alone: what they can mend is in the message, not in a traceback of ours."""

    @wraps(call)
    def refuses(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        try:
            return call(*given, **named)
        except FusecatError as error:
            raise error.with_traceback(None) from None

    return refuses


class UsageError(FusecatError):
    """A flag, a name or a path on the command line is wrong."""

    exit_code = 2


class DataError(FusecatError):
    """The catalogue cannot be used as it is; the message names file, row and column."""

    exit_code = 3


class ModelError(FusecatError):
    """Weights, a tokenizer or a trained head are missing or unusable."""

    exit_code = 4
