"""A broker in memory: sessions, retained messages, QoS 1 with duplicates, wills, restarts.

It delivers when it is asked, to one client at a time, so that the order is the test's. What a
client has not confirmed comes again with its next connection.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from paho.mqtt.client import topic_matches_sub


@dataclass(frozen=True)
class Packet:
    """A message on its way to a client."""

    topic: str
    payload: bytes
    is_retained: bool = False


@dataclass
class Subscriber:
    """One client's session.

    Attributes:
        waiting: not delivered yet.
        unconfirmed: delivered, and not confirmed.
        will: published when the connection ends without a goodbye.
    """

    filters: tuple[str, ...]
    is_connected: bool = False
    waiting: deque[Packet] = field(default_factory=deque)
    unconfirmed: deque[Packet] = field(default_factory=deque)
    will: Packet | None = None
    last: Packet | None = None


class SimulatedBroker:
    """One broker for everybody."""

    def __init__(self) -> None:
        self._retained: dict[str, bytes] = {}
        self._clients: dict[str, Subscriber] = {}

    def connect(
        self,
        name: str,
        filters: tuple[str, ...],
        will: Packet | None = None,
        *,
        sees_retained: bool = True,
    ) -> bool:
        """A client is there and has subscribed.

        Args:
            name: of the client.
            filters: that it subscribes to.
            will: what is published, retained, when it is gone.
            sees_retained: whether it gets what is retained; some brokers lose it now and then.

        Returns:
            Whether its session was kept.
        """
        is_kept = name in self._clients
        client = self._clients.setdefault(name, Subscriber(filters))
        client.filters, client.is_connected, client.will = filters, True, will
        client.waiting.extendleft(reversed(client.unconfirmed))
        client.unconfirmed.clear()
        if sees_retained:
            client.waiting.extend(
                Packet(topic, payload, is_retained=True)
                for topic, payload in self._retained.items()
                if _matches(filters, topic)
            )
        return is_kept

    def disconnect(self, name: str, *, is_polite: bool = False) -> None:
        """A client is gone; without a goodbye its will speaks."""
        client = self._clients.get(name)
        if client is None or not client.is_connected:
            return
        client.is_connected = False
        will, client.will = client.will, None
        if will is not None and not is_polite:
            self.publish(will.topic, will.payload, retain=True)

    def is_connected(self, name: str) -> bool:
        """Whether the broker believes that a client is there."""
        client = self._clients.get(name)
        return client is not None and client.is_connected

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Take a message, and put it into the sessions of all who want it."""
        if retain and payload:
            self._retained[topic] = payload
        elif retain:
            self._retained.pop(topic, None)
        for client in self._clients.values():
            if _matches(client.filters, topic):
                client.waiting.append(Packet(topic, payload))

    def deliver(self, name: str, limit: int) -> list[Packet]:
        """The next messages of a client that is there; it confirms them later."""
        client = self._clients[name]
        found: list[Packet] = []
        while client.waiting and len(found) < limit:
            found.append(client.waiting.popleft())
        client.unconfirmed.extend(found)
        client.last = found[-1] if found else client.last
        return found

    def confirm(self, name: str, packets: Sequence[Packet]) -> None:
        """These need not be delivered again."""
        unconfirmed = self._clients[name].unconfirmed
        for packet in packets:
            if packet in unconfirmed:
                unconfirmed.remove(packet)

    def repeat(self, name: str) -> None:
        """Deliver the last message once more, as QoS 1 allows."""
        client = self._clients.get(name)
        if client is not None and client.last is not None:
            client.waiting.append(client.last)

    def restart(self, *, keeps: bool) -> None:
        """Everybody loses the connection; without its files it forgets everything, too."""
        for name in list(self._clients):
            self.disconnect(name)
        if not keeps:
            self._retained.clear()
            self._clients.clear()


def _matches(filters: tuple[str, ...], topic: str) -> bool:
    return any(topic_matches_sub(name, topic) for name in filters)
