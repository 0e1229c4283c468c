"""What programs on the device are told when they end locks."""

from pathlib import Path

import pytest

from edge_agent.daemon.lock_client import lock, unlock, unlock_line
from edge_agent.daemon.lock_desk import LockDesk
from edge_agent.errors import InvalidInput
from edge_agent.store.locks import ALL_SLOTS, Locks
from tests.support.simulated_clock import SimulatedClock


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def desk(tmp_path: Path, changes: list[str]) -> LockDesk:
    return LockDesk(
        Locks(tmp_path, SimulatedClock(), 86_400.0),
        known=lambda: {"probe", "line"},
        busy=set,
        on_change=lambda: changes.append("changed"),
    )


def test_an_unlock_of_all_ends_the_locks_of_single_slots_too(
    desk: LockDesk, changes: list[str]
) -> None:
    desk.lock("probe", 300, "cutting")
    desk.lock(ALL_SLOTS, 300, "night")
    changes.clear()
    answer = desk.unlock(ALL_SLOTS)
    assert (answer.was_held, answer.ended, answer.lock) == (True, (ALL_SLOTS, "probe"), None)
    assert desk.ask("probe").lock is None
    assert changes == ["changed"]
    assert unlock_line(answer) == (
        "all slots: not locked; ended: the lock of all slots, that of probe"
    )
    again = desk.unlock(ALL_SLOTS)
    assert not again.was_held
    assert unlock_line(again) == "all slots: not locked; it was not locked before"


def test_an_unlock_of_a_slot_says_that_the_lock_of_all_still_holds_it(desk: LockDesk) -> None:
    desk.lock("probe", 60, "")
    desk.lock(ALL_SLOTS, 300, "night")
    answer = desk.unlock("probe")
    assert answer.ended == ("probe",)
    assert answer.lock is not None
    line = unlock_line(answer)
    assert line.startswith("probe: locked until")
    assert "by the lock of all slots: 'edge-agent unlock' ends that, too" in line
    assert desk.unlock(ALL_SLOTS).ended == (ALL_SLOTS,)


def test_an_unlock_of_a_slot_that_is_not_there_is_refused(desk: LockDesk) -> None:
    answer = desk.unlock("porbe")
    assert answer.failure is not None
    assert answer.failure.code == "not_found"


def test_a_lock_of_a_slot_that_is_gone_can_be_ended(tmp_path: Path) -> None:
    known = {"probe"}
    desk = LockDesk(
        Locks(tmp_path, SimulatedClock(), 86_400.0),
        known=lambda: known,
        busy=set,
        on_change=lambda: None,
    )
    desk.lock("probe", 60, "")
    known.clear()
    assert desk.unlock("probe").was_held


@pytest.mark.parametrize("slot", ["", " "])
def test_an_empty_name_is_not_all_slots(tmp_path: Path, slot: str) -> None:
    with pytest.raises(InvalidInput, match="found an empty one") as refused:
        lock(tmp_path, slot, 5.0, "")
    assert refused.value.code == "slot_empty"
    with pytest.raises(InvalidInput, match="found an empty one"):
        unlock(tmp_path, slot)
