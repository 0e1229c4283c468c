"""The parts of the service, without processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud import Cloud, cloud


@pytest.fixture
def parts_of_cloud(tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path) as made:
        yield made
