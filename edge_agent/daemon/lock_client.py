"""The asking side of locks: takes one, and waits until it can be relied upon.

Talks to the local door of the running agent. Bounded: an update that is past the point where it
can be put off is waited for only so long.
"""

import time
from pathlib import Path
from typing import Final

from edge_agent.daemon.local import Request, ask_lock
from edge_agent.daemon.lock_desk import LockAnswer
from edge_agent.errors import Conflict, InvalidInput
from edge_agent.store.locks import ALL_SLOTS

SETTLE_S: Final = 30.0
"""An update that was under way stops within this, or is at its last step."""

_PAUSE_S: Final = 0.1


def lock(state_dir: Path, slot: str | None, for_s: float, reason: str) -> LockAnswer:
    """Lock a slot, and return when nothing is switched in it any more.

    Args:
        state_dir: of the agent.
        slot: its name; None for all.
        for_s: how long, seconds.
        reason: for people.

    Raises:
        InvalidInput: the name is empty.
        Conflict: it was refused, with the agent's own code; or `update_under_way`: the lock is
            held, and an update may still switch.
        Unavailable: no agent answers.
    """
    name = _meant(slot)
    answer = _asked(state_dir, Request(ask="lock", slot=name, for_s=for_s, reason=reason))
    deadline = time.monotonic() + SETTLE_S
    while answer.is_busy and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        answer = _asked(state_dir, Request(ask="locked", slot=name))
    if answer.is_busy:
        raise Conflict(
            f"{_named(name)} expected to come to rest within {SETTLE_S:g} s, found still at work",
            hint="the lock is held, but an update under way may still switch: ask again",
            code="update_under_way",
        )
    return answer


def unlock(state_dir: Path, slot: str | None) -> LockAnswer:
    """End a lock, or all.

    Args:
        state_dir: of the agent.
        slot: its name; None for every lock: that of all slots, and those of single ones.

    Raises:
        InvalidInput: the name is empty.
        Conflict: it was refused, with the agent's own code.
        Unavailable: no agent answers.
    """
    return _asked(state_dir, Request(ask="unlock", slot=_meant(slot)))


def lock_line(answer: LockAnswer) -> str:
    """How it stands, for people."""
    name = _named(answer.slot)
    if answer.lock is None:
        return f"{name}: not locked{'' if answer.was_held else '; it was not locked before'}"
    ends = time.strftime("%H:%M:%S", time.localtime(answer.lock.until))
    reason = f" ({answer.lock.reason})" if answer.lock.reason else ""
    return f"{name}: locked until {ends}{reason}"


def unlock_line(answer: LockAnswer) -> str:
    """What an unlock has ended, and what still holds, for people."""
    if answer.lock is not None:
        return f"{lock_line(answer)}, by the lock of all slots: 'edge-agent unlock' ends that, too"
    if answer.slot != ALL_SLOTS or not answer.ended:
        return lock_line(answer)
    return f"all slots: not locked; ended: {', '.join(map(_lock_of, answer.ended))}"


def _asked(state_dir: Path, request: Request) -> LockAnswer:
    answer = ask_lock(state_dir, request)
    failure = answer.failure
    if failure is not None:
        raise Conflict(failure.text, hint=failure.hint, code=failure.code)
    return answer


def _meant(slot: str | None) -> str:
    """The slot that a person's word means.

    Raises:
        InvalidInput: nothing stands there: a variable of a shell script that was never set must
            not lock the whole device.
    """
    if slot is None:
        return ALL_SLOTS
    if not slot.strip():
        raise InvalidInput(
            "a slot expected a name, found an empty one",
            hint="name a slot, or leave it out to mean all",
            code="slot_empty",
        )
    return slot


def _lock_of(slot: str) -> str:
    return "the lock of all slots" if slot == ALL_SLOTS else f"that of {slot}"


def _named(slot: str) -> str:
    return "all slots" if slot == ALL_SLOTS else slot
