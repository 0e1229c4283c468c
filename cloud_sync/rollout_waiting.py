"""Why devices of a rollout wait, as the HTTP API tells it. Times are seconds since 1970.

Part of the resources of rollouts and devices: values only, nothing here decides.
"""

from typing import Literal

from msgspec import Struct

WaitCode = Literal[
    "away", "first", "lock", "paused", "retry", "room", "spread", "stage", "turn", "window"
]


class Waiting(Struct, frozen=True, kw_only=True):
    """Why one device is not asked, or does not go on.

    Attributes:
        code: "away": it is not there; "first": another rollout goes first; "lock": a program on
            the device puts updates off; "paused": the whole rollout; "retry": until another try;
            "room": as many as may be are on their way; "spread": it begins later, so that a fleet
            does not ask at once; "stage": its stage has not begun; "turn": it is asked next;
            "window": no maintenance window is open.
        text: for people, without the times.
        since: since when, where that says something.
        until: when this ends at the latest; None if no time ends it.
    """

    code: WaitCode
    text: str
    since: float | None = None
    until: float | None = None


class WaitCount(Struct, frozen=True, kw_only=True):
    """How many devices wait for the same thing.

    Attributes:
        until: when the first of them ends to; None if no time ends it.
    """

    code: WaitCode
    text: str
    devices: int
    until: float | None = None


class SlotRollout(Struct, frozen=True, kw_only=True):
    """A rollout that has a device's slot in its line.

    Attributes:
        rollout: its id, `r17`.
        version: `module/version` that it brings.
        state: of the device there.
        waiting: why it does not go on; None if it does.
    """

    rollout: str
    version: str
    state: str
    waiting: Waiting | None = None
