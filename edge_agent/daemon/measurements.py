"""What was measured of models on this machine, kept over restarts in one small file.

A file that is damaged or from another version is forgotten: everything in it can be measured again.
"""

import logging
import threading
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.errors import StorageError
from edge_agent.runtime.protocol import Measured
from edge_agent.store.files import write_atomic

log: Final = logging.getLogger("edge_agent.daemon")

FILE: Final = "measurements.json"
MAX_ENTRIES: Final = 200
MAX_BYTES: Final = 2**20
_VERSION: Final = 1


class _File(Struct, frozen=True, kw_only=True):
    v: int
    entries: dict[str, Measured]


class Measurements:
    """Measurements by their key, the one that was added last at the end. Any thread.

    Args:
        state_dir: where the file is.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self._lock = threading.Lock()
        self._entries = _read(self._path)

    def get(self, key: str) -> Measured | None:
        """What was measured, or None."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: str, measured: Measured) -> None:
        """Keep a measurement. Without space on the disk it is kept until the agent ends."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = measured
            while len(self._entries) > MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]
            data = msgspec.json.encode(_File(v=_VERSION, entries=self._entries))
            try:
                write_atomic(self._path, data)
            except StorageError as error:
                log.warning("event=measurement_not_kept code=%s text=%r", error.code, error.text)


def _read(path: Path) -> dict[str, Measured]:
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(MAX_BYTES), type=_File)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("event=measurements_forgotten reason=%r", str(error))
        return {}
    return dict(found.entries) if found.v == _VERSION else {}
