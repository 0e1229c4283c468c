"""Waits by chance that are the same every time."""

from cloud_sync.rollout.jitter import LONGEST_S, chance, delay_s


def test_waits_double_at_most_and_end_at_a_day() -> None:
    for attempt in range(1, 100):
        bound = min(LONGEST_S, 60 * 2 ** (attempt - 1))
        assert all(0 <= delay_s(seed, "d1", attempt, 60) < bound for seed in range(20))


def test_waits_are_spread_over_all_of_their_range() -> None:
    waits = [delay_s(7, f"d{number}", 1, 100) for number in range(1000)]
    assert len(set(waits)) == 1000
    assert all(50 < sum(low <= one < low + 10 for one in waits) < 150 for low in range(0, 100, 10))


def test_the_same_choice_is_made_after_a_restart() -> None:
    assert delay_s(7, "d1", 2, 60) == delay_s(7, "d1", 2, 60)
    assert chance(7, "d1") != chance(8, "d1")
