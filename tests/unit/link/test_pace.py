"""The rate of all downloads together, by simulated time."""

import heapq

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.link.pace import LEAST_READ, MOST_READ, Pace, due_after, read_bytes


def reads(pace: Pace, slots: int, total: int, answer_s: float) -> list[tuple[float, int]]:
    """When bytes are taken, and how many: slots that read as fast as the pace lets them."""
    taken: list[tuple[float, int]] = []
    ready = [(index * 0.001, index) for index in range(slots)]
    while sum(size for _, size in taken) < total:
        now, slot = heapq.heappop(ready)
        taken.append((now, pace.read_bytes))
        heapq.heappush(ready, (now + pace.wait_s(now, pace.read_bytes) + answer_s, slot))
    return taken


@given(
    st.integers(1, 100_000).map(lambda kb: kb * 1024),
    st.integers(1, 5),
    st.floats(0, 0.2),
    st.floats(0.1, 5),
)
def test_no_window_of_time_holds_more_than_the_rate_and_a_read_of_each(
    rate, slots, answer_s, window_s
):
    pace = Pace(rate)
    taken = reads(pace, slots, 60 * pace.read_bytes, answer_s)
    for start, _ in taken:
        inside = sum(size for moment, size in taken if start <= moment < start + window_s)
        assert inside <= rate * window_s + (slots + 1) * pace.read_bytes + 1


@given(st.integers(1, 10_000).map(lambda kb: kb * 1024), st.integers(1, 5))
def test_the_rate_is_reached_however_many_slots_share_it(rate, slots):
    pace = Pace(rate)
    taken = reads(pace, slots, 200 * pace.read_bytes, 0.0)
    elapsed = taken[-1][0] - taken[0][0]
    measured = sum(size for _, size in taken[:-1]) / elapsed
    assert 0.9 * rate <= measured <= 1.1 * rate


def test_without_a_bound_nobody_waits():
    assert Pace(0).wait_s(5.0, 10**9) == 0
    assert read_bytes(0) == MOST_READ


def test_a_pause_is_not_saved_up_for_a_burst():
    assert due_after(0.0, 100.0, 1000, 1000.0) == 101.0
    assert due_after(200.0, 100.0, 1000, 1000.0) == 201.0


@given(st.floats(1, 1e12))
def test_reads_are_small_enough_for_an_even_flow_and_large_enough_to_be_worth_it(rate):
    assert LEAST_READ <= read_bytes(rate) <= MOST_READ
