"""What the agent can do about a slot: frozen records, without behaviour.

A plan is a tuple of these. `apply` is the only place that knows how each is done.
"""

from msgspec import Struct

from edge_agent.contract.state import SlotError
from edge_agent.store.slots import Installed


class Begin(Struct, frozen=True):
    """Note that work on this version begins, or when it will.

    Attributes:
        spread_s: over how long many devices that want something new spread their first requests,
            seconds.
    """

    slot: str
    target: Installed
    spread_s: float = 0.0


class PutOff(Struct, frozen=True):
    """Note that this version is not begun, because a program on the device said "not now".

    Attributes:
        until: when it goes on at the latest, seconds since 1970.
        reason: for people; may be empty.
    """

    slot: str
    target: Installed
    until: float
    reason: str


class Fetch(Struct, frozen=True):
    """Bring the manifest and every file of it onto the device; verify those that are here."""

    slot: str
    target: Installed


class Install(Struct, frozen=True):
    """Check that the manifest is what was wanted, and that this device can run it."""

    slot: str
    target: Installed


class Prove(Struct, frozen=True):
    """Run the golden cases in a process of their own, away from live messages."""

    slot: str
    target: Installed


class Switch(Struct, frozen=True):
    """Load it beside what runs, let that finish, take over, and note that it is on trial."""

    slot: str
    target: Installed


class Run(Struct, frozen=True):
    """Start a worker for a version that is installed."""

    slot: str
    version: Installed


class Stop(Struct, frozen=True):
    """End a worker that nothing in the journal asks for."""

    slot: str


class Commit(Struct, frozen=True):
    """The trial is passed: the candidate becomes active, the active one previous."""

    slot: str
    candidate: Installed


class RollBack(Struct, frozen=True):
    """Take the candidate away; the active version and its configuration run again.

    Attributes:
        error: why, or None when it is simply not wanted any more.
    """

    slot: str
    error: SlotError | None


class Settle(Struct, frozen=True):
    """Nothing is to be done: note that what is wanted is what is active."""

    slot: str
    active: Installed


class Reject(Struct, frozen=True):
    """Note that this version will never run here."""

    slot: str
    target: Installed
    error: SlotError


class TryAgain(Struct, frozen=True):
    """Make a failed or refused version due at once. Never planned: somebody asked for it."""

    slot: str


class Remove(Struct, frozen=True):
    """Stop the slot's worker and forget the slot."""

    slot: str


Step = (
    Begin
    | PutOff
    | Fetch
    | Install
    | Prove
    | Switch
    | Run
    | Stop
    | Commit
    | RollBack
    | Settle
    | Reject
    | TryAgain
    | Remove
)
