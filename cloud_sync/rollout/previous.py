"""What devices go back to: the newest version that they were asked for and have proved.

A slot may want something that its device never got to run: a rollout that was superseded on the
way, a version that the device refused. To go back to that would be to install it after its
successor, so the way leads over it to what was wanted before.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import reported_states, running_slots
from cloud_sync.db.registry_tables import module_versions
from cloud_sync.db.rollout_tables import rollout_assignments
from cloud_sync.errors import Conflict
from cloud_sync.rollout.rollout import Rollout
from edge_agent.contract.state import Phase, WantedSlot

BATCH: Final = 500
LONGEST_WAY: Final = 20
SHOWN: Final = 5
_A: Final = rollout_assignments.c
_RUNS: Final = running_slots.c
_REPORTS: Final = reported_states.c
_PREVIOUS: Final = msgspec.json.Decoder(WantedSlot)


def previous_of(
    connection: Connection,
    slot: str,
    wanted: Mapping[str, WantedSlot | None],
    *,
    returning: Container[str] = frozenset(),
) -> dict[str, WantedSlot | None]:
    """What each device goes back to if a change of a slot fails.

    Args:
        connection: of a transaction.
        slot: that is to be changed.
        wanted: device to what the slot wants now; None for nothing.
        returning: devices that are on their way back to what they want: that was proven before.

    Returns:
        What it wants now, if the device runs that or has reported nothing at all; else what it
        wanted before, as far as rollouts remember it.
    """
    found = dict(wanted)
    running = running_in(connection, slot, sorted(d for d in found if d not in returning))
    for device in _on_trial(connection, slot, found, running):
        running[device] = ""  # nothing that it wants is proven by that
    for _ in range(LONGEST_WAY):
        unproven = {
            device: int(current.rollout.removeprefix("r"))
            for device, current in found.items()
            if current is not None
            and current.rollout
            and device in running
            and running[device] != current.digest
        }
        if not unproven:
            break
        before = _before(connection, unproven)
        if not before:
            break
        found |= before
        for device in [name for name in unproven if not running[name]]:
            del running[device]  # what it had before its trial was proven when that began
    return found


def refuse_lost(connection: Connection, rollout: Rollout) -> None:
    """Refuse to take devices back to what is not published any more.

    Raises:
        Conflict: naming it.
    """
    needed = {
        one.previous.digest: f"{one.previous.module}/{one.previous.version}"
        for one in rollout.assignments.values()
        if one.previous is not None and one.is_wanted
    }
    digests = sorted(needed)
    kept: set[str] = set()
    for start in range(0, len(digests), BATCH):
        digest = module_versions.c.digest
        query = select(digest).where(digest.in_(digests[start : start + BATCH]))
        kept |= set(connection.scalars(query))
    lost = sorted(needed[digest] for digest in needed.keys() - kept)
    if lost:
        raise Conflict(
            f"devices would go back to {', '.join(lost[:SHOWN])}, which was deleted",
            hint="publish it again, or deploy the version that should run instead",
            code="previous_deleted",
        )


def running_in(connection: Connection, slot: str, devices: Sequence[str]) -> dict[str, str]:
    """Device to the digest that it reports to run in a slot."""
    found: dict[str, str] = {}
    for start in range(0, len(devices), BATCH):
        query = select(_RUNS.device, _RUNS.digest).where(
            _RUNS.device.in_(devices[start : start + BATCH]), _RUNS.slot == slot
        )
        found |= {row.device: row.digest for row in connection.execute(query)}
    return found


class _Tried(Struct, frozen=True):
    """The part of a reported slot that tells whether what runs is there to stay."""

    phase: Phase


class _Said(Struct, frozen=True):
    """The part of a report that tells how far its slots are."""

    slots: dict[str, _Tried] = {}


_SAID: Final = msgspec.json.Decoder(_Said)


def _on_trial(
    connection: Connection,
    slot: str,
    wanted: Mapping[str, WantedSlot | None],
    running: Mapping[str, str],
) -> Iterator[str]:
    """The devices that run what a rollout wants of them, and have not proved it yet."""
    devices = [
        device
        for device, current in wanted.items()
        if current is not None and current.rollout and running.get(device) == current.digest
    ]
    for start in range(0, len(devices), BATCH):
        query = select(_REPORTS.device, _REPORTS.state).where(
            _REPORTS.device.in_(devices[start : start + BATCH])
        )
        for row in connection.execute(query):
            said = _SAID.decode(bytes(row.state)).slots.get(slot)
            if said is not None and said.phase is Phase.TRIAL:
                yield row.device


def _before(connection: Connection, unproven: Mapping[str, int]) -> dict[str, WantedSlot | None]:
    """What the slots of devices wanted before these rollouts; none that are forgotten."""
    devices = sorted(unproven)
    found: dict[str, WantedSlot | None] = {}
    for start in range(0, len(devices), BATCH):
        batch = devices[start : start + BATCH]
        query = select(_A.rollout, _A.device, _A.previous).where(
            _A.device.in_(batch), _A.rollout.in_({unproven[device] for device in batch})
        )
        for row in connection.execute(query):
            if unproven[row.device] == row.rollout:
                data = row.previous
                found[row.device] = None if data is None else _PREVIOUS.decode(data)
    return found
