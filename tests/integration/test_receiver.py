"""The subscriber that counts what is sent twice sees what an MQTT client publishes again.

The packets are written by hand: no client lets its own mark for "again" be set.
"""

import os
import signal
import socket
import struct

from msgspec import Raw

from edge_agent.contract.messages import Telemetry, TelemetryRow
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode
from tests.support.brokers import Broker
from tests.support.receiver import Receiver
from tests.support.waiting import wait_for

CONNECT = 0x10
PUBLISH_QOS1 = 0x32
AGAIN = 0x08
DISCONNECT = 0xE0


def batch(*seqs: int) -> bytes:
    rows = tuple(TelemetryRow(seq=seq, kind="result", time=1.0, data=Raw(b"1")) for seq in seqs)
    return encode(Telemetry(device="line-1", boot_id="b", rows=rows))


def send(broker: Broker, *messages: tuple[bytes, bool]) -> None:
    """Publish the messages, each with whether it is marked as said again; all are confirmed."""
    topic = text(control("line-1", Channel.TELEMETRY))
    with socket.create_connection((broker.host, broker.port), timeout=30) as peer:
        answers = peer.makefile("rb")
        hello = text("MQTT") + bytes([4, 2, 0, 60]) + text(f"hand-{os.getpid()}")
        peer.sendall(packet(CONNECT, hello))
        assert answers.read(4)[3] == 0
        for number, (payload, is_again) in enumerate(messages, start=1):
            kind = PUBLISH_QOS1 | (AGAIN if is_again else 0)
            peer.sendall(packet(kind, topic + struct.pack(">H", number) + payload))
            assert struct.unpack(">H", answers.read(4)[2:]) == (number,)
        peer.sendall(packet(DISCONNECT, b""))
        answers.close()


def packet(kind: int, body: bytes) -> bytes:
    high, low = divmod(len(body), 128)
    assert high < 128
    return bytes([kind, low | 128, high] if high else [kind, low]) + body


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def test_what_a_client_sends_again_is_seen_also_over_the_end_of_the_broker(
    any_broker: Broker,
) -> None:
    receiver = Receiver(any_broker.host, any_broker.port)
    try:
        send(any_broker, (batch(1, 2), False), (batch(3), False))
        wait_for(lambda: receiver.rows == 3, 30)
        assert receiver.twice == 0
        send(any_broker, (batch(1, 2), True))
        wait_for(lambda: receiver.twice == 2, 30)
        os.kill(any_broker.pid, signal.SIGKILL)
        any_broker.stop()
        any_broker.start()
        send(any_broker, (batch(4), False), (batch(3), True))
        wait_for(lambda: receiver.rows == 4, 30)
        wait_for(lambda: receiver.twice >= 3, 30)
        receiver.drain()
    finally:
        receiver.close()
