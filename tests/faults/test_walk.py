"""Every step of the agent, and every call of its store: killed at, out of space, failing.

The device is a real one but for its workers, and so are the processes that are killed. What there
is to walk is read from the code: a step, a transition, a transaction or a function of the store
that the walk does not come by fails here, by its name. Then `story.py` needs another chapter.
"""

import pytest

from edge_agent.store.journal import Journal
from edge_agent.store.outbox import Outbox
from tests.faults.inventory import disk_functions, step_kinds, transitions, writing_methods
from tests.faults.preload import Action
from tests.faults.walk import Walk

pytestmark = [pytest.mark.needs("cc"), pytest.mark.timeout(900)]

LEAST_KILLS = 1000
LONGEST_RECOVERY_S = 5.0


def test_whatever_happens_the_device_has_the_old_state_or_the_new_one_and_goes_on(
    short_walk: Walk,
) -> None:
    complaints = short_walk.complaints()
    assert not complaints, f"{len(complaints)} complaints, the first: " + "\n".join(complaints[:5])
    assert not any(outcome.is_torn for outcome in short_walk.outcomes)


def test_a_thousand_processes_are_killed_at_calls_all_over_the_walk(short_walk: Walk) -> None:
    assert short_walk.kills >= LEAST_KILLS
    # Nothing was meant to fail and did not.
    assert all(outcome.point for outcome in short_walk.outcomes)


def test_every_fail_point_is_killed_at_and_fails_in_each_way(short_walk: Walk) -> None:
    names = {str(point) for recording in short_walk.recordings for point in recording.points}
    for action in (Action.KILL, Action.FULL, Action.FAIL):
        met = {
            outcome.point for outcome in short_walk.outcomes if outcome.scenario.action is action
        }
        assert not names - met, f"not reached by {action.name}"


def test_a_start_after_a_fault_is_soon_over(short_walk: Walk) -> None:
    assert short_walk.max_recovery_s <= LONGEST_RECOVERY_S


def test_every_step_is_walked(short_walk: Walk) -> None:
    walked = {step for recording in short_walk.recordings for step in recording.steps}
    assert not step_kinds() - walked


def test_every_transition_is_walked_and_written(short_walk: Walk) -> None:
    walked = {name for recording in short_walk.recordings for name in recording.transitions}
    assert not transitions() - walked


def test_every_transaction_is_walked(short_walk: Walk) -> None:
    wanted = {
        f"store.{module}.{kind.__name__}.{method}"
        for module, kind in (("journal", Journal), ("outbox", Outbox))
        for method in writing_methods(kind)
    }
    assert not wanted - short_walk.functions


def test_every_function_of_the_store_that_changes_the_disk_is_walked(short_walk: Walk) -> None:
    assert not disk_functions() - short_walk.functions
