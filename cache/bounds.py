"""How much memory whatever comes from elsewhere may make this process take: a file of a kilobyte can ask for a terabyte."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GROWTH = 4 * 2**30
"""Bytes that reading one thing may take beside what it is to give: room for libraries and their arenas, not for a bomb."""

_held = threading.RLock()


@contextmanager
def at_most(growth: int = GROWTH) -> Iterator[None]:
    """Let the process grow by this many bytes of address space meanwhile: asking for more is a MemoryError, not the end of all.

    For short calls into libraries that size their memory by what a file says. The limit is the whole process's, so one thread
    at a time may set it. Does nothing where the system does not say how large the process is (everywhere but on Linux).
    """
    with _held:
        try:
            import resource

            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        except (ImportError, OSError):
            yield
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * os.sysconf("SC_PAGE_SIZE") + growth
        allowed = min([wanted, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
        resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
