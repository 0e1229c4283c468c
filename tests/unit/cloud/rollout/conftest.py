"""A fleet on strings and a service on a real database, for tests of how rollouts are driven."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud import cloud
from tests.support.puppets import NAMES, Clock, Puppets


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Puppets]:
    """Twenty devices, or those that the test's file names."""
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        yield Puppets(made, clock, getattr(request.module, "NAMES", NAMES))
