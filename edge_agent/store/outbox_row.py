"""A row of the outbox: as it is put in, as it waits, and how many there are. Values only."""

from typing import Literal

from msgspec import Struct

from edge_agent.contract.messages import OutboxHealth
from edge_agent.store.outbox_flight import RowName
from edge_agent.store.outbox_policy import Priority

Kind = Literal["event", "result", "reported"]


class OutboxItem(Struct, frozen=True, kw_only=True):
    """What is to be put in: everything of a row but its number.

    Attributes:
        time: when it happened, seconds since 1970.
        uptime_s: the same, since the run of the agent began.
        clock_synced: whether `time` comes from a clock that is right.
    """

    kind: Kind
    time: float
    data: bytes
    uptime_s: float | None = None
    clock_synced: bool = False
    slot: str = ""
    priority: Priority = Priority.RESULT


class OutboxSize(Struct, frozen=True, kw_only=True):
    """How much waits, and how many rows were dropped since the outbox was made.

    Attributes:
        resent: rows that were sent once more, since this run began.
        classes: the same by class.
    """

    rows: int
    bytes: int
    dropped: int
    resent: int = 0
    classes: dict[str, OutboxHealth] = {}


class OutboxRow(Struct, frozen=True, kw_only=True):
    """A row as it waits. `boot_id` and `seq` are unique together, for ever."""

    boot_id: str
    seq: int
    kind: Kind
    time: float
    slot: str
    data: bytes
    priority: Priority = Priority.RESULT
    uptime_s: float | None = None
    clock_synced: bool = False

    @property
    def name(self) -> RowName:
        """Boot id and number."""
        return self.boot_id, self.seq


def numbered(boot_id: str, seq: int, item: OutboxItem) -> OutboxRow:
    """The row that an item becomes."""
    return OutboxRow(
        boot_id=boot_id,
        seq=seq,
        kind=item.kind,
        time=item.time,
        uptime_s=item.uptime_s,
        clock_synced=item.clock_synced,
        slot=item.slot,
        data=item.data,
        priority=Priority.CONTROL if item.kind == "reported" else item.priority,
    )
