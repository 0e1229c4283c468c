"""How long what concerns a whole fleet keeps others from writing.

Run it by `python -m benchmarks.transactions`.

Writers take turns, and every report of a device is a write: while one transaction lasts, nothing
else is taken in. 10,000 devices, the service's own parts on a real SQLite file, without network;
of each thing that is done, the longest transaction. Processor seconds of this one thread, because
the disk's part depends on the disk.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, event

from benchmarks.report import Figure, finish, say
from cloud_sync.config import RetentionSettings
from cloud_sync.db.engine import Database
from cloud_sync.fleet.measures_store import count_report
from cloud_sync.fleet_resources import ConfigChange, GroupChange
from cloud_sync.resources import Deployment, Removal
from cloud_sync.rollout.forgetting import DAY_S, forget
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutWish
from edge_agent.contract.state import Phase, ReportedSlot
from tests.support.cloud import Cloud, change, cloud
from tests.support.crowd import crowd
from tests.support.puppets import Clock
from tests.support.slot_counters import SlotCounters

JUDGED: Final = Policy(stages=("100%",), shadow_stages=0, max_in_flight="100%")
LATE: Final = Policy(stages=("100%",), shadow_stages=0, gates=None, late_joiners="include")


class Holds:
    """Listens to a database: how long its writing transactions last.

    Args:
        database: whose.
    """

    def __init__(self, database: Database) -> None:
        self._since: float | None = None
        self._longest_s = 0.0
        event.listen(database.engine, "before_cursor_execute", self._note_begin)
        event.listen(database.engine, "commit", self._note_end)
        event.listen(database.engine, "rollback", self._note_end)

    def during(self, job: Callable[[], object]) -> float:
        """Processor seconds of the longest writing transaction of a job."""
        self._longest_s = 0.0
        job()
        return self._longest_s

    def _note_begin(self, _connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        # Any: the driver's own cursor, and parameters of any statement.
        if statement == "BEGIN IMMEDIATE":
            self._since = time.thread_time()

    def _note_end(self, _connection: Connection) -> None:
        if self._since is not None:
            self._longest_s = max(self._longest_s, time.thread_time() - self._since)
            self._since = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    count = parser.parse_args().devices
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, cloud(Path(folder), clock=clock) as made:
        finish("transactions", {"devices": count, **measured(made, clock, count)}, ["sqlalchemy"])
    return 0


def measured(made: Cloud, clock: Clock, count: int) -> dict[str, Figure]:
    """Every figure, in the order in which a fleet would see it."""
    parts, holds = made.parts, Holds(made.parts.database)
    figures: dict[str, Figure] = {}

    def measure(name: str, job: Callable[[], object]) -> None:
        say(name)
        figures[name] = round(holds.during(job), 3)

    crowd(made, (f"device-{number}" for number in range(count)))
    version = made.publish(data=b"first").module.version
    first = Deployment(module="probe", version=version, to="all")
    measure("deploy_s", lambda: parts.deployments.deploy(first, change()))
    made.publish(data=b"second")
    second = Deployment(module="probe", to="all")
    measure("deploy_over_another_s", lambda: parts.deployments.deploy(second, change()))
    fleet = ConfigChange(layer="fleet", set={"health_interval_s": "33"})
    measure("config_s", lambda: parts.configuration.change(fleet, change()))
    group = ConfigChange(layer="group", name="many", set={"health_interval_s": "44"})
    parts.groups.change("many", GroupChange(add="device-0"), change())
    parts.configuration.change(group, change())
    everybody = GroupChange(add="all")
    measure("group_s", lambda: parts.groups.change("many", everybody, change()))
    measure("evidence_s", judged(made, clock))
    removal = Removal(slot="probe", to="all")
    measure("remove_s", lambda: parts.deployments.remove(removal, change()))
    wish = RolloutWish(module="probe", to="all", policy=LATE, seed=1)
    measure("start_s", lambda: parts.rollouts.create(wish, change(clock.now), start=True))
    made.driver.look()
    crowd(made, (f"late-{number}" for number in range(count)))
    clock.now += 31
    measure("late_joiners_s", made.driver.look)
    much_later = clock.now + 1_000 * DAY_S
    settings = RetentionSettings()
    measure("forget_s", lambda: forget(parts.database, settings, much_later))
    return figures


def judged(made: Cloud, clock: Clock) -> Callable[[], None]:
    """A rollout to everybody, of which every device has said what the version did there.

    Returns:
        The look in which that is read.
    """
    version = made.publish(data=b"third").module
    wish = RolloutWish(module="probe", to="all", policy=JUDGED, seed=1)
    rollout = made.parts.rollouts.create(wish, change(clock.now), start=True)
    for _ in range(2):  # the second ends those that have lost their devices to it
        made.driver.look()
    offered = made.parts.rollouts.query.assignments(rollout.summary.id, limit=1_000_000)
    counters = SlotCounters()
    slot = ReportedSlot(
        module="probe",
        phase=Phase.ACTIVE,
        running=version.digest,
        running_version=version.version,
        wanted=version.digest,
    )
    with made.parts.database.write() as connection:
        for one in offered:
            report = counters.report(
                one.device, {"probe": slot}, messages=300, time=clock.now, uptime_s=60
            )
            count_report(connection, report, None, clock.now)
    clock.now += 11
    return made.driver.look


if __name__ == "__main__":
    raise SystemExit(main())
