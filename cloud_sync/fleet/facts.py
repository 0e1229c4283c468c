"""Reading what is stored about devices, many at a time."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, select

from cloud_sync.db.fleet_tables import (
    desired_states,
    device_health,
    device_tags,
    devices,
    reported_states,
)
from cloud_sync.fleet.summary import DeviceFacts
from cloud_sync.resources import Tags
from edge_agent.contract.messages import Health
from edge_agent.contract.state import DesiredState, ReportedState
from edge_agent.contract.wire import decode

_BATCH: Final = 200


def read_facts(connection: Connection, names: Sequence[str]) -> list[DeviceFacts]:
    """What is stored about these devices, in the given order; unknown ones are left out."""
    found: dict[str, DeviceFacts] = {}
    for start in range(0, len(names), _BATCH):
        for facts in _read_batch(connection, names[start : start + _BATCH]):
            found[facts.device] = facts
    return [found[name] for name in names if name in found]


def _read_batch(connection: Connection, names: Sequence[str]) -> list[DeviceFacts]:
    tags: dict[str, Tags] = defaultdict(dict)
    query = select(device_tags).where(device_tags.c.device.in_(names)).order_by(device_tags.c.key)
    for row in connection.execute(query):
        tags[row.device][row.key] = row.value
    joined = (
        select(
            devices,
            desired_states.c.state.label("desired"),
            reported_states.c.state.label("reported"),
            reported_states.c.received.label("reported_at"),
            device_health.c.last.label("health"),
            device_health.c.previous.label("health_before"),
            device_health.c.received.label("health_at"),
        )
        .outerjoin(desired_states, desired_states.c.device == devices.c.device)
        .outerjoin(reported_states, reported_states.c.device == devices.c.device)
        .outerjoin(device_health, device_health.c.device == devices.c.device)
        .where(devices.c.device.in_(names))
    )
    return [
        DeviceFacts(
            device=row.device,
            state=row.state,
            last_seen=row.last_seen,
            interval_s=row.interval_s,
            tags=tags[row.device],
            desired=(
                decode(DesiredState, bytes(row.desired), limit_bytes=len(row.desired))
                if row.desired is not None
                else DesiredState(device=row.device, revision=0)
            ),
            reported=decode(ReportedState, bytes(row.reported)) if row.reported else None,
            reported_at=row.reported_at,
            health=decode(Health, bytes(row.health)) if row.health else None,
            health_at=row.health_at,
            health_before=decode(Health, bytes(row.health_before)) if row.health_before else None,
        )
        for row in connection.execute(joined)
    ]
