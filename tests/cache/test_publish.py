import errno
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fusecat.cache import publish as published
from fusecat.cache.errors import ForeignFile
from fusecat.cache.publish import copy_tree, publish, publish_arrays, publishing, publishing_folder, publishing_text, set_aside

ROOT = Path(__file__).parents[2]


def test_a_file_appears_whole_with_the_mode_of_new_files_and_nothing_beside_it(tmp_path):
    old = os.umask(0o027)
    try:
        assert publish(tmp_path / "new" / "a.json", "gâteau").read_text("utf-8") == "gâteau"
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new" / "a.json").stat().st_mode) == 0o640
    publish_arrays(tmp_path / "new" / "b.npz", {"x": np.arange(3)})
    with np.load(tmp_path / "new" / "b.npz") as file:
        assert file["x"].tolist() == [0, 1, 2]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.json", "b.npz"]


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    publish(tmp_path / "a", b"old")
    with pytest.raises(KeyError), publishing(tmp_path / "a") as file:
        file.write(b"new")
        raise KeyError
    with pytest.raises(UnicodeEncodeError), publishing_text(tmp_path / "a") as text:
        text.write("\udc80")
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == b"old"


def test_writers_at_the_same_time_do_not_mix_and_the_last_stands(tmp_path):
    def write(number):
        with publishing(tmp_path / "a") as file:
            for _ in range(50):
                file.write(bytes([number]) * 1000)
                time.sleep(0.001)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(set((tmp_path / "a").read_bytes())) == 1 and (tmp_path / "a").stat().st_size == 50_000
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from fusecat.cache.publish import publishing, publishing_folder\n"
        "here = Path(sys.argv[1])\n"
        "with publishing(here / 'a'), publishing_folder(here / 'b'): print('ready', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout.readline() == b"ready\n"
        publish(tmp_path / "a", b"1")
        with publishing_folder(tmp_path / "b"):
            pass
        assert len(list(tmp_path.glob(".*.part"))) == 2, "the living writer's"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    publish(tmp_path / "a", b"2")
    with publishing_folder(tmp_path / "b"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_takes_the_place_of_another_in_one_step(tmp_path):
    for text in ("old", "new"):
        with publishing_folder(tmp_path / "model") as folder:
            publish(folder / "heads" / "a", text)
            if text == "new":
                assert (tmp_path / "model" / "heads" / "a").read_text() == "old"
        assert (tmp_path / "model" / "heads" / "a").read_text() == text
    with pytest.raises(KeyError), publishing_folder(tmp_path / "model") as folder:
        publish(folder / "b", "never")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["heads"]


def test_without_an_exchange_the_old_folder_is_moved_first(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "_exchange", lambda *_: False)
    test_a_folder_takes_the_place_of_another_in_one_step(tmp_path)


def test_folders_written_at_the_same_time_do_not_mix(tmp_path):
    def fill(number):
        with publishing_folder(tmp_path / "model") as folder:
            for name in ("a", "b"):
                (folder / name).write_text(str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(60)))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "a").read_text() == (tmp_path / "model" / "b").read_text()


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path; from fusecat.cache.publish import publish\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: publish(Path(sys.argv[1]) / 'a', bytes(100_000))\n"
        "except OSError as error: print(error.errno, error.filename)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"{errno.EFBIG} {tmp_path / 'a'}\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_set_aside_overwrites_nothing(tmp_path):
    for text in ("one", "two"):
        (tmp_path / "a.json").write_text(text)
        set_aside(tmp_path / "a.json")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json.damaged": "one", "a.json.damaged-2": "two"}


def test_a_tree_is_copied_without_its_modes_and_links_are_refused(tmp_path):
    publish(tmp_path / "from" / "deep" / "a", "a")
    publish(tmp_path / "from" / "left", "b")
    (tmp_path / "from" / "deep" / "a").chmod(0o600)
    copy_tree(tmp_path / "from", tmp_path / "to", ["left"])
    assert stat.S_IMODE((tmp_path / "to" / "deep" / "a").stat().st_mode) == 0o666 & ~_umask()
    assert not (tmp_path / "to" / "left").exists()
    (tmp_path / "from" / "link").symlink_to("/etc/passwd")
    with pytest.raises(ForeignFile, match="link"):
        copy_tree(tmp_path / "from", tmp_path / "again")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
