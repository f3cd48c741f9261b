"""The collector of cycles rests while a catalogue is read and parted."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting_collector() -> Iterator[None]:
    """Collect no cycles in this block: products hold none, and each round looks at all of those that were read before.

    What has no references any more is freed as ever.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
