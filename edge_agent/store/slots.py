"""What is remembered about a slot: the versions in it and how far a new one has come.

Pure values. `active` and `previous` were both committed: they passed their whole trial. What is
still on trial is the `candidate`, and it never overwrites either of them.
"""

from typing import Final

from msgspec import Struct

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import UPDATE_LOCKED, Phase, SlotConfig, SlotError

FINAL_FAILURES: Final = frozenset({Phase.REJECTED, Phase.ROLLED_BACK})
"""Not tried again until something else is wanted, or somebody asks for it."""


class Installed(Struct, frozen=True, kw_only=True):
    """A module version together with the configuration it runs with.

    A rollback goes back to both; the same version with another configuration is another one.

    Attributes:
        shadows: the slot whose answers its own are compared with; empty if it answers messages.
    """

    module: str
    version: int
    digest: str
    config: SlotConfig = SlotConfig()
    shadows: str = ""


class SlotRecord(Struct, frozen=True, kw_only=True):
    """One slot, as it is journalled.

    Attributes:
        target: what `phase`, `error` and `attempts` are about: the version that was last wanted.
        active: the last version that was committed; it runs unless a candidate does.
        previous: the one that was committed before it.
        candidate: a version that answers live messages on trial, not committed yet.
        trial: what the candidate has to do before it is committed.
        step: what is under way for the target: fetch, install, prove, switch, trial; empty if
            nothing is.
        interruptions: how often the agent itself ended in each of these steps, with the target.
        attempts: how often the target failed.
        next_retry: when it is due, for the first time or again, seconds since 1970, or None.
        since: when the phase was entered, seconds since 1970.
        put_off_since: when a lock first put the target off, seconds since 1970; None if none did.
        blobs: digests of the files that each manifest (by its digest) needs, to keep them.
    """

    slot: str
    phase: Phase = Phase.ABSENT
    target: Installed | None = None
    active: Installed | None = None
    previous: Installed | None = None
    candidate: Installed | None = None
    trial: Trial = Trial()
    step: str = ""
    interruptions: dict[str, int] = {}
    error: SlotError | None = None
    attempts: int = 0
    next_retry: float | None = None
    since: float = 0.0
    put_off_since: float | None = None
    blobs: dict[str, tuple[str, ...]] = {}

    @property
    def is_put_off(self) -> bool:
        """Whether the target is not begun, because a program on the device said "not now"."""
        return self.error is not None and self.error.code == UPDATE_LOCKED

    @property
    def serving(self) -> Installed | None:
        """What should answer messages now."""
        return self.candidate or self.active

    @property
    def installed(self) -> tuple[Installed, ...]:
        """Every version whose files must stay."""
        return tuple(
            version
            for version in (self.target, self.active, self.previous, self.candidate)
            if version is not None
        )

    @property
    def committed(self) -> "SlotRecord | None":
        """What of it must outlive even the journal; None if nothing was ever committed.

        No trace of what is on its way or on trial, but what was refused for good: it is not tried
        again.
        """
        if self.active is None:
            return None
        is_refused = self.phase in FINAL_FAILURES and self.target != self.active
        target = self.target if is_refused else self.active
        kept = {version.digest for version in (target, self.active, self.previous) if version}
        return SlotRecord(
            slot=self.slot,
            phase=self.phase if is_refused else Phase.ACTIVE,
            target=target,
            active=self.active,
            previous=self.previous,
            error=self.error if is_refused else None,
            attempts=self.attempts if is_refused else 0,
            blobs={digest: files for digest, files in self.blobs.items() if digest in kept},
        )
