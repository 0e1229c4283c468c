"""Keeps one message from killing its slot for ever.

With QoS 1 a message that ends the process comes again to the next one, and the one after it. What
was being run when a process ended is suspected: for a while everything is run by itself, so that
the others of its batch go free and only the culprit is caught again. A message that was caught
`MOST_DEATHS` times in a row is poison: it is run no more.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

from edge_agent.runtime.message import Incoming
from edge_agent.runtime.protocol import WorkerPoison
from edge_agent.runtime.run_mark import RunMark

MOST_DEATHS: Final = 3
WARY_S: Final = 30.0
"""A suspect that has not come by then was of QoS 0, or its sender is gone."""


def fingerprint(message: Incoming) -> int:
    """A number for what a message says and where; the same in every process. 64 bits.

    A checksum, because every message pays for it. Of the messages of one topic and length, one in
    four billion has the fingerprint of a poisonous one, and would be refused with it.
    """
    checksum = crc32(message.payload, crc32(message.topic.encode()))
    return checksum << 32 | (len(message.payload) & 0xFFFFFFFF)


class RunGuard:
    """Notes what is run, and knows what must not be.

    Args:
        mark: this slot's page. The process takes it over here.
        limit_s: longest time of a run, seconds.
        on_poison: told once of each message that is found not to be run any more.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        mark: RunMark,
        limit_s: float,
        on_poison: Callable[[WorkerPoison], None],
        *,
        now: float,
    ) -> None:
        self._mark = mark
        self._on_poison = on_poison
        deaths = mark.take_over()
        mark.limit(limit_s)
        self._poison = {found for found, count in deaths.items() if count >= MOST_DEATHS}
        self._suspects = deaths.keys() - self._poison
        self._wary_until = now + WARY_S if self._suspects else 0.0
        self._told: set[int] = set()
        self._on_run: list[int] = []

    @property
    def has_poison(self) -> bool:
        """Whether there is anything that must not be run."""
        return bool(self._poison)

    @property
    def is_wary(self) -> bool:
        """Whether there may be suspicion."""
        return self._wary_until > 0

    def most(self, usual: int, now: float) -> int:
        """How many messages may be run at once.

        Args:
            usual: without any suspicion.
            now: seconds, monotonic.
        """
        if self._wary_until and (now > self._wary_until or not self._suspects):
            self._wary_until = 0.0
        return 1 if self._wary_until else usual

    def is_poison(self, message: Incoming) -> bool:
        """Whether a message must not be run."""
        found = fingerprint(message)
        if found not in self._poison:
            return False
        if found not in self._told:
            self._told.add(found)
            self._on_poison(
                WorkerPoison(topic=message.topic, bytes=len(message.payload), deaths=MOST_DEATHS)
            )
        return True

    def begin(self, messages: Sequence[Incoming]) -> None:
        """These are run from now on."""
        self._on_run = [fingerprint(message) for message in messages]
        self._mark.begin(self._on_run, time.monotonic())

    def begin_run(self) -> None:
        """The model is asked about one of them, or about some; each run has its own time."""
        self._mark.begin_another(time.monotonic())

    def end(self) -> None:
        """They are done with, and the process lives: whoever was suspected did not do it."""
        self._mark.end()
        if self._suspects:
            for found in self._suspects.intersection(self._on_run):
                self._suspects.discard(found)
                self._mark.acquit(found)
