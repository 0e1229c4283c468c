"""What a download may wait for, by simulated time."""

import pytest

from edge_agent.errors import Superseded, Unavailable
from edge_agent.link.line import Patience
from edge_agent.link.pace import Pace
from tests.support.simulated_clock import SimulatedClock


class PassingClock(SimulatedClock):
    """A second passes whenever somebody looks."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


def patience(clock: SimulatedClock, *, bytes_per_s: float = 0, is_unwanted: bool = False):
    return Patience(
        "a file",
        clock=clock,
        deadline=1010.0,
        stall_s=5.0,
        pace=Pace(bytes_per_s),
        is_superseded=lambda: is_unwanted,
    )


def test_a_pause_for_the_rate_does_not_use_up_the_time():
    clock = PassingClock(monotonic=1000.0)
    one = patience(clock, bytes_per_s=1000)
    one.paid(8000)
    assert clock.monotonic() > 1008
    one.check()
    clock.advance(20)
    with pytest.raises(Unavailable) as caught:
        one.check()
    assert caught.value.code == "download_too_slow"
    assert "8000 bytes" in caught.value.text


def test_a_step_never_takes_longer_than_what_is_left():
    clock = SimulatedClock(monotonic=1000.0)
    one = patience(clock)
    assert one.left_s(5.0) == 5.0
    clock.advance(8)
    assert one.left_s(5.0) == 2.0
    clock.advance(8)
    assert 0 < one.left_s(5.0) < 0.1


def test_a_silence_is_measured_from_when_it_began():
    clock = SimulatedClock(monotonic=1000.0)
    one = patience(clock)
    until = one.until()
    clock.advance(4)
    assert not one.is_over(until)
    clock.advance(1)
    assert one.is_over(until)


def test_what_is_not_wanted_waits_for_nothing():
    one = patience(SimulatedClock(), bytes_per_s=1, is_unwanted=True)
    with pytest.raises(Superseded):
        one.check()
    with pytest.raises(Superseded):
        one.paid(10**9)
