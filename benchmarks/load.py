"""Load for an MQTT echo: `python -m benchmarks.load HOST PORT IN OUT QOS SECONDS RATE [PAYLOAD]`.

Publishes PAYLOAD, a file (without one a JSON row of nine fields), to IN and counts what comes back
on OUT. It speaks through the worker's packet codec on a blocking socket, because a full client
would be slower than what it measures. Rate 0 is as fast as answers come, with a bounded number on
the way, looked at once a millisecond, so that the load leaves the processors to what it measures;
the answers of one round are all awaited. Prints one JSON object, with what the load itself took.
"""

import collections
import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.runtime.mqtt.packets import V311, ConnAck, Packet, Publish, SubAck
from edge_agent.runtime.mqtt.reader import PacketReader
from edge_agent.runtime.mqtt.writer import PacketWriter

WINDOW: Final = 200
"""Messages on the way at most, at rate 0."""
LOOK_S: Final = 0.001
"""Between two looks at what came back, at rate 0."""
LAST_WAIT_S: Final = 5.0
ROW: Final = json.dumps({f"f{i}": round(0.37 * i + 1.25, 3) for i in range(9)}).encode()


@dataclass
class Outcome:
    """What one round showed; latencies in milliseconds."""

    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)


class LoadClient:
    """As much of a client as the load needs: MQTT 3.1.1."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = PacketReader(V311)
        self._writer = PacketWriter(V311)
        self._packet_id = 0
        self._socket.sendall(self._writer.connect("load", keep_alive_s=0, is_clean=True))
        self._await(ConnAck)

    def subscribe(self, topic: str) -> None:
        self._socket.sendall(self._writer.subscribe(1, [topic]))
        self._await(SubAck)

    def publish(self, topic: str, payload: bytes, qos: int, count: int) -> None:
        """Send `count` equal messages in one call."""
        pieces: list[bytes] = []
        if qos == 0:
            self._writer.publish(pieces, topic, payload)
            self._socket.sendall(b"".join(pieces) * count)
            return
        for _ in range(count):
            self._packet_id = self._packet_id % 60_000 + 1
            self._writer.publish(pieces, topic, payload, packet_id=self._packet_id)
        self._socket.sendall(b"".join(pieces))

    def poll(self, timeout_s: float) -> int:
        """Read what is there; acknowledges; returns how many messages came."""
        if not select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            return 0
        messages = 0
        acknowledgements = []
        for packet in self._read():
            if type(packet) is Publish:
                messages += 1
                if packet.packet_id:
                    acknowledgements.append(self._writer.puback(packet.packet_id))
        if acknowledgements:
            self._socket.sendall(b"".join(acknowledgements))
        return messages

    def close(self) -> None:
        self._socket.sendall(self._writer.disconnect())
        self._socket.close()

    def _read(self) -> list[Packet]:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the broker closed the connection")
        return self._reader.feed(data)

    def _await(self, kind: type[Packet]) -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if any(isinstance(packet, kind) for packet in self._read()):
                return
        raise TimeoutError("the broker did not answer")


def run(
    host: str,
    port: int,
    topics: tuple[str, str],
    qos: int,
    seconds: float,
    rate: int,
    payload: bytes = ROW,
) -> Outcome:
    """One round of load."""
    client = LoadClient(host, port)
    client.subscribe(topics[1])
    outcome = Outcome()
    sent_at: collections.deque[float] = collections.deque()
    started = time.perf_counter()
    ends = started + seconds
    last_answer = started
    while True:
        now = time.perf_counter()
        is_sending = now < ends
        if not is_sending and (not sent_at or now - last_answer > LAST_WAIT_S):
            break
        if is_sending:
            room = (
                WINDOW - len(sent_at)
                if rate == 0
                else min(WINDOW, int((now - started) * rate) + 1 - outcome.sent)
            )
            if room >= (WINDOW // 8 if rate == 0 else 1):
                client.publish(topics[0], payload, qos, room)
                outcome.sent += room
                sent_at.extend([time.perf_counter()] * room)
        wait_s = 0.5 if rate == 0 or not is_sending else started + outcome.sent / rate - now
        if rate == 0:
            time.sleep(LOOK_S)
        count = client.poll(min(wait_s, 0.5))
        if count:
            last_answer = time.perf_counter()
            outcome.received += count
            for _ in range(min(count, len(sent_at))):
                outcome.latencies_ms.append((last_answer - sent_at.popleft()) * 1e3)
    outcome.seconds = last_answer - started
    client.close()
    return outcome


def main() -> None:
    host, port, topic_in, topic_out, qos, seconds, rate = sys.argv[1:8]
    payload = Path(sys.argv[8]).read_bytes() if len(sys.argv) > 8 else ROW
    before_s = time.process_time()
    outcome = run(
        host, int(port), (topic_in, topic_out), int(qos), float(seconds), int(rate), payload
    )
    spent_s = time.process_time() - before_s
    latencies = sorted(outcome.latencies_ms) or [0.0]
    print(
        json.dumps(
            {
                "sent": outcome.sent,
                "received": outcome.received,
                "messages_per_s": outcome.received / outcome.seconds if outcome.seconds else 0.0,
                "p50_ms": latencies[len(latencies) // 2],
                "p99_ms": latencies[int(len(latencies) * 0.99)],
                "load_cpu_us": spent_s / max(1, outcome.received) * 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
