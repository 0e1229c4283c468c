"""The demo's sensor, a program of its own: publishes rows over MQTT at a steady rate.

    python -m cloud_sync.demo.sensor BROKER_URL ROWS_FILE COUNT RATE HOLD_AT GO_FILE DEVICE...

Sends COUNT rows (0: for ever), but those from HOLD_AT on only once GO_FILE is there: on a slow
machine the new version would otherwise find nothing left to answer.

Separate from the reader, so that drawing a table never delays a row and no latency that the demo
shows is its own. Exits 0 when the broker has acknowledged every row.
"""

import itertools
import sys
import threading
import time
from pathlib import Path
from typing import Final

from paho.mqtt.client import Client

from cloud_sync.demo.mqtt import connect
from cloud_sync.errors import ShoalError, Unavailable
from edge_agent.contract.topics import data_prefix

MAX_UNACKNOWLEDGED: Final = 400
STALL_TIMEOUT_S: Final = 30.0
HOLD_TIMEOUT_S: Final = 180.0
TICK_S: Final = 0.002


class Sensor:
    """Publishes rows as JSON, to one device after the other.

    Args:
        broker_url: `mqtt://host:port`.
        devices: rows are dealt to them in turn.
        rows: encoded JSON objects, one a row, without id and time.
    """

    def __init__(self, broker_url: str, devices: list[str], rows: list[bytes]) -> None:
        self._topics = [f"{data_prefix(d)}sensors/{d}/shuttle" for d in devices]
        self._rows = rows
        self._window = threading.Semaphore(MAX_UNACKNOWLEDGED)
        self._client: Client = connect("demo-sensor", broker_url, max_in_flight=MAX_UNACKNOWLEDGED)
        # Called on paho's thread for every acknowledged row.
        self._client.on_publish = lambda *_: self._window.release()

    def replay(self, numbers: "itertools.count[int] | range", rate_per_s: float) -> None:
        """Publish rows at a steady rate; a number beyond the last row begins again at the first.

        Raises:
            Unavailable: the broker stopped acknowledging.
        """
        start = time.monotonic()
        for sent, number in enumerate(numbers):
            wait = start + sent / rate_per_s - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self._take()
            row = number % len(self._rows)
            head = b'{"id":%d,"time":%.6f,' % (number, time.time())
            topic = self._topics[row % len(self._topics)]
            self._client.publish(topic, head + self._rows[row][1:], qos=1)

    def drain(self) -> None:
        """Wait until the broker has everything."""
        for _ in range(MAX_UNACKNOWLEDGED):
            self._take()

    def _take(self) -> None:
        if not self._window.acquire(timeout=STALL_TIMEOUT_S):
            raise Unavailable(
                f"the broker acknowledged nothing for {STALL_TIMEOUT_S:g} s",
                hint="look at the log of the service in the demo's folder",
            )


def wait_for_file(path: Path) -> None:
    """Wait until the file is there.

    Raises:
        Unavailable: it never came.
    """
    deadline = time.monotonic() + HOLD_TIMEOUT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{path} was expected within {HOLD_TIMEOUT_S:g} s", hint="begin the demo again"
            )
        time.sleep(0.05)


def main(arguments: list[str]) -> int:
    """Run the program. Returns the exit status."""
    broker_url, rows_file, count, rate, hold_at, go_file, *devices = arguments
    try:
        sensor = Sensor(broker_url, devices, Path(rows_file).read_bytes().splitlines())
        if int(count) == 0:
            sensor.replay(itertools.count(), float(rate))
        sensor.replay(range(int(hold_at)), float(rate))
        wait_for_file(Path(go_file))
        sensor.replay(range(int(hold_at), int(count)), float(rate))
        sensor.drain()
    except ShoalError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
