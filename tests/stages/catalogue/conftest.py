from collections.abc import Iterator

import pytest

from stages.catalogue.looking import Lookers


@pytest.fixture(scope="session")
def lookers() -> Iterator[Lookers]:
    """One process that looks at pictures, for all tests: starting it anew for each would take most of their time."""
    with Lookers(1) as team:
        yield team
