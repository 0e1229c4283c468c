"""A slot that answers each message as it comes, behind the interface that the transport asks of."""

from collections.abc import Callable, Sequence

from edge_agent.runtime.message import Incoming, Outgoing, Settled


class InlineSlot:
    """Answers without a queue.

    Args:
        answer: (topic, payload, seconds since 1970) to what is published.
    """

    def __init__(self, answer: Callable[[str, bytes, float], Outgoing | None]) -> None:
        self._answer = answer
        self._waiting: list[Incoming] = []

    def offer(self, messages: Sequence[Incoming]) -> list[Settled]:
        """Take messages."""
        self._waiting += messages
        return []

    def due(self, now: float) -> float | None:  # noqa: ARG002 -- the interface's
        """Whether any waits."""
        return 0.0 if self._waiting else None

    def run(self, now: float) -> list[Settled]:  # noqa: ARG002 -- the interface's
        """Answer them all."""
        messages, self._waiting = self._waiting, []
        return [
            Settled(message.token, self._answer(message.topic, message.payload, message.received_s))
            for message in messages
        ]

    def withdraw(self) -> None:
        """Forget what comes again."""
        self._waiting = [message for message in self._waiting if not message.token]
