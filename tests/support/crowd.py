"""Many devices at once, as rows of the database: without a word from them.

For tests and benchmarks of what concerns thousands; a device that speaks is a puppet.
"""

from collections.abc import Iterable

from sqlalchemy import insert

from cloud_sync.db.fleet_tables import devices
from tests.support.cloud import NOW, Cloud


def crowd(made: Cloud, names: Iterable[str]) -> None:
    """Make devices known that are online and run nothing yet."""
    same = {
        "created": NOW,
        "state": "online",
        "boot_id": "boot",
        "host": "",
        "previous_boot_id": "",
        "previous_host": "",
        "last_seen": NOW,
        "interval_s": 30.0,
    }
    with made.parts.database.write() as connection:
        connection.execute(insert(devices), [{"device": name} | same for name in names])
