"""Which QoS 1 messages are answered but not settled, on one connection. Pure bookkeeping.

An input may only be acknowledged when the broker has acknowledged its result. Until then, and
for a while after, the broker may send the input again with DUP set; such a copy must not be
answered a second time. Packet ids mean something on one connection only, so each connection gets
a new `Pending`.
"""

from msgspec import Struct


class Waiting(Struct, frozen=True, gc=False):
    """An answered input."""

    packet_id: int
    fingerprint: int


class Pending:
    """Inputs by packet id, and the results that they wait for."""

    def __init__(self) -> None:
        self._by_result: dict[int, Waiting] = {}
        self._open: set[int] = set()
        self._settled: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def is_copy(self, packet_id: int, fingerprint: int) -> bool:
        """Whether a message with DUP set was answered before on this connection.

        The fingerprint tells a copy that crossed our acknowledgement from another message that
        was given the same id later.
        """
        return packet_id in self._open or self._settled.get(packet_id) == fingerprint

    def is_open(self, packet_id: int) -> bool:
        """Whether an answered input waits for the acknowledgement of its result."""
        return packet_id in self._open

    def answered(self, packet_id: int, fingerprint: int, result_id: int) -> None:
        """An input was answered by a result, whose acknowledgement is to be awaited."""
        self._open.add(packet_id)
        self._by_result[result_id] = Waiting(packet_id, fingerprint)

    def acknowledged(self, result_id: int) -> int | None:
        """The broker has a result; returns the id of the input to acknowledge now, if any."""
        waiting = self._by_result.pop(result_id, None)
        if waiting is None:
            return None
        self._open.discard(waiting.packet_id)
        self._settled[waiting.packet_id] = waiting.fingerprint
        return waiting.packet_id

    def settled(self, packet_id: int, fingerprint: int) -> None:
        """An input needs no result. Bounded by the 65535 packet ids, as everything here."""
        self._settled[packet_id] = fingerprint
