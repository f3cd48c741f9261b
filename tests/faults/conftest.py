"""One small study for all fault tests of commands, whichever worker needs it first."""

import os
import shutil
from collections.abc import Iterator
from unittest import mock

import pytest
from filelock import FileLock

from tests.faults.study import STRATEGY, Small, fusecat, make_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Not to be changed: take a copy."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small-study"
    with FileLock(f"{root}.lock"):
        if not (root / "made").exists():
            shutil.rmtree(root, ignore_errors=True)
            make_study(root)
            (root / "made").touch()
    return Small(root)


@pytest.fixture(scope="module")
def quick_report() -> Iterator[None]:
    """Pictures and cards take seconds, and read nothing that is not read before."""
    writing = "fusecat.pipeline.report.output"
    with mock.patch(f"{writing}.page", lambda *_: "whole"), mock.patch(f"{writing}.cards", lambda _: None):
        yield


@pytest.fixture(scope="module")
def place(study: Small, tmp_path_factory: pytest.TempPathFactory, quick_report: None) -> Small:
    """Where copies of the study are made, always under the same path; what commands import is imported."""
    small = study.copy(tmp_path_factory.mktemp("place"))
    shutil.rmtree(small.workspace / "predictions")
    ended = fusecat(*small.at("predict", small.new, "--strategy", STRATEGY))
    assert ended.code == 0, ended.err
    return small
