"""Kills of the agent's uplink and of the broker lose nothing, store nothing twice, repeat little.

Real processes, a real broker and the real service. `python -m benchmarks.faults` does the same a
hundred times each.
"""

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from cloud_sync.db.engine import FILE_NAME
from edge_agent.daemon.uplink import BATCH_ROWS
from tests.support.brokers import Broker
from tests.support.numbered_uplink import NumberedUplink
from tests.support.service import CloudService
from tests.support.waiting import wait_for

MESSAGES = 3_000
PER_SECOND = 150
KILLS = 5
TIMEOUT_S = 120


def stored(service: CloudService) -> list[int]:
    """Every number in the service's database, as often as it is there."""
    connection = sqlite3.connect(f"file:{service.data_dir / FILE_NAME}?mode=ro", uri=True)
    try:
        return [int(row[0]) for row in connection.execute("SELECT result FROM results")]
    finally:
        connection.close()


def kill_broker(broker: Broker) -> None:
    """End the broker as a power cut would, and start it again on its files."""
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker.start()


@pytest.mark.slow
def test_kills_of_agent_and_broker_lose_nothing_and_store_nothing_twice(
    any_broker: Broker, tmp_path: Path
) -> None:
    service = CloudService(tmp_path / "cloud", broker=any_broker.url).start()
    uplink = NumberedUplink(tmp_path / "device", any_broker.url, "line-1", MESSAGES, PER_SECOND)
    uplink.start()
    try:
        for kill in range(2 * KILLS):
            # It has got on since the last one, so that each kill is in the midst of something.
            goal = min(MESSAGES - 1, (kill + 1) * MESSAGES // (2 * KILLS + 1))
            wait_for(lambda goal=goal: len(stored(service)) >= goal, TIMEOUT_S, uplink.log)
            if kill % 2:
                kill_broker(any_broker)
            else:
                uplink.kill()
                uplink.start()
        wait_for(uplink.is_done, TIMEOUT_S, uplink.log)
        assert sorted(stored(service)) == list(range(MESSAGES))
    finally:
        uplink.kill()
        service.stop()
    sendings = uplink.sendings()
    again = sum(count - 1 for count in sendings.values())
    print(f"{len(sendings)} rows, {again} sendings more")
    # At most what was on its way when the broker died: a batch each time. The agent's end costs
    # nothing, because it asks.
    assert again <= KILLS * BATCH_ROWS
