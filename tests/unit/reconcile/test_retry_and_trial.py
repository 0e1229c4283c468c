"""Retries and trials: values in, decisions out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import SlotError
from edge_agent.reconcile.retry import LONGEST_DELAY_S, LONGEST_WAIT_S, delay_s, remaining_s
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


@given(st.none() | st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_a_clock_that_jumps_cannot_stop_retries(next_retry, since, now):
    assert 0 <= remaining_s(next_retry, since, now) <= LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("failed_at", "now", "left_s"),
    [
        (1000.0, 1010.0, 20.0),
        (1000.0, 1040.0, 0.0),
        (1000.0 + 3600, 1010.0, 30.0),  # the clock was an hour ahead when it failed
        (1000.0 + 10 * 365 * 86_400, 1010.0, 30.0),
        (0.0, 1010.0, 0.0),  # it failed in 1970
    ],
)
def test_a_wait_goes_on_after_a_restart_and_is_never_longer_than_it_was(failed_at, now, left_s):
    assert remaining_s(failed_at + 30.0, failed_at, now) == left_s


def answering(seconds: float, **options) -> TrialRun:
    """A run whose worker has been connected for so long."""
    return TrialRun(running_s=seconds, connected_s=seconds, **options)


RULE = Trial(seconds=10, messages=100, max_error_rate=0.01)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (answering(0), Outcome.RUNNING),
        (answering(10), Outcome.PASSED),
        (answering(1, answered=99), Outcome.RUNNING),
        (answering(1, answered=100), Outcome.PASSED),
        (answering(1, answered=99, model_errors=1), Outcome.PASSED),
        (answering(1, answered=98, model_errors=2), "trial_errors"),
        (answering(1, model_errors=1), Outcome.RUNNING),
        (answering(10, model_errors=1), "trial_errors"),
        (answering(1, model_errors=20), "trial_errors"),
        (answering(1, crashes=1), "worker_crashed"),
    ],
)
def test_a_trial_is_judged_by_model_errors_crashes_and_time(run, expected):
    found = judge(run, RULE)
    assert (found.code if isinstance(found, SlotError) else found) == expected


def test_a_model_that_failed_says_with_what() -> None:
    run = answering(10, model_errors=12, model_error="model_failed: Gather: idx=7 out of bounds")
    found = judge(run, RULE)
    assert isinstance(found, SlotError)
    assert "failed 12 of 12" in found.text
    assert found.text.endswith("; most often model_failed: Gather: idx=7 out of bounds")


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (TrialRun(), Outcome.RUNNING),
        (TrialRun(running_s=99), Outcome.RUNNING),
        (TrialRun(running_s=99, connected_s=9), Outcome.RUNNING),
        (TrialRun(running_s=99, connected_s=10), Outcome.PASSED),
        (TrialRun(running_s=100), Outcome.PASSED),
    ],
)
def test_time_counts_from_the_connection_and_a_broker_that_stays_away_only_delays(run, expected):
    assert judge(run, RULE) is expected


def test_what_is_not_loaded_passes_no_trial():
    assert judge(TrialRun(), Trial(seconds=0)) is Outcome.RUNNING


def test_a_trial_without_time_ends_at_once_and_without_messages_by_time_only():
    assert judge(answering(0), Trial(seconds=0)) is Outcome.PASSED
    by_time = Trial(seconds=5, messages=0)
    assert judge(answering(1, answered=10**6), by_time) is Outcome.RUNNING
    assert judge(answering(5), by_time) is Outcome.PASSED
