"""A small study of which every value is known."""

from pathlib import Path

import numpy as np
import pytest

from fusecat.cache.store import FeatureCache, Rows
from tests.cache.study import study_rows


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "étude n° 1" / "features")


@pytest.fixture
def rows() -> Rows:
    return study_rows(700)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)
