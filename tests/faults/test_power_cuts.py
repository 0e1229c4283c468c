"""Power that is cut in the middle of anything, on a real file system that had not flushed all."""

import pytest

from tests.faults.power import Cuts, cut_power

pytestmark = [
    pytest.mark.needs("cc", "loop mounts"),
    pytest.mark.timeout(900),
]

LEAST_CUTS = 200
LONGEST_RECOVERY_S = 5.0


@pytest.fixture(scope="module")
def cuts() -> Cuts:
    return cut_power("short")


def test_a_disk_that_lost_its_power_holds_the_old_state_or_the_new_one(cuts: Cuts) -> None:
    complaints = cuts.complaints()
    assert not complaints, f"{len(complaints)} complaints, the first: " + "\n".join(complaints[:5])
    assert cuts.torn == 0


def test_power_is_cut_two_hundred_times_all_over_the_story(cuts: Cuts) -> None:
    assert len(cuts.outcomes) >= LEAST_CUTS
    assert cuts.max_recovery_s <= LONGEST_RECOVERY_S
