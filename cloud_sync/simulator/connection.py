"""One MQTT connection of a simulated device: our own codec on an asyncio transport.

Lives from the handshake to the loss. Knows packets, never the meaning of a message.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from cloud_sync.errors import ContractError, Unavailable
from cloud_sync.simulator.device import Outgoing, SimulatedDevice
from cloud_sync.simulator.tally import FleetTally
from edge_agent.contract.topics import down_filters
from edge_agent.runtime.mqtt.packets import (
    FAILURE,
    V311,
    ConnAck,
    Packet,
    PubAck,
    Publish,
    SubAck,
    words_of,
)
from edge_agent.runtime.mqtt.reader import PacketReader
from edge_agent.runtime.mqtt.writer import PINGREQ, PacketWriter

KEEPALIVE_S: Final = 120
_MAX_PACKET_BYTES: Final = 2 * 2**20
_LAST_PACKET_ID: Final = 65_535


class DeviceConnection(asyncio.Protocol):
    """Speaks for a device from the moment that the broker has accepted and subscribed it.

    Args:
        device: that speaks.
        login: user name and password; empty for none.
        tally: counts, and has the clock.

    Attributes:
        ready: done once the device is subscribed; an error if it does not come to that.
        lost: done when the connection is over.
    """

    def __init__(self, device: SimulatedDevice, login: tuple[str, str], tally: FleetTally) -> None:
        self._device = device
        self._login = login
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = PacketReader(V311, _MAX_PACKET_BYTES)
        self._writer = PacketWriter(V311)
        self._packet_id = 0
        self._subscription = 0
        self._said = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The broker's machine has answered: introduce the device."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a TCP connection
        self._transport = transport
        will = self._device.will(self._tally.clock())
        user, password = self._login
        transport.write(
            self._writer.connect(
                self._device.name,
                keep_alive_s=KEEPALIVE_S,
                user=user,
                password=password,
                # What it misses comes again: desired states are retained, rows are sent again.
                is_clean=True,
                will=(will.topic, will.payload),
            )
        )

    def data_received(self, data: bytes) -> None:
        """Take what has come, and say what there is to say then."""
        try:
            for packet in self._reader.feed(data):
                self._take(packet)
        except Unavailable as error:
            self._end(error)
            return
        if self._device_speaks:
            self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._refuse(Unavailable(f"the broker ended the connection: {exc or 'without a word'}"))
        if not self.lost.done():
            self.lost.set_result(None)

    def pump(self) -> None:
        """Have the device work, send what it says, and come back when it has more to do."""
        now = self._tally.clock()
        if self._transport is None:
            return
        if self._device.is_away(now):
            self._transport.abort()  # without a word: the broker tells the last will
            return
        self._publish(self._device.work(now))
        if now - self._said > KEEPALIVE_S / 2:
            self._said = now
            self._transport.write(PINGREQ)
        due = min(
            self._device.due(now),
            self._tally.began + self._device.outage.begins,
            self._said + KEEPALIVE_S / 2 + 1.0,
        )
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.001, due - now), self.pump)

    def leave(self, reason: str) -> None:
        """Say goodbye and end."""
        if self._transport is None:
            return
        if self._device_speaks:
            self._publish([self._device.goodbye(reason, self._tally.clock())])
            self._transport.write(self._writer.disconnect())
        self._transport.close()

    @property
    def _device_speaks(self) -> bool:
        return self.ready.done() and not self.ready.cancelled() and self.ready.exception() is None

    def _take(self, packet: Packet) -> None:
        match packet:
            case Publish():
                self._take_message(packet)
            case PubAck():
                pass  # what counts is what the cloud has committed
            case ConnAck(code=code, reason=reason) if code >= FAILURE:
                self._end(Unavailable(f"the broker refused: {words_of(code, reason)}"))
            case ConnAck():
                self._subscription = self._next_id()
                self._write(
                    self._writer.subscribe(self._subscription, down_filters(self._device.name))
                )
            case SubAck(codes=codes):
                if any(code >= FAILURE for code in codes):
                    self._end(Unavailable("the broker refused a subscription"))
                elif not self.ready.done():
                    self.ready.set_result(None)
                    self._publish([self._device.connected(self._tally.clock())])
            case _:
                pass

    def _take_message(self, message: Publish) -> None:
        if message.packet_id:
            self._write(self._writer.puback(message.packet_id))
        self._tally.received(message.topic)
        try:
            self._device.take(message.topic, message.payload, self._tally.clock())
        except ContractError as error:
            self._tally.misunderstood(error)

    def _publish(self, messages: Iterable[Outgoing]) -> None:
        out: list[bytes] = []
        for message in messages:
            self._tally.sent(message)
            if message.is_retained:
                self._writer.publish_retained(out, message.topic, message.payload, self._next_id())
            else:
                packet_id = self._next_id() if message.qos else 0
                self._writer.publish(out, message.topic, message.payload, packet_id=packet_id)
        if out:
            self._said = self._tally.clock()
            self._write(b"".join(out))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % _LAST_PACKET_ID + 1
        return self._packet_id

    def _end(self, error: Unavailable) -> None:
        self._refuse(error)
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, error: Unavailable) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # seen: nobody may be waiting any more
