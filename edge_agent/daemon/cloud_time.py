"""What time it is in the cloud, for a device whose own clock may be wrong: asked, and counted on.

The question is an empty batch of telemetry that asks for an acknowledgement; the answer carries
the service's time. It never sets a clock, and nothing but deadlines of commands is judged by it.
"""

import threading
import uuid
from collections.abc import Callable
from typing import Final

from edge_agent.contract.messages import Ack, Telemetry
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode
from edge_agent.store.clock import Clock

PREFIX: Final = "time-"
"""Of the names of these questions: the outbox has its own."""

ASK_AGAIN_S: Final = 5.0
"""A question is given up after this: an answer that took longer says little about the time."""

KNOWN_S: Final = 3600.0
"""After this the time is asked for anew: two clocks that run freely drift apart."""


class CloudTime:
    """The service's time, as far as it is known. Any thread.

    Args:
        device: its name.
        boot_id: of this run of the agent.
        clock: counts on from the last answer.
        publish: takes topic and payload; returns whether they could be sent.
    """

    def __init__(
        self, device: str, boot_id: str, clock: Clock, publish: Callable[[str, bytes], bool]
    ) -> None:
        self._boot_id = boot_id
        self._device = device
        self._clock = clock
        self._publish = publish
        self._lock = threading.Lock()
        self._question = ""
        self._asked = 0.0
        self._known: tuple[float, float] | None = None

    def now(self) -> float | None:
        """Seconds since 1970, at most `ASK_AGAIN_S` too early; None if it is not known."""
        now = self._clock.monotonic()
        with self._lock:
            if self._known is None or now - self._known[1] > KNOWN_S:
                return None
            told, at = self._known
            return told + now - at

    def ask(self) -> None:
        """Ask for the time, unless that was done just now. Never waits."""
        now = self._clock.monotonic()
        with self._lock:
            if self._question and now - self._asked < ASK_AGAIN_S:
                return
            self._question, self._asked = f"{PREFIX}{uuid.uuid4().hex}", now
            question = Telemetry(
                device=self._device, boot_id=self._boot_id, rows=(), question=self._question
            )
        if not self._publish(control(self._device, Channel.TELEMETRY), encode(question)):
            with self._lock:
                self._question = ""

    def take(self, ack: Ack) -> bool:
        """Look at an acknowledgement.

        Returns:
            Whether it answers a question of this kind, and nothing else.
        """
        if not ack.answers.startswith(PREFIX):
            return False
        now = self._clock.monotonic()
        with self._lock:
            # One that lay with the broker for weeks, or came slowly, says nothing about now.
            is_fresh = ack.answers == self._question and now - self._asked < ASK_AGAIN_S
            if is_fresh and ack.time > 0:
                self._known = (ack.time, now)
                self._question = ""
        return True
