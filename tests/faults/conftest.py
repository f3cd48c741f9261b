"""One small study for all fault tests of commands, whichever worker needs it first."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from tests.faults.study import Small, make_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Not to be changed: take a copy."""
    kept = os.environ.get("FUSECAT_FAULTS")
    base = tmp_path_factory.getbasetemp()
    root = Path(kept) if kept else (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small-study"
    with FileLock(f"{root}.lock"):
        if not (root / "made").exists():
            make_study(root)
            (root / "made").touch()
    return Small(root)
