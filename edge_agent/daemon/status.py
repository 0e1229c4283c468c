"""What a person at the device is told: the status of the agent, and why a slot is where it is.

Pure: everything is handed in. The words come from the same phases and codes as the reports.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from edge_agent.contract.messages import OutboxHealth, SlotHealth
from edge_agent.contract.state import Hardware, Phase, ReportedSlot
from edge_agent.daemon.http.protocol import HttpStatus
from edge_agent.store.clock import ClockState


class LinkStatus(Struct, frozen=True, kw_only=True):
    """The way to the cloud.

    Attributes:
        error: why there is no connection; empty if there is one.
        conflict: why this agent stays away from it; empty if it does not.
    """

    url: str
    broker: str
    is_connected: bool
    error: str = ""
    conflict: str = ""


class SlotStatus(Struct, frozen=True, kw_only=True):
    """A slot: what was decided about it, and how its worker does (None if there is none)."""

    state: ReportedSlot
    worker: SlotHealth | None
    is_busy: bool


class AgentStatus(Struct, frozen=True, kw_only=True):
    """Everything about a running agent. Times are seconds since 1970.

    Attributes:
        http: the local HTTP server; None if the settings want none.
        hardware: what models can run on.
        clock: what is known about the machine's clock.
        disk_low: nothing is downloaded and nothing captured, for want of room.
    """

    device: str
    boot_id: str
    version: str
    pid: int
    time: float
    uptime_s: float
    cloud: LinkStatus
    revision_seen: int
    revision_applied: int
    slots: dict[str, SlotStatus]
    outbox_rows: int
    outbox_dropped: int
    outbox_resent: int = 0
    outbox: dict[str, OutboxHealth] = {}
    disk_free_mb: float
    clock_synced: bool
    clock: ClockState = ClockState()
    http: HttpStatus | None = None
    hardware: Hardware = Hardware()
    disk_low: bool = False


class SlotExplanation(Struct, frozen=True, kw_only=True):
    """Why a slot is where it is, and what happens next.

    Attributes:
        next_retry_s: seconds until the next attempt, or None if none is due.
        advice: what a person can do, or that nothing needs doing.
    """

    device: str
    slot: str
    wanted: str
    running: str
    phase: Phase
    since_s: float
    error: str
    error_step: str
    attempts: int
    next_retry_s: float | None
    cloud: str
    advice: str


def one_line(slots: Mapping[str, SlotHealth], *, is_connected: bool) -> str:
    """How the agent does, for the service manager. Shadows answer nobody."""
    slots = {slot: health for slot, health in slots.items() if health.shadow is None}
    running = sum(health.state == "running" and health.connected for health in slots.values())
    cloud = "connected" if is_connected else "offline"
    return f"{running} of {len(slots)} slots answer, cloud {cloud}"


_BY_CODE: Final = {
    "disk_full": "free some space on the device's disk; it goes on by itself",
    "disk_low": "free some space on the device's disk; it goes on by itself",
    "blob_missing": "the service has lost a file of this version: publish the module again",
    "digest_mismatch": "the bytes that arrive are not those that were published: look for a proxy "
    "that changes them, or publish the module again",
    "cloud_unreachable": "check cloud.url in agent.toml, and the network to it",
    "wrong_module": "deploy the module again",
    "version_newer": "update the agent on this device",
    "shadow_misfit": "deploy the slot that it should shadow, or remove it",
}


def explain(slot: str, status: AgentStatus) -> SlotExplanation:
    """Explain one slot.

    Raises:
        KeyError: the status has no such slot.
    """
    found = status.slots[slot]
    state, worker = found.state, found.worker
    cloud = "connected" if status.cloud.is_connected else "not connected"
    if status.cloud.conflict or status.cloud.error:
        cloud += f": {status.cloud.conflict or status.cloud.error}"
    retry = None if state.next_retry is None else max(0.0, state.next_retry - status.time)
    return SlotExplanation(
        device=status.device,
        slot=slot,
        wanted=_version(state.module, state.wanted_version),
        running=_version(worker.module if worker else state.module, state.running_version),
        phase=state.phase,
        since_s=max(0.0, status.time - state.since) if state.since else 0.0,
        error=f"{state.error.code}: {state.error.text}" if state.error else "",
        error_step=state.error.step if state.error else "",
        attempts=state.attempts,
        next_retry_s=retry,
        cloud=cloud,
        advice=_advice(status, found),
    )


def _advice(status: AgentStatus, found: SlotStatus) -> str:
    state, worker = found.state, found.worker
    if status.cloud.conflict:
        return "two agents use this device's name: give each its own agent.device, and restart"
    if worker is not None and worker.state == "crashed":
        reason = f" ({worker.error})" if worker.error else ""
        return f"the worker's process ended{reason}; it is started again. See the agent's log"
    if worker is not None and worker.state == "running" and not worker.connected:
        reason = f": {worker.error}" if worker.error else ""
        return f"it runs, but the data broker is away{reason}. Check data.broker (or cloud.broker)"
    if state.error is not None and state.error.code in _BY_CODE:
        return _BY_CODE[state.error.code]
    return _phase_advice(state)


def _phase_advice(state: ReportedSlot) -> str:
    if state.is_waiting_its_turn:
        return "it waits its turn, so that a fleet does not ask at once; nothing to do"
    match state.phase:
        case Phase.ACTIVE:
            return "nothing to do: it runs what is wanted"
        case Phase.TRIAL:
            return "it is on trial on live messages, and is kept when it passes"
        case Phase.FETCHING | Phase.VERIFIED | Phase.INSTALLED:
            return "it is being installed; nothing to do"
        case Phase.FAILED:
            return "it is tried again by itself; deploying another version ends that"
        case Phase.REJECTED:
            return "this version cannot run here: publish a corrected one and deploy that"
        case Phase.ROLLED_BACK:
            return (
                "the version before it runs on: look at the error, publish a corrected version "
                "and deploy that"
            )
        case Phase.ABSENT:
            return "it is not installed here"


def _version(module: str, version: int) -> str:
    return f"{module}/{version}" if module and version else ""
