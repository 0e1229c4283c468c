"""Measures of slots in the database: taken in with each health report, read when a stage is judged.

Runs inside the transaction of whoever took the report or the label. One question and at most one
change for each slot that did something, because a fleet reports every half minute.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from cloud_sync.db.fleet_tables import devices
from cloud_sync.db.measure_tables import slot_measures
from cloud_sync.fleet.measures import SlotMeasures, add_labels, add_report, is_later
from cloud_sync.fleet.news import note_news
from edge_agent.contract.messages import Health, SlotHealth

MOST_DIGESTS: Final = 20
"""Kept of one slot of one device; those that did nothing for the longest go first."""

MOST_ROWS: Final = 400
"""Kept of one device, over all slots: it may name as many of them as it likes."""

_AT_ONCE: Final = 400
"""Rows of one question: SQLite bounds the parameters of a statement."""

_M: Final = slot_measures.c
_DECODER: Final = msgspec.json.Decoder(SlotMeasures)
_ENCODER: Final = msgspec.json.Encoder()

# Built once: building a statement takes the library longer than the database takes to run it.
_KEY: Final = and_(
    _M.device == bindparam("of_device"),
    _M.slot == bindparam("of_slot"),
    _M.digest == bindparam("of_digest"),
)
_SELECT: Final = select(_M.sums).where(_KEY)
_INSERT: Final = insert(slot_measures)
_CHANGE: Final = (
    update(slot_measures)
    .where(_KEY)
    .values(updated=bindparam("updated"), messages=bindparam("messages"), sums=bindparam("sums"))
)
_BOOT: Final = select(devices.c.boot_id).where(devices.c.device == bindparam("of_device"))

Place = tuple[str, str]
"""Device and digest."""


def count_report(connection: Connection, health: Health, before: Health | None, now: float) -> None:
    """Add what the slots of a device did since the report before.

    Args:
        connection: of the transaction.
        health: the report; its device is known.
        before: the report before, if it is of the same boot.
        now: seconds since 1970.
    """
    if before is not None and not is_later(before, health):
        return
    moved = {
        slot: found
        for slot, found in health.slots.items()
        if found.digest and _has_moved(before.slots.get(slot) if before else None, found)
    }
    if not moved or not _is_of_current_boot(connection, health):
        return
    for slot, found in moved.items():
        measures = _read(connection, health.device, slot, found.digest)
        after = add_report(
            measures or SlotMeasures(), before.slots.get(slot) if before else None, found, now
        )
        write = _insert if measures is None else _change
        write(connection, health.device, slot, found.digest, after, now)


def count_labels(
    connection: Connection,
    *,
    device: str,
    slot: str,
    digest: str,
    right: int,
    wrong: int,
    now: float,
) -> None:
    """Count messages whose label came; negative numbers take back what was counted before.

    Whoever drives a rollout of the device is told: a label may take a finished one back.
    """
    measures = _read(connection, device, slot, digest)
    after = add_labels(measures or SlotMeasures(since=now), right=right, wrong=wrong)
    write = _insert if measures is None else _change
    write(connection, device, slot, digest, after, now)
    note_news(connection, device)


def read_measures(
    connection: Connection, slot: str, places: Iterable[Place]
) -> Iterator[tuple[Place, SlotMeasures]]:
    """What digests did in a slot, those of `places` of which there is anything."""
    columns = (_M.device, _M.digest, _M.sums)
    for part in _parts(places):
        digests = dict(part)
        query = select(*columns).where(_M.slot == slot, _M.device.in_(digests))
        for device, digest, sums in connection.execute(query):
            if digests[device] == digest:
                yield (device, digest), _DECODER.decode(sums)


def count_messages(connection: Connection, slot: str, places: Iterable[Place]) -> int:
    """Messages that came to digests in a slot."""
    total = 0.0
    for part in _parts(places):
        digests = dict(part)
        query = (
            select(_M.digest, func.sum(_M.messages))
            .where(_M.slot == slot, _M.device.in_(digests), _M.digest.in_(set(digests.values())))
            .group_by(_M.digest)
        )
        total += sum(found for _digest, found in connection.execute(query))
    return int(total)


def forget(connection: Connection, slot: str, places: Iterable[Place]) -> None:
    """Forget what digests did in a slot: they are to be judged by what they do from now on."""
    for part in _parts(places):
        digests: dict[str, list[str]] = {}
        for device, digest in part:
            digests.setdefault(digest, []).append(device)
        for digest, names in digests.items():
            connection.execute(
                delete(slot_measures).where(
                    _M.slot == slot, _M.digest == digest, _M.device.in_(names)
                )
            )


def _parts(places: Iterable[Place]) -> Iterator[Sequence[Place]]:
    rest = iter(places)
    while part := tuple(islice(rest, _AT_ONCE)):
        yield part


def _has_moved(before: SlotHealth | None, found: SlotHealth) -> bool:
    """Whether a report says anything new; an idle fleet changes no rows."""
    return before is None or (
        (before.messages_in, before.failed, before.crashes, before.scores, before.digest)
        != (found.messages_in, found.failed, found.crashes, found.scores, found.digest)
        or before.shadow != found.shadow
        or before.total.count != found.total.count
        or before.pid != found.pid
        or found.memory_mb > before.memory_mb + 1
    )


def _is_of_current_boot(connection: Connection, health: Health) -> bool:
    """Two agents with one name would each have all their counts added again and again."""
    boot_id = connection.scalar(_BOOT, {"of_device": health.device})
    return not boot_id or boot_id == health.boot_id


def _insert(
    connection: Connection,
    device: str,
    slot: str,
    digest: str,
    measures: SlotMeasures,
    now: float,
) -> None:
    _make_room(connection, (_M.device == device) & (_M.slot == slot), MOST_DIGESTS)
    _make_room(connection, _M.device == device, MOST_ROWS)
    key = {"device": device, "slot": slot, "digest": digest}
    connection.execute(_INSERT, key | _columns(measures, now))


def _make_room(connection: Connection, which: ColumnElement[bool], most: int) -> None:
    """Delete what did nothing for the longest, so that there is room for one more."""
    surplus = select(_M.device, _M.slot, _M.digest).where(which)
    rows = connection.execute(surplus.order_by(_M.updated.desc()).offset(most - 1)).all()
    for row in rows:
        connection.execute(
            delete(slot_measures).where(
                _M.device == row.device, _M.slot == row.slot, _M.digest == row.digest
            )
        )


def _change(
    connection: Connection,
    device: str,
    slot: str,
    digest: str,
    measures: SlotMeasures,
    now: float,
) -> None:
    key = {"of_device": device, "of_slot": slot, "of_digest": digest}
    connection.execute(_CHANGE, key | _columns(measures, now))


def _read(connection: Connection, device: str, slot: str, digest: str) -> SlotMeasures | None:
    key = {"of_device": device, "of_slot": slot, "of_digest": digest}
    found = connection.scalar(_SELECT, key)
    return None if found is None else _DECODER.decode(found)


def _columns(measures: SlotMeasures, now: float) -> dict[str, float | bytes]:
    return {
        "updated": now,
        "messages": measures.messages,
        "sums": _ENCODER.encode(measures),
    }
