"""What is told of a clock that is set, and how often."""

import pytest

from edge_agent.contract.messages import Event
from edge_agent.daemon.clock_watch import ClockWatch, shown
from edge_agent.store.clock import ClockState
from edge_agent.store.timekeeping import Step


class Watched:
    """A clock of which a test says what is found."""

    def __init__(self) -> None:
        self.found = ClockState(is_synced=True, system=100.0, floor=50.0)
        self.steps: list[Step] = []

    def look(self) -> Step | None:
        return self.steps.pop() if self.steps else None

    def state(self) -> ClockState:
        return self.found


class World:
    def __init__(self) -> None:
        self.clock = Watched()
        self.events: list[Event] = []
        self.changes = 0
        self.watch = ClockWatch(self.clock, on_event=self.events.append, on_change=self._changed)

    def _changed(self) -> None:
        self.changes += 1


def test_each_step_is_one_event_with_both_times() -> None:
    world = World()
    world.watch.tick()
    world.clock.steps.append(Step(before=1_700_000_000.0, after=1_700_003_600.0))
    world.watch.tick()
    world.watch.tick()
    (event,) = world.events
    assert (event.name, event.level) == ("clock_stepped", "warning")
    assert event.detail == {
        "from": "1700000000.000",
        "to": "1700003600.000",
        "by_s": "3600.000",
    }
    assert "2023-11-14 22:13:20Z" in event.text


def test_a_clock_behind_the_floor_is_told_once() -> None:
    world = World()
    world.clock.found = ClockState(system=5.0, floor=1_700_000_000.0, is_behind=True)
    for _ in range(3):
        world.watch.tick()
    assert [event.name for event in world.events] == ["clock_behind"]
    world.clock.found = ClockState(is_synced=True, system=1_800_000_000.0)
    world.watch.tick()
    assert len(world.events) == 1


def test_the_cloud_is_told_when_the_clock_begins_or_ceases_to_be_right() -> None:
    world = World()
    for is_synced in (True, True, False, False, True):
        world.clock.found = ClockState(is_synced=is_synced)
        world.watch.tick()
    assert world.changes == 2


@pytest.mark.parametrize(
    ("moment", "text"),
    [(0.0, "1970-01-01 00:00:00Z"), (1e300, f"{1e300:.0f} s since 1970")],
)
def test_times_are_shown_as_people_read_them(moment: float, text: str) -> None:
    assert shown(moment) == text
