"""Locks: for how long programs on the device said "not now" to updates.

Kept in one small file, so that a lock outlives the agent; counted by a clock that nobody sets. A
disk that takes nothing keeps no lock from being held, only from outliving the agent.
"""

import logging
import threading
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.errors import Conflict, InvalidInput, StorageError
from edge_agent.store.clock import Clock
from edge_agent.store.files import write_atomic

log: Final = logging.getLogger("edge_agent.locks")

LOCKS_FILE: Final = "locks.json"
ALL_SLOTS: Final = "*"
"""In place of a slot's name."""

MOST_LOCKS: Final = 200
MOST_REASON: Final = 200
_MOST_BYTES: Final = 2**20


class SlotLock(Struct, frozen=True, kw_only=True):
    """A lock. Times are seconds since 1970.

    Attributes:
        since: when it was taken, or last renewed.
        until: when it ends by itself.
        reason: for people.
    """

    since: float
    until: float
    reason: str = ""


class Locks:
    """The locks of a device. Any thread.

    Args:
        folder: the state directory.
        clock: for when they end.
        max_s: longest lock, and longest time that an update may be put off, seconds.
    """

    def __init__(self, folder: Path, clock: Clock, max_s: float) -> None:
        self._path = folder / LOCKS_FILE
        self._clock = clock
        self._max_s = max_s
        self._guard = threading.Lock()
        # With when each ends by the clock that is never set, seconds.
        self._held: dict[str, tuple[SlotLock, float]] = {}
        wall, now = clock.wall(), clock.monotonic()
        for slot, lock in _read(self._path).items():
            # Never longer than the whole lock was, wherever the machine's clock was set meanwhile.
            left_s = min(lock.until - wall, lock.until - lock.since, max_s)
            if left_s > 0:
                self._held[slot] = (lock, now + left_s)

    def take(self, slot: str, for_s: float, reason: str = "") -> SlotLock:
        """Lock a slot, or set anew when its lock ends.

        Args:
            slot: its name, or `ALL_SLOTS`.
            for_s: how long from now, seconds.
            reason: for people.

        Raises:
            InvalidInput: `lock_too_long`: not above 0, or above the device's maximum.
            Conflict: `too_many_locks`.
        """
        if not 0 < for_s <= self._max_s:
            raise InvalidInput(
                f"a lock expected more than 0 and at most {self._max_s:,.12g} s, "
                f"found {for_s:,.12g} s",
                hint="lock for less and renew it, or raise lock.max_s in the device's agent.toml",
                code="lock_too_long",
            )
        wall, now = self._clock.wall(), self._clock.monotonic()
        lock = SlotLock(since=wall, until=wall + for_s, reason=reason[:MOST_REASON])
        with self._guard:
            held = {name: entry for name, entry in self._held.items() if entry[1] > now}
            if slot not in held and len(held) >= MOST_LOCKS:
                raise Conflict(
                    f"expected at most {MOST_LOCKS} locks at once, found as many",
                    hint="unlock some first",
                    code="too_many_locks",
                )
            self._held = {**held, slot: (lock, now + for_s)}
            self._write()
        return lock

    def release(self, slot: str) -> bool:
        """End a lock. Returns whether there was one."""
        with self._guard:
            entry = self._held.pop(slot, None)
            if entry is not None:
                self._write()
        return entry is not None and entry[1] > self._clock.monotonic()

    def release_all(self) -> tuple[str, ...]:
        """End every lock. Returns whose there were, `ALL_SLOTS` among them, sorted."""
        with self._guard:
            held, self._held = self._held, {}
            if held:
                self._write()
        now = self._clock.monotonic()
        return tuple(sorted(slot for slot, (_, ends) in held.items() if ends > now))

    def of(self, slot: str) -> SlotLock | None:
        """The lock that holds a slot longest, its own or that of all; None if none does."""
        now = self._clock.monotonic()
        live = [
            entry
            for name in (slot, ALL_SLOTS)
            if (entry := self._held.get(name)) is not None and entry[1] > now
        ]
        return max(live, key=lambda entry: entry[1])[0] if live else None

    def may_put_off(self, since: float | None, max_s: float | None) -> bool:
        """Whether an update may be put off by a lock, or has been for long enough.

        Args:
            since: when a lock first did, seconds since 1970; None if none did yet.
            max_s: how long whoever wants the update allows; None for what the device does.
        """
        allowed_s = self._allowed_s(max_s)
        if since is None:
            return allowed_s > 0
        # A clock that was set back must not put an update off for longer.
        return 0 <= self._clock.wall() - since < allowed_s

    def put_off_until(self, lock: SlotLock, since: float | None, max_s: float | None) -> float:
        """When an update goes on that a lock puts off, at the latest, seconds since 1970."""
        began = self._clock.wall() if since is None else since
        return min(lock.until, began + self._allowed_s(max_s))

    def _allowed_s(self, max_s: float | None) -> float:
        return self._max_s if max_s is None else min(self._max_s, max_s)

    def _write(self) -> None:
        locks = {slot: lock for slot, (lock, _) in self._held.items()}
        try:
            write_atomic(self._path, msgspec.json.encode(locks))
        except StorageError as error:
            log.warning("event=locks_not_kept code=%s text=%r", error.code, error.text)


def _read(path: Path) -> dict[str, SlotLock]:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=dict[str, SlotLock])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error("event=locks_unreadable text=%r", str(error))
        return {}
