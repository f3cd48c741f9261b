"""Ctrl-C beside workers: neither they nor their start are disturbed."""

import os
import signal
import subprocess
import sys

import pytest

from fusecat.stages.fusion.parallel import _uninterrupted

BLOCKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows blocks no signals")


def test_an_interrupt_waits_for_the_end_and_is_not_lost():
    reached = False
    with pytest.raises(KeyboardInterrupt), _uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_starts_meanwhile_never_sees_one():
    with _uninterrupted():
        started = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    assert started.stdout.strip() == "True"
    later = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    assert later.stdout.strip() == "False"
