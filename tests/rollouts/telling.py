"""Hypothesis draws stories, has each told, and makes one that fails as short as it can.

It only chooses; what a story means stands in `story`, and what must hold in `fleet`.
"""

from collections.abc import Callable
from typing import Final

from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from tests.rollouts.story import BYTES, Story, story_of

CHAPTER: Final = 1_000
"""Stories that are drawn with one seed."""

_STORIES: Final = st.binary(min_size=BYTES, max_size=BYTES).map(story_of)


def explore(
    first: int, listen: Callable[[Story], None], *, count: int = CHAPTER, shrinks: bool = True
) -> None:
    """Have stories told.

    Args:
        first: seed of what is drawn; the same one draws the same stories.
        listen: tells one; raises if something does not hold.
        count: how many, all of them drawn differently.
        shrinks: whether the shortest failure is looked for.

    Raises:
        Exception: what `listen` raised, with the shortest story in its notes.
    """

    @seed(first)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(_STORIES)
    def hear(story: Story) -> None:
        note(repr(story))
        listen(story)

    hear()
