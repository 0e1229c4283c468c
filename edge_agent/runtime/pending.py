"""Which QoS 1 messages are not settled yet, on one connection. Pure bookkeeping.

An input may only be acknowledged when the broker has acknowledged its result. Until then, and
for a while after, the broker may send the input again with DUP set; such a copy must not be
answered a second time. Packet ids mean something on one connection only, so each connection gets
a new `Pending`.
"""

from collections.abc import Collection
from enum import Enum
from typing import Final

REMEMBERED: Final = 2048
"""Settled messages that a copy is still known of: far more than any broker has on the way."""


class Receipt(Enum):
    """What a QoS 1 message is that has arrived."""

    NEW = "new"
    OPEN = "open"
    """A copy of one that is being answered; its acknowledgement will come."""
    SETTLED = "settled"
    """A copy that crossed our acknowledgement."""


class Pending:
    """Inputs by packet id, and the results that they wait for."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._by_result: dict[int, int] = {}
        self._settled: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def unconfirmed(self) -> int:
        """Results that the broker has not acknowledged."""
        return len(self._by_result)

    def is_result(self, result_id: int) -> bool:
        """Whether a packet id is taken by a result that is on its way."""
        return result_id in self._by_result

    def received(self, packet_id: int, fingerprint: int, *, is_dup: bool) -> Receipt:
        """A message has arrived; a new one is open from now on.

        The fingerprint tells a copy that crossed our acknowledgement from another message that
        was given the same id later.
        """
        if is_dup:
            if packet_id in self._open:
                return Receipt.OPEN
            if self._settled.get(packet_id) == fingerprint:
                return Receipt.SETTLED
        self._open[packet_id] = fingerprint
        return Receipt.NEW

    def forget(self, packet_id: int) -> None:
        """A message was left alone, for somebody else."""
        self._open.pop(packet_id, None)

    def forget_unanswered(self, answered: Collection[int]) -> None:
        """Messages without a result on its way are left alone, but for those that are told."""
        kept = {*self._by_result.values(), *answered}
        self._open = {key: value for key, value in self._open.items() if key in kept}

    def answered(self, packet_id: int, result_id: int) -> None:
        """An open input has a result, whose acknowledgement is to be awaited."""
        self._by_result[result_id] = packet_id

    def acknowledged(self, result_id: int) -> int | None:
        """The broker has a result; returns the id of the input to acknowledge now, if any."""
        packet_id = self._by_result.pop(result_id, None)
        if packet_id is not None:
            self.settled(packet_id)
        return packet_id

    def settled(self, packet_id: int) -> None:
        """An open input is done with, and acknowledged."""
        fingerprint = self._open.pop(packet_id, None)
        if fingerprint is None:
            return
        self._settled.pop(packet_id, None)
        self._settled[packet_id] = fingerprint
        if len(self._settled) > REMEMBERED:
            del self._settled[next(iter(self._settled))]
