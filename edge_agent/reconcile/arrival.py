"""Bringing files to the device: each once, however many slots want it, and hashed when it is here.

Knows nothing of slots and journals nothing; whoever asks waits for it.
"""

import threading
from collections.abc import Callable
from typing import Final

from edge_agent.errors import Superseded
from edge_agent.link.download import Downloader, Wanted
from edge_agent.store.blobs import BlobStore
from edge_agent.store.clock import Clock

FETCH_BASE_S: Final = 120.0
FETCH_BYTES_PER_S: Final = 8 * 1024
"""A download may take two minutes, and a second more for every 8 KiB: slower lines are given up
and continued, so that nothing hangs on them."""

LOOK_AGAIN_S: Final = 0.5
"""While a slot waits for another to bring a file, it looks so often whether it is still wanted."""


class Arrival:
    """Where files arrive. Any thread.

    Args:
        blobs: the device's files.
        downloader: brings those that are not here.
        clock: of the agent.
    """

    def __init__(self, blobs: BlobStore, downloader: Downloader, clock: Clock) -> None:
        self._blobs = blobs
        self._downloader = downloader
        self._clock = clock
        # Digests that a slot brings now. Two slots may want one file, and it has one part.
        self._arriving: set[str] = set()
        self._changed = threading.Condition()

    def bring(self, wanted: Wanted, is_superseded: Callable[[], bool]) -> None:
        """Have a whole file here; one that another slot is bringing is waited for.

        Args:
            wanted: which one.
            is_superseded: whether it is not wanted any more. Asked from this thread.

        Raises:
            ShoalError: see `Downloader.fetch`.
        """
        with self._changed:
            while wanted.digest in self._arriving:
                self._changed.wait(LOOK_AGAIN_S)
                if is_superseded():
                    raise Superseded(f"{wanted.digest} is not wanted any more")
            self._arriving.add(wanted.digest)
        try:
            # What is here already is hashed again: this phase promises verified files.
            if not (
                self._blobs.has(wanted.digest, wanted.size) and self._blobs.is_intact(wanted.digest)
            ):
                self._downloader.fetch(
                    self._blobs,
                    wanted,
                    deadline=self._clock.monotonic() + longest_s(wanted.limit),
                    is_superseded=is_superseded,
                )
        finally:
            with self._changed:
                self._arriving.discard(wanted.digest)
                self._changed.notify_all()


def longest_s(size: int) -> float:
    """How long one attempt to bring so many bytes may take, seconds."""
    return FETCH_BASE_S + size / FETCH_BYTES_PER_S
