"""Desired and reported state, and the life cycle of a slot."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from edge_agent.contract.manifest import Digest, Name
from edge_agent.errors import ContractError

Revision = Annotated[int, Meta(ge=0)]
Spread = Annotated[float, Meta(ge=0, le=86_400)]


class Phase(StrEnum):
    """Where a slot stands on the way to its wanted version."""

    ABSENT = "absent"
    FETCHING = "fetching"
    VERIFIED = "verified"
    INSTALLED = "installed"
    TRIAL = "trial"
    ACTIVE = "active"
    FAILED = "failed"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"


_P = Phase
TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    _P.ABSENT: frozenset({_P.FETCHING}),
    _P.FETCHING: frozenset(
        {_P.VERIFIED, _P.FAILED, _P.REJECTED, _P.ROLLED_BACK, _P.ACTIVE, _P.ABSENT}
    ),
    _P.VERIFIED: frozenset(
        {_P.INSTALLED, _P.FETCHING, _P.FAILED, _P.REJECTED, _P.ROLLED_BACK, _P.ACTIVE, _P.ABSENT}
    ),
    _P.INSTALLED: frozenset(
        {_P.TRIAL, _P.FETCHING, _P.FAILED, _P.REJECTED, _P.ROLLED_BACK, _P.ACTIVE, _P.ABSENT}
    ),
    _P.TRIAL: frozenset(
        {_P.ACTIVE, _P.FETCHING, _P.FAILED, _P.REJECTED, _P.ROLLED_BACK, _P.ABSENT}
    ),
    _P.ACTIVE: frozenset({_P.FETCHING, _P.ABSENT, _P.FAILED, _P.ROLLED_BACK}),
    _P.FAILED: frozenset({_P.FETCHING, _P.ABSENT, _P.REJECTED, _P.ROLLED_BACK, _P.ACTIVE}),
    _P.REJECTED: frozenset({_P.FETCHING, _P.ABSENT, _P.ACTIVE}),
    _P.ROLLED_BACK: frozenset({_P.FETCHING, _P.ABSENT, _P.ACTIVE, _P.FAILED}),
}
"""Which phase may follow which. FETCHING follows any later phase when something else is wanted, or
when the agent was interrupted on the way and begins again; ACTIVE follows any phase when what runs
is wanted again."""


UNSETTLED: Final = frozenset({Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK})
"""The wanted version did not get there: a slot's error is of now, and of before in other phases."""


def check_transition(before: Phase, after: Phase) -> Phase:
    """Return `after` if it may follow `before` (or is the same).

    Raises:
        ContractError: an undefined transition.
    """
    if after != before and after not in TRANSITIONS[before]:
        raise ContractError(f"a slot cannot go from {before} to {after}", code="bad_transition")
    return after


UPDATE_LOCKED: Final = "update_locked"
"""Code of the error of a slot whose update is put off by a lock on the device."""


class SlotConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a deployment may change about a module without a new version; empty = as built."""

    input_topic: str = ""
    output_topic: str = ""
    uplink: str = ""


class WantedSlot(Struct, frozen=True, kw_only=True):
    """What should run in a slot.

    Attributes:
        mode: "run" answers messages; "shadow" gets what the slot `shadows` gets, and its answers
            are only compared.
        shadows: a slot of the same device; only with mode "shadow".
        lock_max_s: how long a lock on the device may put this off, seconds, if that is less than
            the device itself allows; 0 for not at all, None to leave it to the device.
    """

    module: Name
    version: Annotated[int, Meta(ge=1)]
    digest: Digest
    mode: Literal["run", "shadow"] = "run"
    shadows: str = ""
    config: SlotConfig = SlotConfig()
    rollout: str = ""
    stage: int = 0
    lock_max_s: Annotated[float, Meta(ge=0)] | None = None


class AgentSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of the agent that the cloud may change; None = as in the device's own file.

    Attributes:
        health_interval_s: seconds between two health reports.
        fetch_spread_s: over how long the devices that this revision concerns spread their first
            requests for its files, seconds; 0 if it concerns only this one.
        reconnect_spread_s: over how long the devices of this fleet spread what they would all do
            at once when the broker comes back, seconds.
    """

    health_interval_s: Annotated[float, Meta(ge=1, le=86_400)] | None = None
    fetch_spread_s: Spread = 0.0
    reconnect_spread_s: Spread = 0.0


class DesiredState(Struct, frozen=True, kw_only=True):
    """What a device should run. A lower revision than one already seen is never applied."""

    device: Name
    revision: Revision
    slots: dict[Name, WantedSlot] = {}
    settings: AgentSettings = AgentSettings()
    v: Literal[1] = 1


class SlotError(Struct, frozen=True, kw_only=True):
    """Why a slot is not where it should be: a stable code, a text for people, the failed step."""

    code: str
    text: str
    step: str = ""


class ReportedSlot(Struct, frozen=True, kw_only=True):
    """What a slot does.

    Attributes:
        running: digest of what answers messages now; empty if nothing does.
        running_version: its version, 0 if nothing runs.
        shadows: the slot that what runs shadows; empty if it answers messages.
        wanted: digest of what should.
        attempts: how often the wanted version was tried and failed.
        next_retry: when the next attempt is due, seconds since 1970, or None if none waits. While
            fetching: the first one, put off so that a fleet does not ask at once, or by a lock.
        since: when the phase was entered, seconds since 1970.
        locked_until: a program on the device said "not now" to updates of this slot, until then,
            seconds since 1970; None if none did. One that is put off has the error
            `update_locked`, and `next_retry` says when it goes on at the latest.
    """

    module: str
    phase: Phase
    running: str = ""
    running_version: int = 0
    shadows: str = ""
    wanted: str = ""
    wanted_version: int = 0
    error: SlotError | None = None
    attempts: int = 0
    next_retry: float | None = None
    since: float = 0.0
    locked_until: float | None = None

    @property
    def is_waiting_its_turn(self) -> bool:
        """Whether nothing was asked for yet, so that a fleet does not ask at once."""
        return self.phase is Phase.FETCHING and self.next_retry is not None and not self.is_put_off

    @property
    def is_put_off(self) -> bool:
        """Whether nothing was begun yet, because a program on the device said "not now"."""
        return self.error is not None and self.error.code == UPDATE_LOCKED


class Hardware(Struct, frozen=True, kw_only=True):
    """What a device is.

    Attributes:
        cpu: the processor's name, or its numbers.
        cpus: that the agent may use.
        providers: execution providers of onnxruntime that were tried and work.
        unusable: those that onnxruntime lists and that do not, to the reason.
    """

    machine: str = ""
    system: str = ""
    cpu: str = ""
    cpus: int = 0
    memory_mb: int = 0
    providers: tuple[str, ...] = ()
    unusable: dict[str, str] = {}


class AgentInfo(Struct, frozen=True, kw_only=True):
    """Which agent speaks."""

    version: str
    python: str = ""
    onnxruntime: str = ""
    started: float = 0.0


class ReportedState(Struct, frozen=True, kw_only=True):
    """What a device runs, as one numbered row of its outbox.

    Attributes:
        uptime_s: since this run of the agent began, by a clock that nobody sets.
        clock_synced: whether `time` comes from a clock that is synchronized.
    """

    device: Name
    boot_id: str
    seq: Annotated[int, Meta(ge=0)]
    time: float
    revision_seen: Revision
    revision_applied: Revision
    slots: dict[Name, ReportedSlot] = {}
    agent: AgentInfo
    # Made anew: a description of the API cannot hash one that holds a mapping.
    hardware: Hardware = field(default_factory=Hardware)
    clock_synced: bool = False
    uptime_s: float | None = None
    v: Literal[1] = 1
