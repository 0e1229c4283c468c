"""The messages that wait for a run: bounded, and what is too late never reaches the model.

Pure: the clock comes in as an argument. Nothing is answered or published here; what is left out
is handed back with the reason that it is counted by.
"""

from collections import OrderedDict
from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from edge_agent.contract.manifest import Runtime
from edge_agent.runtime.message import Incoming


class Reason(StrEnum):
    """Why a message was left out; the value is what it is counted by."""

    EXPIRED = "expired"
    DEADLINE = "deadline"
    OVERLOAD = "overload"
    SUPERSEDED = "superseded"
    REFUSED = "overloaded"


class Left(Struct, frozen=True, gc=False):
    """A message that will not be answered by the model."""

    message: Incoming
    reason: Reason


class MessageQueue:
    """Messages in the order in which they came.

    Args:
        rules: `max_queue`, `overload`, `latest_only` and `deadline_ms` of a module.
    """

    def __init__(self, rules: Runtime) -> None:
        self._max_queue = rules.max_queue
        self._refuses_newest = rules.overload == "reject"
        self._is_latest_only = rules.latest_only
        self._deadline_s = rules.deadline_ms / 1e3
        self._next = 0
        # By number, or by topic where a newer message takes the older one's place: a topic that
        # is busy neither jumps the queue nor is put off for ever.
        self._waiting: OrderedDict[int | str, Incoming] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest_s(self) -> float | None:
        """When the message was received that is first in the queue, seconds, monotonic."""
        return next(iter(self._waiting.values())).arrived_s if self._waiting else None

    def offer(self, messages: Sequence[Incoming]) -> list[Left]:
        """Add messages.

        Returns:
            What had to give way: older ones, or of these the ones that found no room.
        """
        left: list[Left] = []
        waiting = self._waiting
        for message in messages:
            key: int | str
            # Somebody waits for the answer to a request: no other message answers it.
            if self._is_latest_only and not message.reply_to:
                key = message.topic
                older = waiting.get(key)
                if older is not None:
                    left.append(Left(older, Reason.SUPERSEDED))
                    waiting[key] = message
                    continue
            else:
                key = self._next = self._next + 1
            if len(waiting) >= self._max_queue:
                if self._refuses_newest:
                    left.append(Left(message, Reason.REFUSED))
                    continue
                _, oldest = waiting.popitem(last=False)
                left.append(Left(oldest, Reason.OVERLOAD))
            waiting[key] = message
        return left

    def take(self, most: int, now: float) -> tuple[list[Incoming], list[Left]]:
        """Remove messages from the front.

        Args:
            most: how many to return at most, those that are too late not counted.
            now: seconds, monotonic.

        Returns:
            The messages to answer, and those that are too late.
        """
        taken: list[Incoming] = []
        late: list[Left] = []
        waiting = self._waiting
        deadline_s = self._deadline_s
        while waiting and len(taken) < most:
            _, message = waiting.popitem(last=False)
            if message.expires_s and now >= message.expires_s:
                late.append(Left(message, Reason.EXPIRED))
            elif deadline_s and now - message.arrived_s > deadline_s:
                late.append(Left(message, Reason.DEADLINE))
            else:
                taken.append(message)
        return taken, late

    def withdraw(self) -> int:
        """Remove the messages that have a token, and will come again; returns how many."""
        coming = [key for key, message in self._waiting.items() if message.token]
        for key in coming:
            del self._waiting[key]
        return len(coming)
