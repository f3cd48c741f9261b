"""Whoever waits is told something every few seconds, and Ctrl-C ends a command within five, whatever it is at."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusecat.cache.space import forecast
from fusecat.stages import progress
from fusecat.stages.errors import UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.delenv("FUSECAT_SILENCE", raising=False)
    monkeypatch.setattr(progress, "EVERY", 0.3)


def test_a_phase_is_told_once_it_is_silent_for_long(capsys):
    with progress.heartbeat(), progress.phase("drawing") as now:
        time.sleep(0.8)
        now.text = "drawing, half done"
        time.sleep(0.8)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("drawing, ") and said[0].endswith(" s so far")
    assert said[-1].startswith("drawing, half done, ")
    assert progress.doing() == "at work"


def test_whoever_tells_something_else_is_not_interrupted(capsys):
    with progress.heartbeat(), progress.shown_otherwise():
        time.sleep(0.8)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_one_line_is_written_again_and_taken_away(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.heartbeat(), progress.phase("drawing"):
        time.sleep(0.8)
    said = capsys.readouterr().err
    assert "drawing" in said and "\n" not in said
    assert said.endswith("\r\x1b[2K")


def test_the_environment_says_how_long_nothing_is_told(capsys, monkeypatch):
    monkeypatch.setenv("FUSECAT_SILENCE", "60")
    with progress.heartbeat():
        time.sleep(0.8)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FUSECAT_SILENCE", "long")
    with pytest.raises(UsageError, match="FUSECAT_SILENCE=long"), progress.heartbeat():
        pass


def test_a_remark_is_told_where_somebody_listens(capsys):
    progress.remark("nobody hears this")
    with progress.heartbeat():
        progress.remark("")
        progress.remark("this takes a disk")
    assert capsys.readouterr().err == "this takes a disk\n"


STUBBORN = """
import time
from fusecat.stages import progress
progress.GRACE = 1.0
with progress.obeying(), progress.scratch() as folder:
    try:
        print(folder, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        {after}
"""


DEAF = """
import os, signal, threading
from fusecat.stages import progress
progress.GRACE = 1.0
with progress.obeying():
    with progress.heartbeat():  # a thread of its own, as in every command
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while True:
            try:
                print(flush=True)
                os.read(os.pipe()[0], 1)
            except KeyboardInterrupt:  # it came before the waiting
                pass
"""


def test_what_hears_no_signal_is_ended():
    with subprocess.Popen([sys.executable, "-c", DEAF], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


@pytest.mark.parametrize(("after", "said"), [("time.sleep(60)", True), ("exit(130)", False)])
def test_what_swallows_ctrl_c_is_ended(after, said):
    words = [sys.executable, "-c", STUBBORN.format(after=after)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert ("interrupted; the same command goes on from here" in process.stderr.read()) == said
    assert not folder.exists()


def test_nothing_but_a_command_is_ended():
    progress.end_soon()
    assert not progress._ending


def test_a_need_that_the_disk_cannot_meet_is_refused_and_a_large_one_is_told(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=3 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    assert forecast(tmp_path, 10**6) == ""
    assert forecast(tmp_path / "new", 2 * 10**9) == "this takes about 2.0 GB of disk (3.0 GB are free)"
    assert "and 5.0 GB of memory (" in forecast(tmp_path, 2 * 10**9, 5 * 10**9)
    with pytest.raises(OSError, match=r"about 4\.0 GB of disk are needed, 3\.0 GB are free") as refused:
        forecast(tmp_path / "new", 4 * 10**9)
    assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, os.fspath(tmp_path / "new"))


LATE = """
import atexit, os, signal
from fusecat.pipeline.cli import main
atexit.register(os.kill, os.getpid(), signal.SIGINT)  # while Python takes itself down, after what main registers
main()
"""


def test_ctrl_c_after_the_end_changes_nothing():
    words = [sys.executable, "-c", LATE, "--version"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout.startswith("fusecat")
