"""A worker's transport at work in a thread, answering each message with what it says."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from edge_agent.runtime.loop import Loop
from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.runtime.transport import Transport

WAIT_S = 30.0


class EchoSlot:
    """Answers on `out` in batches; nothing comes of a message that says "hush".

    Attributes:
        seconds: that a batch takes at least.
        may_run: cleared, a batch waits for it.
        is_wary: whether it says that a batch may end the process.
        sent_at: for each batch, how often bytes had been sent when it was said to have left.
        sends: counts them; none by itself.
    """

    def __init__(self) -> None:
        self.seen: list[Incoming] = []
        self.batches: list[int] = []
        self.withdrawals = 0
        self.left_out_for: list[str] = []
        self.seconds = 0.0
        self.is_wary = False
        self.may_run = threading.Event()
        self.may_run.set()
        self.sends: Callable[[], int] = lambda: 0
        self.sent_at: list[int] = []
        self._waiting: list[Incoming] = []

    def offer(self, messages: Sequence[Incoming]) -> list[Settled]:
        self.seen += messages
        self._waiting += messages
        return []

    def due(self, now: float) -> float | None:
        return 0.0 if self._waiting else None

    def run(self, now: float) -> list[Settled]:
        messages, self._waiting = self._waiting, []
        self.batches.append(len(messages))
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            pass
        assert self.may_run.wait(WAIT_S)
        return [Settled(one.token, self._answer(one)) for one in messages]

    def sent(self, now: float) -> None:
        self.sent_at.append(self.sends())

    def withdraw(self) -> None:
        self.withdrawals += 1
        self._waiting = [one for one in self._waiting if not one.token]

    def left_out(self, reason: str, answer: Outgoing | None) -> None:
        self.left_out_for.append(reason)

    def _answer(self, one: Incoming) -> Outgoing | None:
        if one.payload == b"hush":
            return None
        topic = one.reply_to or "out"
        return Outgoing(topic, one.payload, one.content_type, one.correlation)


class SentPieces:
    """Counts what leaves a connected transport: the packets of each call."""

    def __init__(self, transport: Transport) -> None:
        connection = transport._connection
        assert connection is not None
        self.seen: list[list[bytes]] = []
        self._socket = connection._socket
        connection._socket = self  # type: ignore[assignment]

    def send(self, data: bytes) -> int:
        rest, packets = data, []
        while rest:
            size = 2 + rest[1]
            packets.append(rest[:size])
            rest = rest[size:]
        self.seen.append(packets)
        return self._socket.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class RunningTransport:
    """A transport on a loop in a thread of its own; what it tells is kept."""

    def __init__(self, url: str, *, protocol: Any = "auto", ca_file: str = "", **options: Any):
        self.slot = EchoSlot()
        self.connected: list[bool] = []
        self.lost: list[str] = []
        self.left = threading.Event()
        self._changed = threading.Condition()
        self.loop = Loop()
        try:
            self.transport = Transport(
                self.loop,
                BrokerAddress(url=url, protocol=protocol, ca_file=ca_file),
                "device_slot",
                options.pop("filters", ["in"]),
                slot=self.slot,
                on_connected=lambda present: self._note(self.connected, present),
                on_disconnected=lambda text: self._note(self.lost, text),
                on_left=self._on_left,
                **options,
            )
        except BaseException:
            self.loop.close()
            raise
        self._thread = threading.Thread(target=self.loop.run)

    def __enter__(self) -> Self:
        self._thread.start()
        self.loop.call_soon(self.transport.start)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon(self._end)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self.loop.close()

    def wait_connected(self, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.connected) >= times, WAIT_S), self.lost

    def wait_lost(self, times: int = 1) -> str:
        """Waits for a lost connection; returns why it was lost."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lost) >= times, WAIT_S)
            return self.lost[times - 1]

    def _note(self, found: list[Any], value: object) -> None:
        with self._changed:
            found.append(value)
            self._changed.notify_all()

    def _end(self) -> None:
        """Without goodbye: the broker of a test may not answer any more."""
        if self.transport._connection is not None:
            self.transport._connection.close()
        self.loop.stop()

    def _on_left(self) -> None:
        self.left.set()
        self.loop.stop()
