"""The status of a running agent, as a person at the device is told it. Values only."""

from collections.abc import Mapping

from msgspec import Struct

from edge_agent.contract.messages import OutboxHealth, SlotHealth
from edge_agent.contract.state import Hardware, ReportedSlot
from edge_agent.daemon.http.protocol import HttpStatus
from edge_agent.reconcile.progress import Progress
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
    """A slot: what was decided about it, and how its worker does (None if there is none).

    Attributes:
        is_busy: it is being worked on.
        progress: of the download of its wanted version; None if there is none.
    """

    state: ReportedSlot
    worker: SlotHealth | None
    is_busy: bool
    progress: Progress | None = None


class RecentEvent(Struct, frozen=True, kw_only=True):
    """Something that happened; time in seconds since 1970."""

    time: float
    name: str
    level: str
    slot: str
    text: str


class AgentStatus(Struct, frozen=True, kw_only=True):
    """Everything about a running agent. Times are seconds since 1970.

    Attributes:
        http: the local HTTP server; None if the settings want none.
        hardware: what models can run on.
        clock: what is known about the machine's clock.
        disk_low: nothing is downloaded and nothing captured, for want of room.
        events: the last ones of this run, the latest last.
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
    events: tuple[RecentEvent, ...] = ()

    def is_held(self, slot: str) -> bool:
        """Whether nothing happens to a slot until another agent of this name is gone.

        With brokers of their own for cloud and data, an agent that steps back works on.
        """
        found = self.slots[slot]
        return bool(self.cloud.conflict) and found.worker is None and not found.is_busy


def one_line(slots: Mapping[str, SlotHealth], *, is_connected: bool) -> str:
    """How the agent does, for the service manager. Shadows answer nobody."""
    slots = {slot: health for slot, health in slots.items() if health.shadow is None}
    running = sum(health.state == "running" and health.connected for health in slots.values())
    cloud = "connected" if is_connected else "offline"
    return f"{running} of {len(slots)} slots answer, cloud {cloud}"
