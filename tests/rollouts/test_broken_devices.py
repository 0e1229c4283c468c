"""A device that takes an older order after a newer one is found by what it began to run."""

import pytest

from cloud_sync.rollout.violation import Invariant
from cloud_sync.rollout_policy import AT_ONCE
from edge_agent.contract.state import DesiredState
from tests.rollouts.cloud import SLOTS
from tests.rollouts.fleet import Fleet
from tests.rollouts.story import VERSIONS


def _with_both(fleet: Fleet) -> None:
    """The device gets a version, and its successor."""
    for number, digest in enumerate(VERSIONS[:2], start=1):
        fleet.begin(("d0",), digest, AT_ONCE, SLOTS[0])
        fleet.order(0, number, "start")
        for _ in range(2):
            fleet.drive(0, number)
            fleet.publish(0)
            fleet.work("d0", 8)
            fleet.send("d0")
        fleet.check()


def test_a_device_that_follows_an_older_order_is_found() -> None:
    fleet = Fleet(1)
    device = fleet.devices["d0"]
    _with_both(fleet)
    newest = fleet.cloud.desired["d0"]
    # It forgets what it has seen, and the broker has kept the order before.
    device.told = -1
    before = fleet.cloud.rollouts[2].assignments["d0"].previous
    assert before is not None
    device.hear(DesiredState(device="d0", revision=newest.revision - 1, slots={SLOTS[0]: before}))
    device.work(8)
    with pytest.raises(AssertionError, match=Invariant.SUCCESSION):
        fleet.calm()


def test_a_device_that_follows_each_order_in_its_turn_is_not() -> None:
    fleet = Fleet(1)
    _with_both(fleet)
    fleet.calm()
    assert [fact.digest for fact in fleet.devices["d0"].installed][-2:] == list(VERSIONS[:2])
