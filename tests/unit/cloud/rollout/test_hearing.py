"""What a device's report says of a version that it was to give back."""

import pytest

from cloud_sync.rollout.hearing import is_back
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.rollout import Assignment, Step
from tests.support.rollouts import NEW, OLD, reported


@pytest.mark.parametrize(("mode", "expected"), [("shadow", True), ("run", False)])
def test_what_runs_beside_a_shadow_is_as_before_though_nobody_knows_what_was(
    mode: Step, expected: bool
) -> None:
    assignment = Assignment(
        device="d0", stage=0, module="pump", version=2, digest=NEW, mode=mode, revision=1
    )
    seen = DeviceNow(device="d0", presence="online", revision_seen=1, slot=reported(OLD))
    assert is_back(assignment, seen) is expected
