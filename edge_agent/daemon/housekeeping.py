"""The state directory while the agent runs: how full its disk is, what was damaged, what is owed.

Called by the main thread; nothing of it raises or waits. It decides nothing about slots: it tells
those who do when the disk is low and when there is room again.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from edge_agent.config import DiskSection
from edge_agent.contract.messages import Event
from edge_agent.daemon.refuge import refuge_of
from edge_agent.errors import ShoalError
from edge_agent.store.ballast import Ballast
from edge_agent.store.damage import Damage, remove_set_aside
from edge_agent.store.disk import DiskWatch
from edge_agent.store.files import remove_files, remove_leftovers
from edge_agent.store.space import MIB, DiskState, SpaceRule

log: Final = logging.getLogger("edge_agent.daemon")

SETTLE_EVERY_TICKS: Final = 5

_LOST: Final = {
    "journal.db": "what runs was started from the copy of what is committed; the rest comes again "
    "from the cloud",
    "outbox.db": "an unknown number of events and results that waited in it is lost",
}


class Memory(Protocol):
    """A journal, as far as it is looked after here."""

    def settle(self) -> None:
        """Bring to the disk what it did not take before. Does not raise."""

    def take_damage(self) -> Sequence[Damage]:
        """What was set aside since this was last asked."""


class Queue(Protocol):
    """An outbox, as far as it is looked after here."""

    def take_damage(self) -> Sequence[Damage]:
        """What was set aside since this was last asked."""


class Housekeeping:
    """Looks after one state directory.

    Args:
        folder: the state directory.
        disk: its disk.
        ballast: what is held back on it.
        journal: of the agent.
        outbox: of the agent.
        on_event: told what a person may ask about later.
        collect: removes files that nothing needs.
        on_room: told when there is room again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        disk: DiskWatch,
        ballast: Ballast,
        journal: Memory,
        outbox: Queue,
        on_event: Callable[[Event], None],
        collect: Callable[[], None],
        on_room: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._disk = disk
        self._ballast = ballast
        self._journal = journal
        self._outbox = outbox
        self._on_event = on_event
        self._collect = collect
        self._on_room = on_room
        self._is_low = False
        self._ticks = 0

    def start(self) -> None:
        """Once what is installed has been started: remove what an earlier run left."""
        if state_dir := refuge_of(self._folder):
            self._on_event(read_only_event(state_dir))
        self._try_collecting()
        self.tick()

    def tick(self) -> None:
        """To be called every second or so."""
        disk = self._disk.look()
        if disk.is_low != self._is_low:
            self._is_low = disk.is_low
            self._turned(disk)
        for damage in (*self._journal.take_damage(), *self._outbox.take_damage()):
            self._on_event(damage_event(damage))
        if self._ticks % SETTLE_EVERY_TICKS == 0:
            self._journal.settle()
            self._ballast.make(disk)
        self._ticks += 1

    def _turned(self, disk: DiskState) -> None:
        self._on_event(disk_event(disk))
        if disk.is_low:
            freed = remove_set_aside(self._folder)
            if freed:
                log.info("event=damaged_databases_removed bytes=%d", freed)
            self._try_collecting()
        else:
            self._on_room()

    def _try_collecting(self) -> None:
        try:
            self._collect()
        except ShoalError as error:
            log.warning("event=not_collected code=%s text=%r", error.code, error.text)


def sweep(folder: Path, run_folder: Path) -> None:
    """Before anything is opened or started: remove what a run that was cut off left half done.

    Args:
        folder: the state directory, whose lock is held.
        run_folder: of sockets; those of an earlier run lead nowhere.
    """
    removed = (*remove_leftovers(folder), *remove_files(run_folder))
    if removed:
        log.info("event=leftovers_removed files=%d", len(removed))


def read_only_event(state_dir: str) -> Event:
    """The agent works in memory."""
    return Event(
        name="state_read_only",
        level="error",
        text=f"the disk of {state_dir} takes no writes: what is installed runs, and what changes "
        "now is forgotten with the next boot; replace or mend the disk",
        detail={"state_dir": state_dir},
    )


def disk_event(disk: DiskState) -> Event:
    """The disk is low, or is so no more."""
    free, total = f"{disk.free_mb:.1f}", f"{disk.total_bytes / MIB:.1f}"
    limit = f"{disk.limit_bytes / MIB:.1f}"
    detail = {"free_mb": free, "total_mb": total, "limit_mb": limit}
    if disk.is_low:
        text = (
            f"the disk has {free} of {total} MB free, less than {limit}: nothing is downloaded or "
            "captured, and models go on; free some space on it"
        )
        return Event(name="disk_low", level="warning", text=text, detail=detail)
    text = f"the disk has {free} of {total} MB free again: what was put off is done now"
    return Event(name="disk_recovered", text=text, detail=detail)


def damage_event(damage: Damage) -> Event:
    """A database was set aside."""
    where = f"set aside as {damage.kept_as}" if damage.kept_as else "gone"
    return Event(
        name="database_damaged",
        level="error",
        text=f"{damage.file} was damaged or lost and is {where}: "
        f"{_LOST.get(damage.file, damage.reason)}",
        detail={"file": damage.file, "kept_as": damage.kept_as, "reason": damage.reason},
    )


def state_disk(section: DiskSection, folder: Path) -> tuple[DiskWatch, Ballast]:
    """The disk of a state directory, and what is held back on it.

    Args:
        section: what the device's owner set.
        folder: the state directory.
    """
    rule = SpaceRule(low_percent=section.low_percent, low_bytes=section.low_mb * MIB)
    return DiskWatch(folder, rule), Ballast(folder, section.ballast_mb * MIB)


def room_maker(folder: Path, ballast: Ballast) -> Callable[[], bool]:
    """What frees some space for a write that must not fail; returns whether it did."""
    return lambda: ballast.release() or remove_set_aside(folder) > 0
