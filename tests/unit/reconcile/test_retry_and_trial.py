"""Retries and trials: values in, decisions out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import SlotError
from edge_agent.reconcile.retry import LONGEST_DELAY_S, delay_s, remaining_s
from edge_agent.reconcile.trial import Outcome, TrialRun, judge


@given(st.integers(0, 10**9), st.floats(0, 1), st.floats(0, 3600))
def test_a_delay_is_bounded_and_respects_what_was_asked(attempts, chance, asked):
    delay = delay_s(attempts, chance, at_least_s=asked)
    assert asked <= delay <= asked + LONGEST_DELAY_S


@given(st.integers(1, 1000), st.floats(0, 1))
def test_a_delay_never_shrinks_with_attempts(attempts, chance):
    assert delay_s(attempts + 1, chance) >= delay_s(attempts, chance)


def test_a_fleet_does_not_come_back_together():
    delays = [delay_s(5, chance / 4) for chance in range(5)]
    assert delays == [0.0, 8.0, 16.0, 24.0, 32.0]


@given(st.none() | st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_a_clock_that_jumps_cannot_stop_retries(next_retry, now):
    assert 0 <= remaining_s(next_retry, now) <= LONGEST_DELAY_S


RULE = Trial(seconds=10, messages=100, max_error_rate=0.01)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (TrialRun(elapsed_s=0), Outcome.RUNNING),
        (TrialRun(elapsed_s=10), Outcome.PASSED),
        (TrialRun(elapsed_s=1, answered=99), Outcome.RUNNING),
        (TrialRun(elapsed_s=1, answered=100), Outcome.PASSED),
        (TrialRun(elapsed_s=1, answered=99, model_errors=1), Outcome.PASSED),
        (TrialRun(elapsed_s=1, answered=98, model_errors=2), "trial_errors"),
        (TrialRun(elapsed_s=1, model_errors=1), Outcome.RUNNING),
        (TrialRun(elapsed_s=10, model_errors=1), "trial_errors"),
        (TrialRun(elapsed_s=1, model_errors=20), "trial_errors"),
        (TrialRun(elapsed_s=1, crashes=1), "worker_crashed"),
        (TrialRun(elapsed_s=1, agent_starts=3), "agent_restarted"),
    ],
)
def test_a_trial_is_judged_by_model_errors_crashes_and_time(run, expected):
    found = judge(run, RULE)
    assert (found.code if isinstance(found, SlotError) else found) == expected


def test_a_trial_without_time_ends_at_once_and_without_messages_by_time_only():
    assert judge(TrialRun(elapsed_s=0), Trial(seconds=0)) is Outcome.PASSED
    by_time = Trial(seconds=5, messages=0)
    assert judge(TrialRun(elapsed_s=1, answered=10**6), by_time) is Outcome.RUNNING
    assert judge(TrialRun(elapsed_s=5), by_time) is Outcome.PASSED
