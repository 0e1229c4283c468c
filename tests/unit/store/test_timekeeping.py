"""What is believed of a machine's clock, over hours and years that no test waits for."""

from edge_agent.store.timekeeping import (
    BELIEVED_S,
    DISPROVED_S,
    KEEP_EVERY_S,
    RELEASED,
    Reading,
    Step,
    Timekeeping,
    begin,
    kept,
    look,
)

DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
NOW = RELEASED + YEAR_S


class Machine:
    """A machine whose clock a test sets; it is looked at every minute."""

    def __init__(self, *, wall: float, is_synced: bool, floor: float | None = None) -> None:
        self.elapsed = 500.0
        self.wall = wall
        self.is_synced = is_synced
        self.steps: list[Step] = []
        self.known: Timekeeping = begin(floor, self._reading())

    def _reading(self) -> Reading:
        return Reading(elapsed=self.elapsed, wall=self.wall, is_synced=self.is_synced)

    def run(self, seconds: float) -> None:
        while seconds > 0:
            passed = min(60.0, seconds)
            seconds -= passed
            self.elapsed += passed
            self.wall += passed
            self.look()

    def set_clock(self, wall: float) -> None:
        self.wall = wall
        self.look()

    def look(self) -> None:
        self.known, step = look(self.known, self._reading())
        if step is not None:
            self.steps.append(step)

    def believed(self) -> float:
        return self.known.wall(self.elapsed, self.wall)

    def is_behind(self) -> bool:
        return self.known.is_behind(self.elapsed, self.wall)


def test_a_new_device_in_1970_counts_from_the_release() -> None:
    machine = Machine(wall=0.0, is_synced=False)
    assert machine.believed() == RELEASED
    machine.run(100)
    assert machine.believed() == RELEASED + 100
    assert machine.is_behind()


def test_a_device_that_wakes_up_in_1970_counts_from_the_last_time_it_knew() -> None:
    machine = Machine(wall=12.0, is_synced=False, floor=NOW)
    machine.run(30)
    assert machine.believed() == NOW + 30


def test_a_floor_older_than_the_release_is_not_used() -> None:
    assert Machine(wall=0.0, is_synced=False, floor=1.0).believed() == RELEASED


def test_a_clock_at_the_right_time_is_taken_as_it_is() -> None:
    machine = Machine(wall=NOW, is_synced=False, floor=NOW - DAY_S)
    assert machine.believed() == NOW
    assert not machine.is_behind()


def test_a_synchronized_clock_raises_the_floor_after_a_while() -> None:
    machine = Machine(wall=NOW, is_synced=True)
    machine.run(BELIEVED_S - 60)
    assert machine.known.floor == RELEASED
    machine.run(120)
    assert machine.known.least(machine.elapsed) == machine.wall


def test_a_clock_that_is_not_synchronized_never_raises_the_floor() -> None:
    machine = Machine(wall=NOW + 10 * YEAR_S, is_synced=False)
    machine.run(3 * DAY_S)
    assert machine.known.floor == RELEASED


def test_ten_years_ahead_for_a_while_do_not_poison_the_future() -> None:
    machine = Machine(wall=NOW, is_synced=True)
    machine.run(2 * BELIEVED_S)
    machine.is_synced = False  # as the kernel does when somebody sets the clock
    machine.set_clock(machine.wall + 10 * YEAR_S)
    machine.run(DAY_S)
    machine.is_synced = True
    machine.set_clock(NOW + 2 * BELIEVED_S + DAY_S)
    machine.run(60)
    assert machine.believed() == machine.wall
    assert machine.known.least(machine.elapsed) <= machine.wall + 1e-3


def test_ten_years_ahead_by_a_false_time_server_end_after_a_day_of_the_right_one() -> None:
    machine = Machine(wall=NOW + 10 * YEAR_S, is_synced=True)
    machine.run(2 * BELIEVED_S)
    assert machine.known.floor > NOW + 9 * YEAR_S
    machine.set_clock(NOW)
    machine.run(DISPROVED_S / 2)
    assert machine.is_behind()
    machine.run(DISPROVED_S)
    assert not machine.is_behind()
    assert machine.believed() == machine.wall
    assert machine.known.is_due, "the file holds the false floor"


def test_the_floor_is_never_lowered_below_the_release() -> None:
    machine = Machine(wall=0.0, is_synced=True)
    machine.run(2 * DISPROVED_S)
    assert machine.known.floor == RELEASED


def test_an_hour_back_changes_nothing_that_is_believed() -> None:
    machine = Machine(wall=NOW, is_synced=True)
    machine.run(2 * BELIEVED_S)
    right = machine.wall
    machine.is_synced = False
    machine.set_clock(machine.wall - 3600)
    assert abs(machine.believed() - right) < 1e-3
    machine.run(600)
    assert abs(machine.believed() - (right + 600)) < 1e-3


def test_each_step_is_told_once() -> None:
    machine = Machine(wall=NOW, is_synced=True)
    machine.run(60)
    for target in (NOW + 3660, NOW + 60, 0.0, NOW + 10 * YEAR_S):
        before = machine.wall
        machine.steps.clear()
        machine.set_clock(target)
        machine.run(300)
        (step,) = machine.steps
        assert (step.before, step.after) == (before, target)
        assert step.by_s == target - before


def test_slewing_is_no_step() -> None:
    machine = Machine(wall=NOW, is_synced=True)
    for _ in range(1000):
        machine.wall += 0.03  # half a millisecond a second, as adjtime does
        machine.run(60)
    assert machine.steps == []


def test_a_step_begins_the_waiting_anew() -> None:
    machine = Machine(wall=NOW, is_synced=True)
    machine.run(BELIEVED_S - 60)
    machine.set_clock(NOW + DAY_S)
    machine.run(BELIEVED_S - 60)
    assert machine.known.floor == RELEASED


def test_the_floor_is_written_once_an_hour() -> None:
    machine = Machine(wall=NOW, is_synced=True)
    machine.run(2 * BELIEVED_S)
    assert machine.known.is_due
    machine.known = kept(machine.known, machine.known.floor)
    machine.run(KEEP_EVERY_S - 60)
    assert not machine.known.is_due
    machine.run(120)
    assert machine.known.is_due
