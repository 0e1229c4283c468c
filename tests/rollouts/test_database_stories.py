"""The stories again on a real database, with two services: what is stored is what was decided."""

from pathlib import Path
from typing import Final

import pytest

from tests.rollouts.database import DatabaseFleet, prepare
from tests.rollouts.story import Story
from tests.rollouts.telling import explore

STORIES: Final = 40
CHAPTER: Final = 10

pytestmark = pytest.mark.timeout(600)  # a busy machine is no failure


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    prepare(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("chapter", range(STORIES // CHAPTER))
def test_every_promise_is_kept_on_a_real_database(
    chapter: int, template: Path, tmp_path: Path
) -> None:
    told = 0

    def listen(story: Story) -> None:
        nonlocal told
        told += 1
        fleet = DatabaseFleet(story.size, template, tmp_path / str(told))
        try:
            for name, arguments in story.calls:
                getattr(fleet, name)(*arguments)
                fleet.check()
            fleet.calm()
        finally:
            fleet.close()

    explore(chapter, listen, count=CHAPTER, shrinks=False)
    assert told == CHAPTER
