"""The memory files of all slots, as the agent holds them: made when needed, kept over every worker.

They have no name on any disk and are gone with the agent. The control process never looks into
them.
"""

import logging
import os
import threading
from typing import Final

log: Final = logging.getLogger("edge_agent.daemon")


class RegionFiles:
    """One memory file a slot. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, int] = {}

    def take(self, slot: str) -> int | None:
        """The file descriptor of a slot's memory; it stays ours, a worker gets a copy.

        Returns:
            None if this system has none to give: the slot works, and forgets at each restart.
        """
        with self._lock:
            fd = self._files.get(slot)
            if fd is None:
                try:
                    fd = os.memfd_create(f"shoal-{slot}", os.MFD_CLOEXEC)
                except OSError as error:
                    log.warning("event=no_state_memory slot=%s reason=%s", slot, error)
                    return None
                self._files[slot] = fd
            return fd

    def drop(self, slot: str) -> None:
        """Forget what a slot kept."""
        with self._lock:
            fd = self._files.pop(slot, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Forget what all slots kept."""
        with self._lock:
            files = list(self._files.values())
            self._files.clear()
        for fd in files:
            os.close(fd)
