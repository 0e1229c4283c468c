"""Choosing devices of a large fleet by an expression: `python -m benchmarks.targets`.

From the database as the service does it: what is stored of the fleet is read, the expression is
answered. Each expression several times; the middle one counts.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from benchmarks.report import finish
from cloud_sync.db.engine import Database
from cloud_sync.db.fleet_tables import device_tags, devices, running_slots
from cloud_sync.fleet.resolve import matching
from tests.support.cloud import Cloud, cloud

MANY: Final = 100_000
ROUNDS: Final = 5
SITES: Final = 50
EXPRESSIONS: Final = {
    "name_s": "dev-000017",
    "tag_s": "site=s1",
    "mixed_s": "site=s1* and probe!=v1 and not tag:lab",
    "module_s": "module=probe/2 and not tag:lab",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=MANY)
    count = parser.parse_args().devices
    with tempfile.TemporaryDirectory() as folder, cloud(Path(folder)) as made:
        fill(made, count)
        figures = {name: middle(made.parts.database, text) for name, text in EXPRESSIONS.items()}
    finish("targets", {"devices": count, **figures}, ["sqlalchemy"])
    return 0


def fill(made: Cloud, count: int) -> None:
    """A fleet with tags, of which half runs the first version of a module, half the second."""
    digests = [made.publish(data=data).module.digest for data in (b"1", b"2")]
    names = [f"dev-{index:06d}" for index in range(count)]
    blank = {
        "created": 0.0,
        "state": "",
        "boot_id": "",
        "host": "",
        "previous_boot_id": "",
        "previous_host": "",
        "last_seen": None,
        "interval_s": 30.0,
    }
    tags = [
        {"device": name, "key": "site", "value": f"s{index % SITES}"}
        for index, name in enumerate(names)
    ]
    tags += [{"device": name, "key": "lab", "value": "yes"} for name in names[::10]]
    runs = [
        {"device": name, "slot": "probe", "digest": digests[index % 2]}
        for index, name in enumerate(names)
    ]
    with made.parts.database.write() as connection:
        connection.execute(insert(devices), [{"device": name, **blank} for name in names])
        connection.execute(insert(device_tags), tags)
        connection.execute(insert(running_slots), runs)


def middle(database: Database, text: str) -> float:
    """Seconds to choose by an expression."""
    took: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with database.read() as connection:
            found = matching(connection, text)
        took.append(time.perf_counter() - began)
        assert found
    return round(statistics.median(took), 3)


if __name__ == "__main__":
    sys.exit(main())
