"""When a worker is started again: at once where it buys answers, ever more slowly where not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.reconcile.restart import (
    HEALTHY_S,
    LEAST_S,
    LONGEST_DELAY_S,
    PROVED_S,
    Life,
    Restart,
    restart,
)

ANSWERED = Life(lived_s=1.0, connected_s=0.9, runs=1)
IDLE = Life(lived_s=PROVED_S + 1, connected_s=PROVED_S, runs=0)
USELESS = Life(lived_s=1.0, connected_s=0.5, runs=0)
OFFLINE = Life(lived_s=3600.0, connected_s=None, runs=0)
HEALTHY = Life(lived_s=HEALTHY_S + 1, connected_s=HEALTHY_S, runs=9)


@pytest.mark.parametrize(
    ("life", "failures", "expected"),
    [
        (ANSWERED, 0, Restart(0.0, 0)),
        (ANSWERED, 7, Restart(0.0, 7)),
        (IDLE, 0, Restart(0.0, 0)),
        (USELESS, 0, Restart(0.5, 1)),
        (USELESS, 1, Restart(1.0, 2)),
        (USELESS, 2, Restart(2.0, 3)),
        (USELESS, 7, Restart(60.0, 8)),
        (USELESS, 10**6, Restart(60.0, 10**6 + 1)),
        (OFFLINE, 3, Restart(4.0, 4)),
        (HEALTHY, 7, Restart(0.0, 0)),
    ],
)
def test_the_table(life: Life, failures: int, expected: Restart) -> None:
    assert restart(life, failures, 0.0) == expected


def test_five_hundred_crashes_of_a_worker_that_answers_cost_no_waiting() -> None:
    failures = 0
    for _ in range(500):
        decided = restart(ANSWERED, failures, 0.5)
        assert decided.delay_s == 0.0
        failures = decided.failures


def test_an_answer_between_two_useless_starts_does_not_make_them_quicker() -> None:
    decided = Restart(0.0, 0)
    for _ in range(10):
        decided = restart(USELESS, decided.failures, 0.0)
        decided = restart(ANSWERED, decided.failures, 0.0)
    assert restart(USELESS, decided.failures, 0.0).delay_s == LONGEST_DELAY_S


def test_starts_are_a_little_apart_even_where_each_answers() -> None:
    life = Life(lived_s=0.03, connected_s=0.01, runs=1)
    assert restart(life, 0, 0.0).delay_s == pytest.approx(LEAST_S - 0.03)


@given(
    st.floats(0, 1e6),
    st.none() | st.floats(0, 1e6),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.floats(0, 1),
)
def test_it_is_never_given_up_and_never_takes_more_than_a_minute(
    lived_s: float, connected_s: float | None, runs: int, failures: int, chance: float
) -> None:
    life = Life(lived_s=lived_s, connected_s=connected_s, runs=runs)
    assert 0 <= restart(life, failures, chance).delay_s <= LONGEST_DELAY_S
