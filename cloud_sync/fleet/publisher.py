"""Desired states on their way to the devices: published retained, the newest always last.

Never decides what is wanted; it reads that from the database at the moment of publishing.
"""

import logging
import queue
import threading
from typing import Final, Protocol

from cloud_sync.db.engine import Database
from cloud_sync.errors import ShoalError, StorageError, Unavailable
from cloud_sync.fleet.desired import all_desired, read_desired
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode

QUEUE_SIZE: Final = 100_000
RETRY_S: Final = 2.0
_EVERYTHING: Final = ""
logger = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where messages go: the service's MQTT session."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand over a message; false if it was not taken."""


class DesiredPublisher:
    """Publishes from a thread of its own, one device at a time.

    One thread, because two that read and publish at the same time could leave the older of two
    revisions as the retained one.

    Args:
        database: where desired states are.
        outlet: where they go.
    """

    def __init__(self, database: Database, outlet: Outlet) -> None:
        self._database = database
        self._outlet = outlet
        self._due: queue.Queue[str] = queue.Queue(QUEUE_SIZE)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desired", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread; what is left is published at the next start."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def publish(self, *devices: str) -> None:
        """Publish what these devices should run, soon."""
        for device in devices:
            try:
                self._due.put_nowait(device)
            except queue.Full:
                # Not lost: a device that reports an old revision is told again.
                logger.warning("event=publish_queue_full device=%s", device)
                return

    def publish_all(self) -> None:
        """Publish what every device should run, soon: the broker may have forgotten it."""
        self.publish(_EVERYTHING)

    def forget(self, device: str) -> None:
        """Take a deleted device's retained messages off the broker."""
        for channel in (Channel.DESIRED, Channel.STATUS):
            self._outlet.publish(control(device, channel), b"", retain=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                due = self._due.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                for device in all_desired(self._database) if due == _EVERYTHING else (due,):
                    if self._stopping.is_set():
                        return
                    self._publish_one(device)
            except (StorageError, Unavailable) as error:
                logger.error("event=publish_failed code=%s text=%r", error.code, error.text)
                self._stopping.wait(RETRY_S)
                self.publish(due)
            except ShoalError as error:
                logger.error("event=publish_failed code=%s text=%r", error.code, error.text)

    def _publish_one(self, device: str) -> None:
        with self._database.read() as connection:
            state = read_desired(connection, device)
        if state.revision > 0:
            topic = control(device, Channel.DESIRED)
            is_taken = self._outlet.publish(topic, encode(state), retain=True)
            logger.info(
                "event=desired_published device=%s revision=%d taken=%s",
                device,
                state.revision,
                is_taken,
            )
