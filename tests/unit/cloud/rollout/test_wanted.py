"""What a device is asked to run says how long a lock on it may put that off."""

from msgspec.structs import replace

from cloud_sync.rollout.wanted import offered, reverted
from cloud_sync.rollout_policy import Policy
from tests.support.rollouts import NEW, OLD, SLOT, candidates, rollout_of, wanted


def test_an_offer_may_be_put_off_as_long_as_the_policy_says_and_a_revert_not_at_all() -> None:
    rollout = rollout_of(candidates(1), Policy(lock_max_s=600))
    device, assignment = next(iter(rollout.assignments.items()))
    before = {SLOT: wanted(1, OLD)}
    assignment = replace(assignment, previous=before[SLOT])
    after = offered(rollout, assignment, "run", before)
    assert (after[SLOT].digest, after[SLOT].lock_max_s) == (NEW, 600), device
    back = reverted(rollout, assignment, after)
    assert (back[SLOT].digest, back[SLOT].lock_max_s) == (OLD, 0), device
