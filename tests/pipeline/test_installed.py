"""The check at the end of an installation: what a machine lacks, in one line with the way out."""

import importlib

import pytest

from fusecat.pipeline import installed


def test_what_is_installed_is_imported(capsys):
    assert installed.main() == 0 and capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("cv2", ImportError("libGL.so.1: cannot open shared object file"), "run 'apt-get install libgl1'"),
        ("lightgbm", OSError("libgomp.so.1: cannot open shared object file"), "run 'apt-get install libgomp1'"),
        ("torchvision", RuntimeError("operator torchvision::nms\ndoes not exist"), "remove .venv"),
        ("h5py", ImportError("no such thing"), "run 'make install' again"),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_remedy(name, error, told, monkeypatch, capsys):
    def imported(module):
        if module == name:
            raise error

    monkeypatch.setattr(importlib, "import_module", imported)
    assert installed.main() == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: {name} was installed but") and told in line and line.count("\n") == 1
