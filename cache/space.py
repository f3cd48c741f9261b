"""Disk and memory that work will need: told before it begins, and refused where the disk is clearly too small."""

import errno
import shutil
from pathlib import Path

CONSIDERABLE = 10**9
"""Bytes from which a need is worth a line."""

WORTH_REFUSING = 10**8
"""Bytes from which an estimate refuses: a small need is found out by writing."""


def forecast(folder: Path, disk: int, memory: int = 0) -> str:
    """What work that writes to `folder` will need, in a line; '' where that is not worth one. Sizes are estimates, in bytes.

    Raises: OSError (ENOSPC) that names the folder, where much is needed and the disk has less than that free.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if disk > free and disk >= WORTH_REFUSING:
        raise OSError(errno.ENOSPC, f"about {_size(disk)} of disk are needed, {_size(free)} are free", str(folder))
    told = [f"{_size(disk)} of disk ({_size(free)} are free)"] if disk >= CONSIDERABLE else []
    if memory >= CONSIDERABLE:
        from psutil import virtual_memory

        told.append(f"{_size(memory)} of memory ({_size(virtual_memory().available)} are free)")
    return f"this takes about {' and '.join(told)}" if told else ""


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 10**8 else f"{count / 1e6:,.1f} MB"
