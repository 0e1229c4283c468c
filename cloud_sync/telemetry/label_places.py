"""Whether the slots that labels name are there: a label for a slot of another name waits for ever.

Reads and never refuses: a label may be told before its slot is deployed.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from sqlalchemy import Connection, select, union_all

from cloud_sync.db.fleet_tables import running_slots, wanted_slots
from cloud_sync.db.measure_tables import slot_measures

_TABLES: Final = (wanted_slots, running_slots, slot_measures)
_BATCH: Final = 200
MOST_NAMED: Final = 20


def strange_places(connection: Connection, given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The slots that a device neither should run, nor runs, nor has ever run.

    Args:
        connection: of the transaction.
        given: devices and slots that labels name.

    Returns:
        `device/slot`, sorted; the first few.
    """
    wanted = sorted(set(given))
    known: set[tuple[str, str]] = set()
    names = sorted({device for device, _ in wanted})
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        parts = [select(one.c.device, one.c.slot).where(one.c.device.in_(batch)) for one in _TABLES]
        known |= {(row.device, row.slot) for row in connection.execute(union_all(*parts))}
    strange = (f"{device}/{slot}" for device, slot in wanted if (device, slot) not in known)
    return tuple(islice(strange, MOST_NAMED))
