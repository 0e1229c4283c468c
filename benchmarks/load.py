"""Load for an MQTT echo: `python -m benchmarks.load HOST PORT IN OUT QOS SECONDS RATE`.

Publishes JSON rows to IN and counts what comes back on OUT, on one raw socket, because a full
client would be slower than what it measures. Rate 0 is as fast as answers come, with a bounded
number on the way; the answers of one round are all awaited. Prints one JSON object.
"""

import collections
import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 100
"""Messages on the way at most, at rate 0."""
LAST_WAIT_S: Final = 5.0
ROW: Final = json.dumps({f"f{i}": round(0.37 * i + 1.25, 3) for i in range(9)}).encode()


@dataclass
class Outcome:
    """What one round showed; latencies in milliseconds."""

    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)


class RawClient:
    """As much of MQTT 3.1.1 as the load needs."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._packet_id = 0
        name = b"load"
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        self._socket.sendall(_packet(0x10, body))
        self._await(0x20)

    def subscribe(self, topic: str) -> None:
        raw = topic.encode()
        self._socket.sendall(
            _packet(0x82, b"\x00\x01" + len(raw).to_bytes(2, "big") + raw + b"\x01")
        )
        self._await(0x90)

    def publish(self, topic: bytes, payload: bytes, qos: int, count: int) -> None:
        """Send `count` equal messages in one call."""
        head = len(topic).to_bytes(2, "big") + topic
        if qos == 0:
            self._socket.sendall(_packet(0x30, head + payload) * count)
            return
        packets = []
        for _ in range(count):
            self._packet_id = self._packet_id % 60_000 + 1
            packets.append(_packet(0x32, head + self._packet_id.to_bytes(2, "big") + payload))
        self._socket.sendall(b"".join(packets))

    def poll(self, timeout_s: float) -> int:
        """Read what is there; acknowledges; returns how many messages came."""
        if not select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            return 0
        data = self._socket.recv(262_144)
        if not data:
            raise ConnectionError("the broker closed the connection")
        self._buffer += data
        messages = 0
        acknowledgements = []
        for kind, start, _end in self._packets():
            if kind & 0xF0 != 0x30:
                continue
            messages += 1
            if kind & 0x06:
                at = start + 2 + int.from_bytes(self._buffer[start : start + 2], "big")
                acknowledgements.append(b"\x40\x02" + bytes(self._buffer[at : at + 2]))
        del self._buffer[: self._parsed]
        if acknowledgements:
            self._socket.sendall(b"".join(acknowledgements))
        return messages

    def _packets(self) -> list[tuple[int, int, int]]:
        """First byte, start and end of each whole packet in the buffer."""
        found = []
        position, size = 0, len(self._buffer)
        while position + 2 <= size:
            length, shift, at = 0, 0, position + 1
            while at < size:
                byte = self._buffer[at]
                length |= (byte & 127) << shift
                shift += 7
                at += 1
                if byte < 128:
                    break
            else:
                break
            if at + length > size:
                break
            found.append((self._buffer[position], at, at + length))
            position = at + length
        self._parsed = position
        return found

    def _await(self, kind: int) -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            self._buffer += self._socket.recv(4096)
            kinds = [packet[0] & 0xF0 for packet in self._packets()]
            del self._buffer[: self._parsed]
            if kind in kinds:
                return
        raise TimeoutError("the broker did not answer")


def _packet(kind: int, body: bytes) -> bytes:
    length, size = bytearray(), len(body)
    while True:
        size, low = divmod(size, 128)
        length.append(low | (128 if size else 0))
        if not size:
            return bytes([kind]) + bytes(length) + body


def run(
    host: str, port: int, topics: tuple[str, str], qos: int, seconds: float, rate: int
) -> Outcome:
    """One round of load."""
    client = RawClient(host, port)
    client.subscribe(topics[1])
    topic = topics[0].encode()
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
            if room >= (WINDOW // 4 if rate == 0 else 1):
                client.publish(topic, ROW, qos, room)
                outcome.sent += room
                sent_at.extend([time.perf_counter()] * room)
        wait_s = 0.5 if rate == 0 or not is_sending else started + outcome.sent / rate - now
        for _ in range(client.poll(min(wait_s, 0.5))):
            last_answer = time.perf_counter()
            outcome.received += 1
            if sent_at:
                outcome.latencies_ms.append((last_answer - sent_at.popleft()) * 1e3)
    outcome.seconds = last_answer - started
    return outcome


def main() -> None:
    host, port, topic_in, topic_out, qos, seconds, rate = sys.argv[1:8]
    outcome = run(host, int(port), (topic_in, topic_out), int(qos), float(seconds), int(rate))
    latencies = sorted(outcome.latencies_ms) or [0.0]
    print(
        json.dumps(
            {
                "sent": outcome.sent,
                "received": outcome.received,
                "messages_per_s": outcome.received / outcome.seconds if outcome.seconds else 0.0,
                "p50_ms": latencies[len(latencies) // 2],
                "p99_ms": latencies[int(len(latencies) * 0.99)],
            }
        )
    )


if __name__ == "__main__":
    main()
