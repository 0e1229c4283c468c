"""The agent's journal and outbox on a disk that may be full, under an agent that may die.

They are the real ones. Before and after each of their transactions is an instant of fate; a full
disk refuses a transaction as the real ones do, with nothing changed.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edge_agent.contract.messages import Ack
from edge_agent.contract.state import DesiredState
from edge_agent.errors import StorageError
from edge_agent.store.journal import Journal
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_row import OutboxItem
from edge_agent.store.slots import SlotRecord
from edge_agent.store.space import Usage
from tests.simulation.disorder import Disorder
from tests.simulation.fate import Fate

GIB = 2**30


class Disk:
    """The disk of a device.

    Args:
        fate: of the agent.
        disorder: of the world.
    """

    def __init__(self, fate: Fate, disorder: Disorder) -> None:
        self._fate = fate
        self._disorder = disorder

    def begin(self, what: str) -> None:
        """A transaction begins.

        Raises:
            StorageError: the disk is full.
            Death: the agent ends before it.
        """
        self._fate.pass_by(f"before {what}")
        if self._disorder.is_disk_full:
            raise StorageError(f"no space for {what}", code="disk_full")

    def done(self, what: str) -> None:
        """A transaction is committed.

        Raises:
            Death: the agent ends right after it.
        """
        self._fate.pass_by(f"after {what}")

    def usage(self, _folder: Path) -> Usage:
        """Its figures."""
        free = 0 if self._disorder.is_disk_full else 50 * GIB
        return Usage(total_bytes=100 * GIB, free_bytes=free)


class MortalJournal(Journal):
    """The agent's journal."""

    def __init__(self, folder: Path, disk: Disk, *, wall: Callable[[], float]) -> None:
        self._mortal_disk = disk
        super().__init__(folder, wall=wall)

    def begin_boot(self, boot_id: str, started: float) -> int:
        """Note that the agent started."""
        self._mortal_disk.begin("begin_boot")
        number = super().begin_boot(boot_id, started)
        self._mortal_disk.done("begin_boot")
        return number

    def accept_desired(self, desired: DesiredState) -> bool:
        """Keep a desired state."""
        self._mortal_disk.begin("accept_desired")
        is_kept = super().accept_desired(desired)
        self._mortal_disk.done("accept_desired")
        return is_kept

    def set_counter(self, name: str, value: int) -> None:
        """Set a number."""
        self._mortal_disk.begin(f"counter {name}")
        super().set_counter(name, value)
        self._mortal_disk.done(f"counter {name}")

    def put_slots(self, records: Iterable[SlotRecord]) -> None:
        """Replace what is known about slots."""
        self._mortal_disk.begin("put_slots")
        super().put_slots(records)
        self._mortal_disk.done("put_slots")

    def remove_slot(self, name: str) -> None:
        """Forget a slot."""
        self._mortal_disk.begin("remove_slot")
        super().remove_slot(name)
        self._mortal_disk.done("remove_slot")


class MortalOutbox(Outbox):
    """The agent's outbox.

    Args:
        on_kept: told of every row that is on the disk: its number and what it is.
        on_acknowledged: told of what the cloud says it has, before it is believed.
    """

    def __init__(
        self,
        folder: Path,
        boot_id: str,
        disk: Disk,
        *,
        on_kept: Callable[[int, OutboxItem], None],
        on_acknowledged: Callable[[Ack], None],
    ) -> None:
        self._mortal_disk = disk
        self._on_kept = on_kept
        self._on_acknowledged = on_acknowledged
        super().__init__(folder, boot_id)

    def put(self, items: Sequence[OutboxItem], now: float) -> list[int]:
        """Keep items. A report needs no disk."""
        needs_disk = any(item.kind != "reported" for item in items)
        if needs_disk:
            self._mortal_disk.begin("outbox put")
        numbers = super().put(items, now)
        for number, item in zip(numbers, items, strict=True):
            self._on_kept(number, item)
        if needs_disk:
            self._mortal_disk.done("outbox put")
        return numbers

    def tidy(self, now: float) -> None:
        """What is done now and then."""
        self._mortal_disk.begin("outbox tidy")
        super().tidy(now)
        self._mortal_disk.done("outbox tidy")

    def acknowledge(self, ack: Ack) -> bool:
        """Forget rows that the cloud has committed."""
        self._on_acknowledged(ack)
        return super().acknowledge(ack)
