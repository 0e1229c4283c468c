"""A minute of everything at work: nothing is lost, and nothing that is counted in ones piles up.

`python -m benchmarks.soak` is the same for longer, and judges memory, too: in a minute caches that
still fill look like growth.
"""

import pytest

from benchmarks.soak import soak

FEW = 6
"""Descriptors and threads come and go with connections and downloads."""


@pytest.mark.slow
@pytest.mark.needs("mosquitto")
def test_a_minute_of_work_leaves_nothing_behind() -> None:
    found = soak(60)
    print(found)

    assert (found["lost"], found["doubled"]) == (0, 0)
    for kind in ("agent_fds", "agent_threads", "cloud_fds", "cloud_threads"):
        first, last = found[f"{kind}_first"], found[f"{kind}_last"]
        assert isinstance(first, float)
        assert isinstance(last, float)
        assert last <= first + FEW, kind
