"""Kills of the agent's uplink and of the broker lose nothing, store nothing twice, repeat little.

Real processes, a real broker and the real service. `python -m benchmarks.kills` does the same a
hundred times each.
"""

from pathlib import Path

import pytest

from edge_agent.daemon.uplink import BATCH_ROWS
from tests.support.brokers import Broker
from tests.support.killed_flow import endure

MESSAGES = 3_000
PER_SECOND = 150
KILLS = 5


@pytest.mark.slow
def test_kills_of_agent_and_broker_lose_nothing_and_store_nothing_twice(
    any_broker: Broker, tmp_path: Path
) -> None:
    flow = endure(
        tmp_path, any_broker, messages=MESSAGES, per_second=PER_SECOND, kills=KILLS, say=print
    )

    assert (flow.lost, flow.duplicates) == (0, 0)
    # At most what was on its way when the broker died: a batch each time. The agent's end costs
    # nothing, because it asks.
    assert flow.resent <= KILLS * BATCH_ROWS
    assert flow.sent >= MESSAGES
    # Else it would say nothing that nothing came twice. What the service alone was told at the
    # moment of a kill may be missing.
    assert flow.received >= MESSAGES - KILLS * BATCH_ROWS
