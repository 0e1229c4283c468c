"""When a worker connects again, and how it finds out that another client has its name."""

import pytest

from edge_agent.runtime.comeback import (
    ALONE_S,
    LONGEST_RETRY_S,
    MOST_SHORT,
    RIVAL_RETRY_S,
    STEADY_S,
    Comeback,
    Ending,
    after_end,
    retry_delay_s,
    rival_text,
)

SAID, SILENT, TAKEN_OVER = Ending.SAID, Ending.SILENT, Ending.TAKEN_OVER
SUSPECT = Comeback(attempt=3, short=MOST_SHORT)
TOLD = Comeback(attempt=1, is_told=True)


@pytest.mark.parametrize(
    ("before", "held_s", "ending", "after"),
    [
        (Comeback(), 0.0, SAID, Comeback(attempt=1)),
        (Comeback(attempt=3), STEADY_S, SAID, Comeback()),
        (Comeback(attempt=3), STEADY_S / 2, SAID, Comeback(attempt=4)),
        # One that ends soon has failed, even if messages came.
        (Comeback(), 1.0, SILENT, Comeback(attempt=1, short=1)),
        (Comeback(attempt=2, short=2), 1.0, SILENT, SUSPECT),
        # A broker that is away is no rival.
        (Comeback(attempt=2, short=2), 0.0, SILENT, Comeback(attempt=3, short=2)),
        (Comeback(attempt=2, short=2), STEADY_S, SILENT, Comeback()),
        # The rival steps back, too: a good connection is one that outlasts its pause.
        (SUSPECT, STEADY_S, SILENT, Comeback(attempt=4, short=MOST_SHORT + 1)),
        (SUSPECT, ALONE_S, SILENT, Comeback()),
        (Comeback(), 3600.0, TAKEN_OVER, Comeback(is_told=True)),
        (TOLD, 40.0, SILENT, Comeback(attempt=2, short=1, is_told=True)),
        (TOLD, ALONE_S, SAID, Comeback()),
    ],
)
def test_the_table(before: Comeback, held_s: float, ending: Ending, after: Comeback) -> None:
    assert after_end(before, held_s, ending) == after


def test_who_is_a_rival() -> None:
    assert not Comeback(attempt=100).has_rival
    assert SUSPECT.has_rival
    assert TOLD.has_rival


def test_pauses_double_up_to_a_bound_and_are_spread() -> None:
    pauses = [retry_delay_s(Comeback(attempt=number), 1.0) for number in (0, 3, 5, 10_000)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_RETRY_S
    tried = Comeback(attempt=5)
    assert 0 < retry_delay_s(tried, 0.0) < retry_delay_s(tried, 0.5)
    assert retry_delay_s(TOLD, 1.0) == RIVAL_RETRY_S


def test_a_person_is_told_the_name_and_what_to_do() -> None:
    for found in (TOLD, SUSPECT):
        text = rival_text(found, "line-1_wine", "10.0.0.5:1883")
        assert "'line-1_wine'" in text
        assert "10.0.0.5:1883" in text
        assert "agent.device" in text
