"""Screening: of the devices that are to get a version, which cannot take it, and what it sends.

Reads what devices said of themselves; `fitness` decides. Changes nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import (
    device_health,
    reported_states,
    running_slots,
    wanted_slots,
)
from cloud_sync.fleet.checks import Manifests
from cloud_sync.registry.catalogue import files_of
from cloud_sync.resources import ModuleVersion
from cloud_sync.rollout.choice import bytes_to_send
from cloud_sync.rollout.fitness import UNKNOWN, Machine, obstacles
from cloud_sync.rollout_resources import Obstacle
from edge_agent.contract.state import Hardware

_BATCH: Final = 500


class Screened(Struct, frozen=True, kw_only=True):
    """What became of a screening.

    Attributes:
        unfit: why devices cannot take their version; a device may have several reasons.
        bytes_to_send: device to what it has not got of its version, bytes.
    """

    unfit: tuple[Obstacle, ...]
    bytes_to_send: Mapping[str, int]


class _Agent(Struct, frozen=True):
    onnxruntime: str = ""


class _Report(Struct, frozen=True):
    """The part of a report that tells what can run there."""

    agent: _Agent
    hardware: Hardware = Hardware()


class _Disk(Struct, frozen=True):
    """The part of a health report that tells how much room there is."""

    disk_free_mb: float = 0.0
    disk_low: bool = False


_REPORT: Final = msgspec.json.Decoder(_Report)
_DISK: Final = msgspec.json.Decoder(_Disk)


def screen(connection: Connection, versions: Mapping[str, ModuleVersion]) -> Screened:
    """Find out who cannot take a version, and what it sends to the others.

    Args:
        connection: of a transaction.
        versions: device to the version that it is to get.
    """
    manifests = Manifests(connection).of({version.digest for version in versions.values()})
    devices = sorted(versions)
    unfit: list[Obstacle] = []
    sent: dict[str, int] = {}
    for start in range(0, len(devices), _BATCH):
        batch = devices[start : start + _BATCH]
        machines = _machines(connection, batch)
        present = _present(connection, batch)
        digests = {digest for device in batch for digest in present[device]}
        files = files_of(connection, digests | {versions[device].digest for device in batch})
        for device in batch:
            wanted = versions[device].digest
            sent[device] = bytes_to_send(wanted, present[device], files)
            machine = machines.get(device, UNKNOWN)
            unfit += obstacles(device, machine, manifests[wanted], sent[device])
    return Screened(unfit=tuple(unfit), bytes_to_send=sent)


def _machines(connection: Connection, devices: Sequence[str]) -> dict[str, Machine]:
    r, h = reported_states.c, device_health.c
    query = (
        select(r.device, r.state, h.last)
        .outerjoin(device_health, h.device == r.device)
        .where(r.device.in_(devices))
    )
    found: dict[str, Machine] = {}
    for row in connection.execute(query):
        said = _REPORT.decode(bytes(row.state))
        disk = _DISK.decode(bytes(row.last)) if row.last is not None else None
        found[row.device] = Machine(
            onnxruntime=said.agent.onnxruntime,
            hardware=said.hardware,
            # An older agent says nothing of it; who has nothing left says that it is low.
            disk_free_mb=disk.disk_free_mb or None if disk is not None else None,
            is_disk_low=disk is not None and disk.disk_low,
        )
    return found


def _present(connection: Connection, devices: Sequence[str]) -> dict[str, list[str]]:
    """Device to the digests of versions whose files it has: that it runs, or should by now."""
    found: dict[str, list[str]] = defaultdict(list)
    for table in (running_slots, wanted_slots):
        query = select(table.c.device, table.c.digest).where(table.c.device.in_(devices))
        for row in connection.execute(query):
            found[row.device].append(row.digest)
    return found
