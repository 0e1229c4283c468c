"""The stories again on a real database, with two services: what is stored is what was decided."""

from pathlib import Path
from typing import Final

import pytest

from tests.rollouts.database import DatabaseFleet, prepare
from tests.rollouts.story import story_of

STORIES: Final = 40
CHAPTER: Final = 10

pytestmark = pytest.mark.timeout(600)  # a busy machine is no failure


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    prepare(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, STORIES, CHAPTER))
def test_every_promise_is_kept_on_a_real_database(
    first: int, template: Path, tmp_path: Path
) -> None:
    for seed in range(first, first + CHAPTER):
        size, calls = story_of(seed)
        fleet = DatabaseFleet(size, template, tmp_path / str(seed))
        try:
            for name, arguments in calls:
                getattr(fleet, name)(*arguments)
                fleet.check()
            fleet.calm()
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")
        finally:
            fleet.close()
