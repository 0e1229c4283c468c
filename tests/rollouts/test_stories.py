"""Whatever happens to a fleet, its services and its people, in any order: rollouts keep to what
they promise.

The same stories in every run; `python -m tests.rollouts` tells new ones for as long as it is let.
"""

from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.rollouts.machine import RolloutMachine
from tests.rollouts.story import Story, shortest, story_of, tell

STORIES: Final = 10_000
CHAPTER: Final = 1_000
EXAMPLES: Final = 150
RULES: Final = 30

pytestmark = pytest.mark.timeout(600)  # a busy machine is no failure

TestRolloutMachine = RolloutMachine.TestCase
TestRolloutMachine.settings = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=EXAMPLES,
    stateful_step_count=RULES,
    suppress_health_check=list(HealthCheck),
)


def _failure(story: Story) -> str:
    try:
        tell(story)
    except Exception as error:  # noqa: BLE001 - whatever a story ends with is the finding
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("first", range(0, STORIES, CHAPTER))
def test_every_promise_is_kept_whatever_happens(first: int) -> None:
    for seed in range(first, first + CHAPTER):
        story = story_of(seed)
        if found := _failure(story):
            pytest.fail(f"seed {seed}: {_shortest(story, found[:40])}")


def _shortest(story: Story, kind: str) -> str:
    size, calls = shortest(story, lambda one: _failure(one).startswith(kind))
    told = "\n".join(f"  {name}{arguments}" for name, arguments in calls)
    return f"{size} devices\n{told}\n{_failure((size, calls))}"
