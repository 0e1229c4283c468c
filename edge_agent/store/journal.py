"""The journal: what should run, what does, and how far a change has come. Survives a power cut.

Every step of an install is written here before its effect matters to anybody else, so that the
agent that starts after a crash finds the old version or the new one, never neither. It is read
once, at the start, and answered from memory: a disk that fails later takes no knowledge away. A
journal that is damaged is set aside and written anew, from memory or from the copy of what is
committed.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edge_agent.contract.state import DesiredState
from edge_agent.errors import StorageError
from edge_agent.store.committed import Committed, read_committed, write_committed
from edge_agent.store.contents import (
    GENERATION,
    KEPT_BOOTS,
    MIGRATIONS,
    Contents,
    from_committed,
    put_boot,
    put_counter,
    put_desired,
    put_slots,
    read_all,
    remove_slot,
    write_all,
)
from edge_agent.store.damage import DATABASE_DAMAGED, Damage
from edge_agent.store.database import Database, no_room_to_make
from edge_agent.store.slots import SlotRecord

log: Final = logging.getLogger("edge_agent.store")

JOURNAL_FILE: Final = "journal.db"

_Work = Callable[[sqlite3.Connection], object]


class Journal:
    """The agent's memory in one SQLite file. Safe to use from any of the agent's threads.

    Args:
        folder: the state directory.
        make_room: called when the disk is full; returns whether it freed anything.
        wall: the time in seconds since 1970, for the name of a journal that is set aside.

    Raises:
        Unsupported: the file is of a newer version, and no copy says what this one is to run.
        StorageError: it cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        *,
        make_room: Callable[[], bool] = no_room_to_make,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._make_room = make_room
        self._lock = threading.RLock()
        # Whether the file holds all that is in memory; else the next write brings it there.
        self._is_whole = True
        # What was last told of a disk that refuses: the same every few seconds helps nobody.
        self._told: dict[str, str] = {}
        copy = read_committed(folder)
        self._copied = copy or Committed()
        self._database = Database(
            folder / JOURNAL_FILE,
            MIGRATIONS,
            make_room=make_room,
            wall=wall,
            # The agent was taken back to an older version: inference first.
            is_newer_replaced=copy is not None,
        )
        try:
            self._contents = self._load()
            if self._contents.generation < self._copied.generation:
                self._restore(self._copied)
            else:
                self._keep_copy()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def take_damage(self) -> tuple[Damage, ...]:
        """What had to be set aside since this was last asked."""
        return self._database.take_damage()

    @property
    def copied(self) -> Mapping[str, SlotRecord]:
        """The slots in the copy on the disk: their files must stay, whatever the journal says."""
        return self._copied.slots

    def begin_boot(self, boot_id: str, started: float) -> int:
        """Note that the agent started.

        Args:
            boot_id: unique to this run.
            started: seconds since 1970.

        Returns:
            How many times an agent has started on this state directory, this one included. After
            the journal was lost, only those are counted that the copy remembers.

        Raises:
            StorageError: the disk refused; nothing was changed.
        """
        numbers: list[int] = []
        with self._lock:
            boots = dict([*self._contents.boots.items(), (boot_id, started)][-KEPT_BOOTS:])
            self._change(
                replace(self._contents, boots=boots),
                lambda connection: numbers.append(put_boot(connection, boot_id, started)),
            )
        return numbers[-1]

    def boot_ids(self) -> frozenset[str]:
        """The last runs on this state directory: a status of theirs is an echo, not a double."""
        return frozenset(self._contents.boots)

    def desired(self) -> DesiredState | None:
        """The desired state with the highest revision ever accepted; None before the first."""
        return self._contents.desired

    def accept_desired(self, desired: DesiredState) -> bool:
        """Keep a desired state if its revision is higher than any before.

        Returns:
            Whether it was kept. False for a lower or equal revision; nothing was changed then.

        Raises:
            StorageError: the disk refused; nothing was changed.
        """
        with self._lock:
            known = self._contents.desired
            if known is not None and desired.revision <= known.revision:
                return False
            self._change(
                replace(self._contents, desired=desired),
                lambda connection: put_desired(connection, desired),
            )
        return True

    def counter(self, name: str) -> int:
        """A number that survives restarts; 0 if it was never set."""
        return self._contents.counters.get(name, 0)

    def set_counter(self, name: str, value: int) -> None:
        """Set a number that survives restarts.

        Raises:
            StorageError: the disk refused; nothing was changed.
        """
        with self._lock:
            self._change(
                replace(self._contents, counters={**self._contents.counters, name: value}),
                lambda connection: put_counter(connection, name, value),
            )

    def slots(self) -> dict[str, SlotRecord]:
        """Every slot that is known, by name."""
        return dict(self._contents.slots)

    def slot(self, name: str) -> SlotRecord:
        """One slot; an absent one if it is not known."""
        return self._contents.slots.get(name) or SlotRecord(slot=name)

    def put_slot(self, record: SlotRecord) -> None:
        """Replace what is known about a slot, in one transaction.

        Raises:
            StorageError: the disk refused; nothing was changed.
        """
        self.put_slots((record,))

    def put_slots(self, records: Iterable[SlotRecord]) -> None:
        """Replace what is known about several slots, all or none.

        Raises:
            StorageError: the disk refused; nothing was changed.
        """
        changed = {record.slot: record for record in records}
        with self._lock:
            slots = dict(sorted({**self._contents.slots, **changed}.items()))
            self._change(
                replace(self._contents, slots=slots),
                lambda connection: put_slots(connection, changed.values()),
            )

    def remove_slot(self, name: str) -> None:
        """Forget a slot.

        Raises:
            StorageError: the disk refused; nothing was changed.
        """
        with self._lock:
            slots = {slot: kept for slot, kept in self._contents.slots.items() if slot != name}
            self._change(
                replace(self._contents, slots=slots),
                lambda connection: remove_slot(connection, name),
            )

    def settle(self) -> None:
        """Bring to the disk what it did not take before. For every few seconds; does not raise."""
        with self._lock:
            self._keep_copy()
            try:
                self._database.share()
                if not self._is_whole:
                    self._write(lambda _connection: None)
            except StorageError as error:
                self._tell("journal_not_settled", error)
            else:
                self._told.pop("journal_not_settled", None)

    def _change(self, contents: Contents, work: _Work) -> None:
        """Write, then remember, then copy. A change of what is committed is a new generation."""
        before, after = self._contents.committed, contents.committed
        is_new = (before.desired, before.slots) != (after.desired, after.slots)
        generation = self._contents.generation + 1
        if is_new:
            counters = {**contents.counters, GENERATION: generation}
            contents = replace(contents, counters=counters)

        def write(connection: sqlite3.Connection) -> None:
            work(connection)
            if is_new:
                put_counter(connection, GENERATION, generation)

        self._write(write)
        self._contents = contents
        self._keep_copy()

    def _write(self, work: _Work) -> None:
        try:
            self._write_once(work)
        except StorageError as error:
            if error.code != DATABASE_DAMAGED:
                raise
            self._is_whole = False
            self._database.start_anew(error.text)
            self._write_once(work)

    def _write_once(self, work: _Work) -> None:
        def write(connection: sqlite3.Connection) -> None:
            if not self._is_whole:
                write_all(connection, self._contents)
            work(connection)

        self._database.write(write)
        self._is_whole = True

    def _keep_copy(self) -> None:
        """Write the copy of what is committed, if the one on the disk is another.

        A disk that refuses is told of in the log; what is in the old copy stays needed.
        """
        copy = self._contents.committed
        if copy == self._copied:
            return
        try:
            try:
                write_committed(self._folder, copy)
            except StorageError as error:
                if error.code != "disk_full" or not self._make_room():
                    raise
                write_committed(self._folder, copy)
        except StorageError as error:
            self._tell("copy_not_kept", error)
            return
        self._told.pop("copy_not_kept", None)
        self._copied = copy

    def _tell(self, event: str, error: StorageError) -> None:
        if self._told.get(event) != error.text:
            log.warning("event=%s code=%s text=%r", event, error.code, error.text)
        self._told[event] = error.text

    def _load(self) -> Contents:
        """Read everything. A journal that makes no sense is set aside."""
        try:
            with self._database.reading() as connection:
                return read_all(connection)
        except StorageError as error:
            if error.code == DATABASE_DAMAGED:
                self._database.start_anew(error.text)
            elif not self._database.has_damage:
                raise
            # Else the damaged one is gone and a new one cannot be made: the copy is all there is.
        return Contents()

    def _restore(self, copy: Committed) -> None:
        """Go on from the copy: the journal is new, or has lost writes that it had confirmed."""
        found = self._contents
        lost = f"generation expected at least {copy.generation}, found {found.generation}"
        if found != Contents():
            self._database.start_anew(f"it has lost what it had confirmed: {lost}")
        elif not self._database.has_damage:
            self._database.note(Damage(file=JOURNAL_FILE, kept_as="", reason=f"it is gone: {lost}"))
        self._contents = from_committed(copy)
        self._is_whole = False
        log.warning(
            "event=journal_restored slots=%d revision=%d",
            len(copy.slots),
            copy.desired.revision if copy.desired is not None else 0,
        )
        try:
            self._write(lambda _connection: None)
        except StorageError as error:
            # What ran can be started without it; `settle` tries again.
            log.error("event=journal_not_restored code=%s text=%r", error.code, error.text)
