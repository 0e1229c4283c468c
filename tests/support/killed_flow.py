"""Numbered messages from a device to the service, while the device and the broker are killed.

Real processes, a real broker, the real service. Says what was lost, stored twice and sent again.
"""

import os
import random
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from cloud_sync.db.engine import FILE_NAME
from tests.support.brokers import Broker
from tests.support.numbered_uplink import NumberedUplink
from tests.support.receiver import Receiver
from tests.support.service import CloudService
from tests.support.waiting import wait_for

PHASE_S = 1.0
"""Longest pause before a kill. The flow is seen to have got on just when a batch was committed; a
kill at that instant would never meet one that is under way."""

STEP_S = 120.0
"""Longest wait for the flow to go on after a kill, and for all to be done at the end."""


class Flow(Struct, frozen=True, kw_only=True):
    """What became of the messages.

    Attributes:
        messages: that the device's outbox has taken.
        agent_kills: of the device's process.
        broker_kills: of the broker.
        lost: messages that are not in the service's database.
        duplicates: rows in it beyond one for each message.
        sent: rows that were handed to a connection at least once.
        received: rows that a subscriber of its own got from the broker. What a killed broker had
            not kept for it is missing.
        received_twice: times that it got a row beyond the first: also what the MQTT client
            published again by itself.
        resent: times that a row was sent beyond the first: handed over again, or received again,
            whichever is more.
    """

    messages: int
    agent_kills: int
    broker_kills: int
    lost: int
    duplicates: int
    sent: int
    received: int
    received_twice: int
    resent: int


def endure(
    folder: Path,
    broker: Broker,
    *,
    messages: int,
    per_second: float,
    kills: int,
    seed: int = 1,
    say: Callable[[str], None] = lambda _text: None,
) -> Flow:
    """Send the messages, and kill device and broker in turns, spread over them.

    Args:
        folder: for everything that is written.
        broker: that was started, and keeps what it has acknowledged.
        messages: how many.
        per_second: at which rate they come into being.
        kills: of each of the two.
        seed: of the moments of the kills.
        say: told how far it is.
    """
    service = CloudService(folder / "cloud", broker=broker.url).start()
    receiver = Receiver(broker.host, broker.port)
    device = NumberedUplink(folder / "device", broker.url, "line-1", messages, per_second)
    device.start()
    chance, pause = random.Random(seed), threading.Event()
    try:
        for kill in range(2 * kills):
            # It has got on since the last one, so that each kill is in the midst of something.
            goal = min(messages - 1, (kill + 1) * messages // (2 * kills + 1))
            wait_for(lambda goal=goal: _count(service) >= goal, STEP_S, device.log)
            pause.wait(chance.uniform(0, PHASE_S))
            if kill % 2:
                _kill(broker)
            else:
                device.kill()
                device.start()
            if (kill + 1) % 20 == 0:
                say(f"{kill + 1} of {2 * kills} kills, {_count(service)} of {messages} messages")
        wait_for(device.is_done, STEP_S, device.log)
        receiver.drain()
        stored = _stored(service)
    finally:
        device.kill()
        receiver.close()
        service.stop()
    sendings = device.sendings()
    handed_over = sum(count - 1 for count in sendings.values())
    return Flow(
        messages=messages,
        agent_kills=kills,
        broker_kills=kills,
        lost=messages - len(stored.keys() & set(range(messages))),
        duplicates=sum(stored.values()) - len(stored),
        sent=len(sendings),
        received=receiver.rows,
        received_twice=receiver.twice,
        resent=max(handed_over, receiver.twice),
    )


def _kill(broker: Broker) -> None:
    """End the broker as a power cut would, and start it again on its files."""
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker.start()


def _count(service: CloudService) -> int:
    with _database(service) as connection:
        return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])


def _stored(service: CloudService) -> Counter[int]:
    """Every number in the service's database, and how often it is there."""
    with _database(service) as connection:
        return Counter(int(row[0]) for row in connection.execute("SELECT result FROM results"))


def _database(service: CloudService) -> closing[sqlite3.Connection]:
    path = service.data_dir / FILE_NAME
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))
