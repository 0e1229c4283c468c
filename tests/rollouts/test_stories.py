"""Whatever happens to a fleet, its services and its people, in any order: rollouts keep to what
they promise.

Hypothesis draws the same stories in every run; `python -m tests.rollouts` draws new ones for as
long as it is let.
"""

from typing import Final

import pytest

from tests.rollouts.story import Story, tell
from tests.rollouts.telling import CHAPTER, explore

STORIES: Final = 10_000

pytestmark = pytest.mark.timeout(600)  # a busy machine is no failure


@pytest.mark.parametrize("chapter", range(STORIES // CHAPTER))
def test_every_promise_is_kept_whatever_happens(chapter: int) -> None:
    told = 0

    def listen(story: Story) -> None:
        nonlocal told
        tell(story)
        told += 1

    explore(chapter, listen)
    assert told >= CHAPTER
