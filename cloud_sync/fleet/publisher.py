"""Desired states on their way to the devices: published retained, the newest always last.

Never decides what is wanted; it reads that from the database at the moment of publishing. A device
that is not there any more gets empty messages, which take what was retained off the broker.

What the broker does not take stays due and is tried again, for as long as it takes: a device that
is connected and idle would otherwise never hear of it. A restart forgets what is due, but begins
with publishing everything.
"""

import logging
import threading
from typing import Final, Protocol

from cloud_sync.db.engine import Database
from cloud_sync.errors import ShoalError, StorageError, Unavailable
from cloud_sync.fleet.desired import all_desired, read_desired
from cloud_sync.fleet.known import is_known
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
WAIT_S: Final = 0.5
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
        # In order of asking, each once: never more than there are devices.
        self._due: dict[str, None] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desired", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread; what is left is published at the next start."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def publish(self, *devices: str) -> None:
        """Publish what these devices should run, soon; nothing for one that was deleted."""
        with self._changed:
            self._due |= dict.fromkeys(devices)
            self._changed.notify_all()

    def publish_all(self) -> None:
        """Publish what every device should run, soon: the broker may have forgotten it."""
        self.publish(_EVERYTHING)

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._stopping.is_set(), WAIT_S)
            if self.publish_due():
                attempt = 0
                continue
            self._stopping.wait(min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(attempt, 8)))
            attempt += 1

    def publish_due(self) -> bool:
        """Publish to all who wait, the longest first. False if one was not taken; it stays due."""
        while (due := self._next()) is not None:
            try:
                is_done = self._publish_one(due)
            except (StorageError, Unavailable) as error:
                logger.error("event=publish_failed code=%s text=%r", error.code, error.text)
                is_done = False
            except ShoalError as error:  # of this device alone; it will be no better next time
                logger.error(
                    "event=publish_failed device=%s code=%s text=%r", due, error.code, error.text
                )
                is_done = True
            if not is_done:
                self.publish(due)
                return False
        return True

    def _next(self) -> str | None:
        """Take out who has waited longest."""
        with self._changed:
            due = next(iter(self._due), None)
            if due is not None and not self._stopping.is_set():
                del self._due[due]
                return due
            return None

    def _publish_one(self, device: str) -> bool:
        """Publish what the database says now; false if the broker did not take it."""
        if device == _EVERYTHING:
            self.publish(*all_desired(self._database))
            return True
        with self._database.read() as connection:
            state = read_desired(connection, device)
            is_deleted = state.revision == 0 and not is_known(connection, device)
        if is_deleted:
            cleared = (Channel.DESIRED, Channel.STATUS)
            return all(self._send(device, channel, b"") for channel in cleared)
        if state.revision == 0:
            return True
        is_taken = self._send(device, Channel.DESIRED, encode(state))
        if is_taken:
            logger.info("event=desired_published device=%s revision=%d", device, state.revision)
        return is_taken

    def _send(self, device: str, channel: Channel, payload: bytes) -> bool:
        return self._outlet.publish(control(device, channel), payload, retain=True)
