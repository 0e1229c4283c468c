"""The walk is made once: its tests look at what it found from different sides."""

import pytest

from tests.faults.walk import Walk, walk


@pytest.fixture(scope="session")
def short_walk() -> Walk:
    """The short form of the walk."""
    return walk("short")
