"""What a source of messages asks of the slot that answers them. No code."""

from collections.abc import Sequence
from typing import Protocol

from edge_agent.runtime.message import Incoming, Outgoing, Settled


class MessageSlot(Protocol):
    """What answers the messages. Its methods must not raise."""

    @property
    def is_wary(self) -> bool:
        """Whether the next batch may end the process: what is to be sent is sent before it."""
        ...

    def offer(self, messages: Sequence[Incoming]) -> list[Settled]:
        """Take messages; returns those that are done with at once."""
        ...

    def due(self, now: float) -> float | None:
        """Seconds until a batch must run, `now` being monotonic; None if none waits."""
        ...

    def run(self, now: float) -> list[Settled]:
        """Run one batch of what waits, due or not; returns what is done with."""
        ...

    def sent(self, now: float) -> None:
        """What `run` returned has left, or never will; `now` being monotonic."""
        ...

    def left_out(self, reason: str, answer: Outgoing | None) -> None:
        """Count what cannot be carried: an answer, or a message that cannot be read if None."""
        ...

    def withdraw(self) -> None:
        """Forget the messages with a token: they come again, here or to a successor."""
        ...
