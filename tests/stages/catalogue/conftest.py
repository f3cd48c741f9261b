from collections.abc import Iterator

import pytest

from fusecat.stages.catalogue.decode_workers import DecodeWorkers


@pytest.fixture(scope="session")
def decode_workers() -> Iterator[DecodeWorkers]:
    """One process that looks at pictures, for all tests: starting it anew for each would take most of their time."""
    with DecodeWorkers(1) as team:
        yield team
