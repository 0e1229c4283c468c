"""The invariants, checked on a state directory that a fault has left.

1: every file hashes to its name. 2: the databases hold what they held before the write that was
cut off, or after it; starting again changes nothing more. 3: without a network, what ran runs.
4: the desired state is never an older one. Each complaint is a sentence.
"""

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from edge_agent.contract.state import DesiredState
from edge_agent.store.clock import CLOCK_FILE, read_floor
from edge_agent.store.files import make_folder
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_row import OutboxItem
from edge_agent.store.slots import SlotRecord
from tests.faults.device import Device
from tests.faults.recording import Recording
from tests.faults.witness import Note, content

DELIVERIES: Final = 12
"""The cloud is asked about the rows of one start at a time; what waits after so many stays."""


class Expected(Struct, frozen=True, kw_only=True):
    """What must be found.

    Attributes:
        contents: of each database, one of these; any will do for one that is not named.
        slots: after everything that is wanted was done.
        desired: what is wanted then.
        damaged: files that the story itself has damaged.
        revision: the highest that was accepted for certain.
    """

    contents: dict[str, frozenset[str]]
    slots: str
    desired: DesiredState
    damaged: frozenset[str]
    revision: int


def after_crash(recording: Recording, notes: list[Note]) -> dict[str, frozenset[str]]:
    """What the databases may hold: as after the last write that returned, or the one after it."""
    allowed = {}
    for name, contents in recording.contents.items():
        returned = sum(note["kind"] == name for note in notes)
        allowed[name] = frozenset(contents[returned : returned + 2])
    return allowed


def settled_slots(slots: Mapping[str, SlotRecord]) -> str:
    """Slots without their history: what runs, what it would go back to, and what is wanted."""
    return json.dumps(
        {
            name: [repr(part) for part in (record.phase, record.target, record.active)]
            + [repr(record.previous), repr(record.candidate), sorted(record.blobs.items())]
            for name, record in sorted(slots.items())
        }
    )


def without_boots(text: str) -> str:
    """A journal's content without the list of starts."""
    return json.dumps({name: rows for name, rows in json.loads(text).items() if name != "boots"})


def opened(state: Path, expected: Expected) -> tuple[list[str], float]:
    """Open everything as it was left, and compare.

    Returns:
        Complaints, and how long the opening took, seconds.
    """
    complaints = list(wrong_files(state, expected.damaged))
    if (state / CLOCK_FILE).exists() and read_floor(state / CLOCK_FILE) is None:
        complaints.append("the clock's floor cannot be read")
    make_folder(state)
    began = time.monotonic()
    journal = Journal(state)
    outbox = Outbox(state, "looking")
    outbox.open()
    took_s = time.monotonic() - began
    for damage in (*journal.take_damage(), *outbox.take_damage()):
        if damage.file not in expected.damaged:
            complaints.append(f"{damage.file} is damaged: {damage.reason}")
    desired = journal.desired()
    if (revision := desired.revision if desired is not None else 0) < expected.revision:
        complaints.append(f"revision {revision} found, {expected.revision} was accepted")
    for name, allowed in expected.contents.items():
        if name not in expected.damaged and (found := content(state / name)) not in allowed:
            complaints.append(f"{name} holds {found}, expected one of {sorted(allowed)}")
    complaints += lost_files(state, journal.slots(), expected.damaged)
    journal.close()
    outbox.close()
    return complaints, took_s


def recovered(device: Device, state: Path) -> tuple[list[str], float]:
    """Start twice; the second start must find what the first one left.

    Returns:
        Complaints, and how long the longer start took, seconds.
    """
    took = []
    found = []
    for _ in range(2):
        began = time.monotonic()
        device.boot()
        took.append(time.monotonic() - began)
        found.append(without_boots(content(state / JOURNAL_FILE)))
        found.append(content(state / OUTBOX_FILE))
        device.stop()
    same = found[:2] == found[2:]
    return [] if same else [f"a second start changed {found[:2]} to {found[2:]}"], max(took)


def goes_on(device: Device, expected: Expected) -> list[str]:
    """Start without a network: what ran runs. Then with one: what is wanted is done."""
    complaints = []
    device.boot()
    device.downloader.is_online = False
    device.round()
    seen = device.workers.seen()
    for slot, record in device.journal.slots().items():
        running = seen[slot].version if slot in seen else None
        if running != record.serving:
            complaints.append(f"slot {slot} runs {running}, expected {record.serving}")
    if not expected.damaged:
        complaints += device.workers.unfounded
    device.downloader.is_online = True
    known = device.journal.desired()
    if known is not None and known.revision > expected.desired.revision:
        complaints.append(f"revision {known.revision} was never sent")
    device.accept(expected.desired)
    device.settle()
    if (found := settled_slots(device.journal.slots())) != expected.slots:
        complaints.append(f"the slots ended as {found}, expected {expected.slots}")
    device.put(OutboxItem(kind="event", time=2.0, data=b'{"event":"afterwards"}'))
    device.connect()
    for _ in range(DELIVERIES):
        device.deliver()
        device.tidy()
    if device.outbox.size.rows:
        complaints.append(f"{device.outbox.size.rows} rows stay in the outbox")
    if device.sent_twice:
        complaints.append(f"{device.sent_twice} rows were sent although the cloud has them")
    device.stop()
    return complaints


def wrong_files(state: Path, damaged: Collection[str]) -> Iterator[str]:
    """Files that do not hash to their names."""
    for path in sorted((state / "blobs").glob("*")):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != path.name and path.name not in damaged:
            yield f"blobs/{path.name} hashes to {found}"


def lost_files(
    state: Path, slots: Mapping[str, SlotRecord], damaged: Collection[str]
) -> Iterator[str]:
    """Files that committed versions, and those on trial, need and that are not there."""
    for record in slots.values():
        for version in (record.active, record.previous, record.candidate):
            if version is None:
                continue
            for digest in (version.digest, *record.blobs.get(version.digest, ())):
                name = digest.removeprefix("sha256:")
                if not (state / "blobs" / name).exists() and name not in damaged:
                    yield f"{name} of {version.module}/{version.version} is gone"
